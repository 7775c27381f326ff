//! Frames on their way out of one stream.
//!
//! Tasks push frames. One writer takes all frames that wait and writes them at once, so that batches
//! grow by themselves under load and a lone frame leaves immediately.
//!
//! Invariant: the queue holds at most `STREAM_BYTES_MAX` body bytes, for each frame carries its
//! share of that budget and gives it back when it is written or dropped.

use std::{
    mem,
    sync::{Arc, Mutex},
};

use iroh::endpoint::SendStream;
use tokio_real::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    task::yield_now,
    time::timeout,
};

use super::lock::lock;
use crate::frame::{Frame, encode_frames};
use crate::limits::{STREAM_BYTES_MAX, WRITE_STALL_MAX};

/// A frame and its share of the byte budget.
#[derive(Debug)]
pub(super) struct QueuedFrame {
    pub frame: Frame,
    pub room: OwnedSemaphorePermit,
}

/// The queue in front of a writer.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: Mutex<Vec<QueuedFrame>>,
    filled: Notify,
    room: Arc<Semaphore>,
}

/// Why a writer stopped.
#[derive(Debug)]
pub(super) enum WriteEnd {
    /// The connection is gone; the connection has the reason.
    Lost,
    /// The peer takes nothing.
    Stalled,
}

impl Outbox {
    pub fn new() -> Self {
        let room = Arc::new(Semaphore::new(STREAM_BYTES_MAX));
        Self { queue: Mutex::default(), filled: Notify::new(), room }
    }

    /// Waits for room for a body of `bytes`; `None` once the outbox is closed.
    pub async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        self.room.clone().acquire_many_owned(share(bytes)).await.ok()
    }

    /// Queues a frame.
    pub fn push(&self, frame: Frame, room: OwnedSemaphorePermit) {
        let mut queue = lock(&self.queue);
        queue.push(QueuedFrame { frame, room });
        let is_first = queue.len() == 1;
        drop(queue);
        if is_first {
            self.filled.notify_one();
        }
    }

    /// Drops the frames that wait; from now on no caller waits for room.
    pub fn close(&self) {
        self.room.close();
        lock(&self.queue).clear();
    }

    /// Waits for frames and takes them all.
    async fn take(&self) -> Vec<QueuedFrame> {
        loop {
            let batch = mem::take(&mut *lock(&self.queue));
            if !batch.is_empty() {
                return batch;
            }
            self.filled.notified().await;
            // The scheduler runs the task that was woken last first: without a step back the writer
            // would leave with one frame while a hundred tasks are about to push theirs.
            yield_now().await;
        }
    }

    /// Writes until the stream ends. `keep` sees each frame just before it leaves and may drop it.
    pub async fn write_to(
        &self,
        stream: &mut SendStream,
        mut keep: impl FnMut(&mut Vec<QueuedFrame>),
    ) -> WriteEnd {
        loop {
            let mut batch = self.take().await;
            keep(&mut batch);
            // Given back at the end of this turn, when all is written.
            let mut rooms = Vec::with_capacity(batch.len());
            let mut chunks = encode_frames(batch.into_iter().map(|QueuedFrame { frame, room }| {
                rooms.push(room);
                frame
            }));
            let mut rest = &mut chunks[..];
            while !rest.is_empty() {
                match timeout(WRITE_STALL_MAX, stream.write_many_chunks(&mut rest)).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(_)) => return WriteEnd::Lost,
                    Err(_) => return WriteEnd::Stalled,
                }
            }
        }
    }
}

/// Returns the permits that a body of `bytes` takes of a byte budget.
pub(super) fn share(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("bodies are checked against BODY_BYTES_MAX")
}
