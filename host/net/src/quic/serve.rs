//! The answering end of one admitted stream.
//!
//! Each request runs as a task of its own, so a slow one delays no other. When all places or all room
//! for bodies are taken, the reader stops reading and QUIC makes the peer wait. The tasks end with
//! the connection.

use std::{panic::AssertUnwindSafe, sync::Arc};

use bytes::Bytes;
use futures::FutureExt;
use iroh::endpoint::{Connection, RecvStream, SendStream};
use tokio_real::{
    io::AsyncReadExt,
    select,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
};
use tracing::debug;

use super::{
    close::CloseCode,
    outbox::{Outbox, WriteEnd, share},
};
use crate::error::Unanswered;
use crate::frame::{Frame, FrameDecoder, FrameError, FrameKind};
use crate::limits::{BODY_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX, STREAM_BYTES_MAX};
use crate::peer::PeerId;
use crate::transport::{Handler, Purpose};

/// A stream whose dialling end is admitted.
#[derive(Debug)]
pub(super) struct Stream {
    pub purpose: Purpose,
    pub send: SendStream,
    pub recv: RecvStream,
    pub decoder: FrameDecoder,
}

/// The state that all requests of one stream share.
struct StreamState {
    from: PeerId,
    purpose: Purpose,
    handler: Arc<dyn Handler>,
    outbox: Outbox,
    places: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

/// Why serving ended.
enum ServeEnd {
    Lost,
    Stalled,
    Malformed(FrameError),
}

/// Closes a connection when its task ends, in any way.
struct CloseOnDrop(Connection);

/// Serves until the connection ends or the task is aborted.
pub(super) async fn run(
    connection: Connection,
    stream: Stream,
    from: PeerId,
    handler: Arc<dyn Handler>,
) {
    let connection = CloseOnDrop(connection);
    let Stream { purpose, mut send, mut recv, decoder } = stream;
    let stream_state = Arc::new(StreamState {
        from,
        purpose,
        handler,
        outbox: Outbox::new(),
        places: Arc::new(Semaphore::new(REQUESTS_IN_FLIGHT_MAX)),
        room: Arc::new(Semaphore::new(STREAM_BYTES_MAX)),
    });
    let mut writer = JoinSet::new();
    let writing = stream_state.clone();
    writer.spawn(async move { writing.outbox.write_to(&mut send, |_| {}).await });
    let mut answers = JoinSet::new();
    // A reader that waits for a place does not see the connection end: look at that too.
    let end = select! {
        biased;
        end = read(&stream_state, &mut recv, decoder, &mut answers) => end,
        end = writer.join_next() => match end {
            Some(Ok(WriteEnd::Stalled)) => ServeEnd::Stalled,
            _ => ServeEnd::Lost,
        },
        _ = connection.0.closed() => ServeEnd::Lost,
    };
    let (code, reason) = match end {
        ServeEnd::Malformed(error) => (CloseCode::Malformed, error.to_string()),
        ServeEnd::Stalled => (CloseCode::Stalled, "replies are not taken".to_owned()),
        ServeEnd::Lost => (CloseCode::Closing, String::new()),
    };
    debug!(%from, ?purpose, ?code, reason, "connection ends");
    connection.0.close(code.to_varint(), reason.as_bytes());
    writer.shutdown().await;
    answers.shutdown().await;
}

async fn read(
    stream_state: &Arc<StreamState>,
    recv: &mut RecvStream,
    mut decoder: FrameDecoder,
    answers: &mut JoinSet<()>,
) -> ServeEnd {
    loop {
        loop {
            let frame = match decoder.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(error) => return ServeEnd::Malformed(error),
            };
            let kind = frame.kind;
            if kind != FrameKind::Request {
                return ServeEnd::Malformed(FrameError::OutOfPlace { kind });
            }
            let Some(place) = stream_state.place(frame.body.len()).await else {
                return ServeEnd::Lost;
            };
            answers.spawn(answer(stream_state.clone(), frame, place));
        }
        while answers.try_join_next().is_some() {}
        match recv.read_buf(decoder.space()).await {
            Ok(0) | Err(_) => return ServeEnd::Lost,
            Ok(_) => {}
        }
    }
}

/// Handles one request and queues its reply. The place is free when the reply is queued.
async fn answer(
    stream_state: Arc<StreamState>,
    frame: Frame,
    place: (OwnedSemaphorePermit, OwnedSemaphorePermit),
) {
    let Frame { id, body, .. } = frame;
    let handling =
        async { stream_state.handler.handle(stream_state.from, stream_state.purpose, body).await };
    // Unwind safe: the handler touches no data of this task but the stream's state, and changes none.
    let reply = AssertUnwindSafe(handling).catch_unwind().await;
    let (kind, body) = match reply {
        Ok(body) if body.len() <= BODY_BYTES_MAX => (FrameKind::Response, body),
        Ok(_) => failure(Unanswered::ReplyTooLarge),
        Err(_) => failure(Unanswered::HandlerFailed),
    };
    if let Some(room) = stream_state.outbox.room(body.len()).await {
        stream_state.outbox.push(Frame { id, kind, body }, room);
    }
    drop(place);
}

fn failure(cause: Unanswered) -> (FrameKind, Bytes) {
    (FrameKind::Failure, Bytes::copy_from_slice(&[cause.to_byte()]))
}

impl StreamState {
    /// Waits for a place among the requests in flight and for room for the body.
    async fn place(&self, bytes: usize) -> Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)> {
        let place = self.places.clone().acquire_owned().await.ok()?;
        Some((place, self.room.clone().acquire_many_owned(share(bytes)).await.ok()?))
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close(CloseCode::Closing.to_varint(), b"");
    }
}
