//! Letting peers in: handshake, hello, admission, and then `serve`.
//!
//! Promises a peer that is not admitted yet no more than one small window, one hello and a few
//! seconds. Connections of nodes and of clients are counted apart, so that neither can use up the
//! places of the other.

use std::sync::Arc;

use iroh::{
    Endpoint,
    endpoint::{Connection, Incoming, RecvStream, SendStream, VarInt},
};
use snafu::{OptionExt, ensure};
use tokio_real::{
    io::AsyncReadExt,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tracing::debug;

use super::{close::CloseCode, handler_slot::HandlerSlot, serve};
use crate::frame::{
    Frame, FrameDecoder, FrameError, FrameKind, OutOfPlaceSnafu, PurposeSnafu, encode_frames,
};
use crate::limits::{
    CLIENT_CONNECTIONS_MAX, FRAME_BYTES_MAX, HANDSHAKES_MAX, HELLO_BYTES_MAX, HELLO_TIMEOUT,
    NODE_CONNECTIONS_MAX, REASON_BYTES_MAX, RECEIVE_WINDOW_BYTES,
};
use crate::peer::PeerId;
use crate::transport::{Handler, Purpose};

/// Free places.
#[derive(Debug)]
struct Places {
    handshakes: Arc<Semaphore>,
    nodes: Arc<Semaphore>,
    clients: Arc<Semaphore>,
}

/// A connection that is turned away: code and reason.
struct Rejection(CloseCode, String);

/// Accepts until the endpoint closes or the task is aborted; connections end with it.
pub(super) async fn run(endpoint: Endpoint, handler: Arc<HandlerSlot>) {
    let places = Arc::new(Places::new());
    let mut connections = JoinSet::new();
    while let Some(incoming) = endpoint.accept().await {
        while connections.try_join_next().is_some() {}
        let place = places.handshakes.clone().try_acquire_owned();
        match (handler.get(), place) {
            (Some(handler), Ok(place)) => {
                connections.spawn(connection(incoming, handler, places.clone(), place));
            }
            // Not serving, or too busy to look: both are for the peer to try again.
            _ => incoming.refuse(),
        }
    }
    connections.join_all().await;
}

/// One connection from its first packet to its end.
async fn connection(
    incoming: Incoming,
    handler: Arc<dyn Handler>,
    places: Arc<Places>,
    handshake: OwnedSemaphorePermit,
) {
    let Ok(connecting) = incoming.accept() else {
        return;
    };
    let Ok(Ok(connection)) = timeout(HELLO_TIMEOUT, connecting).await else {
        return;
    };
    let from = PeerId::from_bytes(*connection.remote_id().as_bytes());
    let mut streams = None;
    let admission = admit(&connection, &mut streams, from, &*handler, &places);
    let admission = timeout(HELLO_TIMEOUT, admission).await;
    drop(handshake);
    match (admission, streams) {
        (Ok(Ok((purpose, decoder, _place))), Some((send, recv))) => {
            let stream = serve::Stream { purpose, send, recv, decoder };
            serve::run(connection, stream, from, handler).await;
        }
        (admission, streams) => {
            let no_hello = || Rejection(CloseCode::Busy, "no hello".to_owned());
            let turned = admission.ok().and_then(Result::err).unwrap_or_else(no_hello);
            let Rejection(code, reason) = turned;
            debug!(%from, ?code, reason, "connection turned away");
            connection.close(code.to_varint(), shorten(&reason).as_bytes());
            // Only now: a stream that ends before its connection does not say why.
            drop(streams);
        }
    }
}

/// Reads the hello, asks the handler, finds a place and welcomes the peer. The streams stay with the
/// caller for every result.
async fn admit(
    connection: &Connection,
    streams: &mut Option<(SendStream, RecvStream)>,
    from: PeerId,
    handler: &dyn Handler,
    places: &Places,
) -> Result<(Purpose, FrameDecoder, OwnedSemaphorePermit), Rejection> {
    let accepted = connection.accept_bi().await.map_err(|_| Rejection::gone())?;
    let (send, recv) = streams.insert(accepted);
    let mut decoder = FrameDecoder::new(HELLO_BYTES_MAX);
    let purpose = read_hello(recv, &mut decoder, connection.alpn()).await?;
    handler.admit(from, purpose).map_err(|reason| Rejection(CloseCode::Refused, reason))?;
    let place = places.of(purpose).clone().try_acquire_owned();
    let place = place.map_err(|_| Rejection(CloseCode::Busy, "too many connections".to_owned()))?;
    connection.set_receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES));
    decoder.set_limit(FRAME_BYTES_MAX);
    let welcome = Frame { id: 0, kind: FrameKind::Welcome, body: Default::default() };
    let welcome = &mut encode_frames([welcome]);
    send.write_all_chunks(welcome).await.map_err(|_| Rejection::gone())?;
    Ok((purpose, decoder, place))
}

async fn read_hello(
    recv: &mut RecvStream,
    decoder: &mut FrameDecoder,
    alpn: &[u8],
) -> Result<Purpose, Rejection> {
    loop {
        if let Some(frame) = decoder.next()? {
            return Ok(purpose_of(&frame, alpn)?);
        }
        match recv.read_buf(decoder.space()).await {
            Ok(0) | Err(_) => return Err(Rejection::gone()),
            Ok(_) => {}
        }
    }
}

/// Returns the purpose named by a hello, if the negotiated protocol carries it.
fn purpose_of(frame: &Frame, alpn: &[u8]) -> Result<Purpose, FrameError> {
    let kind = frame.kind;
    ensure!(kind == FrameKind::Hello, OutOfPlaceSnafu { kind });
    let named = frame.body.first().copied().and_then(Purpose::from_byte);
    named.filter(|purpose| purpose.alpn() == alpn).context(PurposeSnafu)
}

/// Cuts a reason to the bytes that fit into one packet, at a character's edge.
fn shorten(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
}

impl Places {
    fn new() -> Self {
        Self {
            handshakes: Arc::new(Semaphore::new(HANDSHAKES_MAX)),
            nodes: Arc::new(Semaphore::new(NODE_CONNECTIONS_MAX)),
            clients: Arc::new(Semaphore::new(CLIENT_CONNECTIONS_MAX)),
        }
    }

    fn of(&self, purpose: Purpose) -> &Arc<Semaphore> {
        match purpose {
            Purpose::Raft | Purpose::Snapshot => &self.nodes,
            Purpose::Client => &self.clients,
        }
    }
}

impl Rejection {
    /// Returns the code for a peer that went by itself; the code reaches no peer.
    fn gone() -> Self {
        Self(CloseCode::Closing, "gone".to_owned())
    }
}

impl From<FrameError> for Rejection {
    fn from(error: FrameError) -> Self {
        Self(CloseCode::Malformed, error.to_string())
    }
}
