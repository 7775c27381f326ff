//! The way to the apply worker of a shard.
//!
//! Promises that the drop of the last handle ends the worker, and waits for its end in production.

use std::io;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::replica::{ApplyRequest, Shared};
use crate::runtime::Worker;
use crate::sync::lock;

/// A handle to a running apply worker.
pub struct WorkerHandle {
    // In this order they are dropped: without senders the worker ends, then it is waited for.
    requests: mpsc::Sender<ApplyRequest>,
    _worker: Worker,
    pub shared: Arc<Shared>,
}

impl WorkerHandle {
    /// Makes the handle of `worker`, which receives `requests`.
    pub fn new(requests: mpsc::Sender<ApplyRequest>, worker: Worker, shared: Arc<Shared>) -> Self {
        Self { requests, _worker: worker, shared }
    }

    /// Sends a request and waits until it is done. A worker that is gone has panicked: a bug of Aspen,
    /// remembered like any other failure.
    pub async fn request<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> ApplyRequest,
    ) -> io::Result<T> {
        let (done, answer) = oneshot::channel();
        let sent = self.requests.send(request(done)).await;
        if sent.is_ok()
            && let Ok(answer) = answer.await
        {
            return Ok(answer);
        }
        let failed = || "the apply worker panicked".to_string();
        let failed = lock(&self.shared.live).status.failed.get_or_insert_with(failed).clone();
        Err(io::Error::other(failed))
    }
}
