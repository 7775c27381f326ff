//! Opening a stream to a peer: connect, say hello, be welcomed.
//!
//! Promises that no request leaves before the welcome: a request that fails here is certainly not
//! executed.

use std::sync::Arc;

use bytes::Bytes;
use iroh::{
    Endpoint, EndpointAddr, EndpointId,
    endpoint::{Connection, ConnectionError, RecvStream, SendStream, VarInt},
};
use tokio_real::{io::AsyncReadExt, time::timeout};

use super::{
    close::{CloseCode, ConnectionEnd, cause_of},
    link::{Link, WelcomedStream},
    links::LinkEntry,
};
use crate::error::{Cause, NetError};
use crate::frame::{Frame, FrameDecoder, FrameKind, encode_frames};
use crate::limits::{DIAL_TIMEOUT, FRAME_BYTES_MAX, HELLO_BYTES_MAX, RECEIVE_WINDOW_BYTES};
use crate::peer::PeerAddr;
use crate::transport::Purpose;

/// Runs the whole life of one link: dials, tells the callers that wait, moves bytes until the end.
pub(super) async fn run(endpoint: Endpoint, to: PeerAddr, purpose: Purpose, entry: LinkEntry) {
    let opened = match timeout(DIAL_TIMEOUT, open(&endpoint, to, purpose)).await {
        Ok(opened) => opened,
        Err(_) => Err(unreachable(to, Arc::new(ConnectionEnd::Timeout))),
    };
    // Links must not keep the socket: `close` waits for us, and then frees it.
    drop(endpoint);
    match opened {
        Ok(opened) => {
            let link = Arc::new(Link::new(to));
            entry.tell(Ok(link.clone()));
            link.run(opened).await;
        }
        Err(error) => entry.tell(Err(error)),
    }
}

async fn open(
    endpoint: &Endpoint,
    to: PeerAddr,
    purpose: Purpose,
) -> Result<WelcomedStream, NetError> {
    let id = EndpointId::from_bytes(to.id.as_bytes());
    let id = id.map_err(|error| unreachable(to, Arc::new(error)))?;
    let addr = EndpointAddr::new(id).with_ip_addr(to.addr);
    let connection = endpoint.connect(addr, purpose.alpn()).await;
    let connection = connection.map_err(|error| unreachable(to, Arc::new(error)))?;
    match greet(&connection, purpose).await {
        Ok((send, recv, decoder)) => {
            connection.set_receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES));
            Ok(WelcomedStream { connection, send, recv, decoder })
        }
        Err(cause) => {
            connection.close(CloseCode::Closing.to_varint(), b"");
            Err(refused_or_unreachable(to, cause))
        }
    }
}

/// Says the purpose of the stream and waits for the welcome.
async fn greet(
    connection: &Connection,
    purpose: Purpose,
) -> Result<(SendStream, RecvStream, FrameDecoder), Cause> {
    let lost = || cause_of(connection);
    let (mut send, mut recv) = connection.open_bi().await.map_err(|_| lost())?;
    let body = Bytes::copy_from_slice(&[purpose.to_byte()]);
    let hello = Frame { id: 0, kind: FrameKind::Hello, body };
    send.write_all_chunks(&mut encode_frames([hello])).await.map_err(|_| lost())?;
    let mut decoder = FrameDecoder::new(HELLO_BYTES_MAX);
    loop {
        if let Some(frame) = decoder.next().map_err(|error| Arc::new(error) as Cause)? {
            if frame.kind != FrameKind::Welcome {
                return Err(Arc::new(ConnectionEnd::Unwelcome));
            }
            decoder.set_limit(FRAME_BYTES_MAX);
            return Ok((send, recv, decoder));
        }
        let read = recv.read_buf(decoder.space()).await.map_err(|_| lost())?;
        if read == 0 {
            return Err(lost());
        }
    }
}

fn refused_or_unreachable(peer: PeerAddr, cause: Cause) -> NetError {
    let closed = cause.downcast_ref::<ConnectionError>().and_then(CloseCode::of);
    match closed {
        Some((CloseCode::Refused, reason)) => NetError::Refused { peer, reason },
        _ => unreachable(peer, cause),
    }
}

fn unreachable(peer: PeerAddr, source: Cause) -> NetError {
    NetError::Unreachable { peer, source }
}
