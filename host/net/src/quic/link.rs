//! The asking end of one stream: requests go out, replies find their callers.
//!
//! A call waits for a place, is entered under a fresh id, and is taken out exactly once: by its
//! reply, by its caller (deadline, or the future dropped), or by the end of the link.
//!
//! The lock decides if a call was *sent*: under it the writer marks the call, or finds the call gone
//! and drops its frame. So `sent: false` is certain, and `sent: true` means that it may have arrived.

use std::{
    collections::HashMap,
    mem,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use iroh::endpoint::{Connection, RecvStream, SendStream};
use tokio_real::{
    io::AsyncReadExt,
    select,
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, oneshot},
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    close::{CloseCode, ConnectionEnd, cause_of},
    lock::lock,
    outbox::{Outbox, QueuedFrame, WriteEnd},
};
use crate::error::{Cause, NetError, Unanswered};
use crate::frame::{Frame, FrameDecoder, FrameError, FrameKind};
use crate::limits::REQUESTS_IN_FLIGHT_MAX;
use crate::peer::PeerAddr;

/// A stream whose other end has welcomed us: all that a link runs on.
#[derive(Debug)]
pub(super) struct WelcomedStream {
    pub connection: Connection,
    pub send: SendStream,
    pub recv: RecvStream,
    pub decoder: FrameDecoder,
}

/// A stream to one peer for one purpose.
#[derive(Debug)]
pub(super) struct Link {
    peer: PeerAddr,
    places: Semaphore,
    outbox: Outbox,
    calls: Mutex<Calls>,
}

#[derive(Debug, Default)]
struct Calls {
    last_id: u64,
    waiting: HashMap<u64, WaitingCall>,
    end: Option<LinkEnd>,
}

#[derive(Debug)]
struct WaitingCall {
    reply: oneshot::Sender<Result<Bytes, NetError>>,
    sent: bool,
}

/// Why a link ended.
#[derive(Clone, Debug)]
enum LinkEnd {
    Lost(Cause),
    Malformed(FrameError),
}

/// A call that is entered; taken out when dropped.
struct Call<'a> {
    link: &'a Link,
    id: u64,
    reply: oneshot::Receiver<Result<Bytes, NetError>>,
    is_settled: bool,
}

/// Ends a link whichever way its task ends.
struct EndOnDrop<'a> {
    link: &'a Link,
    connection: &'a Connection,
}

impl Link {
    pub fn new(peer: PeerAddr) -> Self {
        Self {
            peer,
            places: Semaphore::new(REQUESTS_IN_FLIGHT_MAX),
            outbox: Outbox::new(),
            calls: Mutex::default(),
        }
    }

    /// Returns true if no call can succeed any more.
    pub fn has_ended(&self) -> bool {
        lock(&self.calls).end.is_some()
    }

    /// Asks and waits for the reply until `deadline`, which is `after` its beginning.
    pub async fn call(
        &self,
        body: Bytes,
        deadline: Instant,
        after: Duration,
    ) -> Result<Bytes, NetError> {
        let late = |sent| NetError::Deadline { peer: self.peer, after, sent };
        let admitted = timeout_at(deadline, self.place(body.len())).await;
        let Some((_place, room)) = admitted.map_err(|_| late(false))? else {
            return Err(self.ended(false));
        };
        let mut call = self.enter(body, room)?;
        match timeout_at(deadline, &mut call.reply).await {
            Ok(Ok(result)) => {
                call.is_settled = true;
                result
            }
            Ok(Err(_)) => Err(self.ended(true)),
            Err(_) => Err(late(self.leave(call.id))),
        }
    }

    /// Waits for a place among the requests in flight and for room for the body.
    async fn place(&self, bytes: usize) -> Option<(SemaphorePermit<'_>, OwnedSemaphorePermit)> {
        let place = self.places.acquire().await.ok()?;
        Some((place, self.outbox.room(bytes).await?))
    }

    fn enter(&self, body: Bytes, room: OwnedSemaphorePermit) -> Result<Call<'_>, NetError> {
        let (sender, reply) = oneshot::channel();
        let mut calls = lock(&self.calls);
        if let Some(end) = &calls.end {
            return Err(end.error(self.peer, false));
        }
        calls.last_id += 1;
        let id = calls.last_id;
        calls.waiting.insert(id, WaitingCall { reply: sender, sent: false });
        drop(calls);
        self.outbox.push(Frame { id, kind: FrameKind::Request, body }, room);
        Ok(Call { link: self, id, reply, is_settled: false })
    }

    /// Takes a call out and returns true if it was sent. Without effect on a call that is gone already.
    fn leave(&self, id: u64) -> bool {
        let waiting = lock(&self.calls).waiting.remove(&id);
        waiting.is_none_or(|waiting| waiting.sent)
    }

    /// Marks the calls of a batch as sent and drops the frames of those that are gone.
    fn mark_sent(&self, batch: &mut Vec<QueuedFrame>) {
        let mut calls = lock(&self.calls);
        batch.retain(|outgoing| match calls.waiting.get_mut(&outgoing.frame.id) {
            Some(waiting) => {
                waiting.sent = true;
                true
            }
            None => false,
        });
    }

    /// Hands replies to their callers; a reply without a caller is dropped.
    fn settle(&self, replies: &mut Vec<Frame>) {
        let mut calls = lock(&self.calls);
        let settled = replies.drain(..).filter_map(|frame| {
            let waiting = calls.waiting.remove(&frame.id)?;
            Some((waiting.reply, self.result_of(frame)))
        });
        let settled: Vec<_> = settled.collect();
        drop(calls);
        for (caller, result) in settled {
            // A caller that is gone in this moment needs no reply.
            let _ = caller.send(result);
        }
    }

    fn result_of(&self, frame: Frame) -> Result<Bytes, NetError> {
        if frame.kind == FrameKind::Response {
            return Ok(frame.body);
        }
        let cause = Unanswered::from_body(&frame.body);
        Err(NetError::Unanswered { peer: self.peer, cause })
    }

    fn ended(&self, sent: bool) -> NetError {
        let end = lock(&self.calls).end.clone().unwrap_or_else(LinkEnd::closing);
        end.error(self.peer, sent)
    }

    /// Ends the link: every call fails with `end`, and no new call enters.
    fn end(&self, end: LinkEnd) {
        let mut calls = lock(&self.calls);
        if calls.end.is_some() {
            return;
        }
        calls.end = Some(end.clone());
        let waiting = mem::take(&mut calls.waiting);
        drop(calls);
        self.places.close();
        self.outbox.close();
        for waiting in waiting.into_values() {
            // A caller that is gone in this moment needs no error.
            let _ = waiting.reply.send(Err(end.error(self.peer, waiting.sent)));
        }
    }

    /// Moves bytes until the connection ends or the task is aborted.
    pub async fn run(self: Arc<Self>, stream: WelcomedStream) {
        let WelcomedStream { connection, mut send, mut recv, decoder } = stream;
        let last = EndOnDrop { link: &self, connection: &connection };
        let mut writer = JoinSet::new();
        let link = self.clone();
        writer.spawn(async move {
            link.outbox.write_to(&mut send, |batch| link.mark_sent(batch)).await
        });
        let end = select! {
            biased;
            end = self.read(&mut recv, decoder, &connection) => end,
            end = writer.join_next() => match end {
                Some(Ok(WriteEnd::Stalled)) => LinkEnd::Lost(Arc::new(ConnectionEnd::Stalled)),
                _ => LinkEnd::lost(&connection),
            },
        };
        if let LinkEnd::Malformed(error) = &end {
            connection.close(CloseCode::Malformed.to_varint(), error.to_string().as_bytes());
        }
        // The writer first: frames that are unsent now stay unsent.
        writer.shutdown().await;
        self.end(end);
        drop(last);
    }

    async fn read(
        &self,
        recv: &mut RecvStream,
        mut decoder: FrameDecoder,
        connection: &Connection,
    ) -> LinkEnd {
        let mut replies = Vec::new();
        loop {
            loop {
                match decoder.next() {
                    Ok(Some(frame)) => match frame.kind {
                        FrameKind::Response | FrameKind::Failure => replies.push(frame),
                        kind => return LinkEnd::Malformed(FrameError::OutOfPlace { kind }),
                    },
                    Ok(None) => break,
                    Err(error) => return LinkEnd::Malformed(error),
                }
            }
            if !replies.is_empty() {
                self.settle(&mut replies);
            }
            match recv.read_buf(decoder.space()).await {
                Ok(0) | Err(_) => return LinkEnd::lost(connection),
                Ok(_) => {}
            }
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.is_settled {
            self.link.leave(self.id);
        }
    }
}

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.connection.close(CloseCode::Closing.to_varint(), b"");
        self.link.end(LinkEnd::closing());
    }
}

impl LinkEnd {
    fn lost(connection: &Connection) -> Self {
        Self::Lost(cause_of(connection))
    }

    fn closing() -> Self {
        Self::Lost(Arc::new(NetError::Closed))
    }

    fn error(&self, peer: PeerAddr, sent: bool) -> NetError {
        match self {
            Self::Lost(source) => NetError::ConnectionLost { peer, sent, source: source.clone() },
            Self::Malformed(source) => NetError::Malformed { peer, sent, source: source.clone() },
        }
    }
}
