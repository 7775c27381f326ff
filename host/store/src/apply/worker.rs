//! The worker that changes a shard's state.
//!
//! Promises that the memory of writes which are not yet in the file is bounded, because apply waits when
//! the flusher is behind; and that after the first fault nothing is applied or written any more: the
//! fault is remembered, the replica stops, and a restart begins from the last flush.
//!
//! A flush is due when the memtables are full, or when the file is needed: for a snapshot, or at the
//! end. No clock decides it, and the result of applying an entry does not depend on it. The entries
//! themselves are applied in `batch.rs`.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use aspen_core::function::Functions;
use aspen_core::placement::ShardRouter;
use futures::future::{Either, select};
use tokio::sync::mpsc;

use super::verifier::Verifier;
use crate::buffer::{BufferedState, Flusher};
use crate::error::chain;
use crate::recovery;
use crate::replica::{ApplyRequest, HeldInspection, Inspection, Shared};
use crate::sync::{CompletionSender, lock};
use crate::types::LogId;

/// The worker's side of a state machine.
pub struct ApplyWorker {
    pub shared: Arc<Shared>,
    pub state: BufferedState,
    pub flusher: Flusher,
    pub verifier: Verifier,
    pub memtable_bytes_max: usize,
    /// Senders of requests that wait for the flush that runs.
    pub flush_waiters: Vec<CompletionSender>,
    /// Senders of requests that wait for the flush after it.
    pub next_flush_waiters: Vec<CompletionSender>,
    pub functions: Arc<dyn Functions>,
    pub router: ShardRouter,
    pub requests: mpsc::Receiver<ApplyRequest>,
    /// Dropped at the end, when the file is closed: [`crate::StateReader::closed`] waits for it.
    pub alive: mpsc::Receiver<()>,
}

impl ApplyWorker {
    /// Serves requests until the state machine is dropped.
    pub async fn run(mut self) {
        loop {
            let event = {
                let (flushed, request) =
                    (pin!(self.flusher.finished()), pin!(self.requests.recv()));
                match select(flushed, request).await {
                    Either::Left((flushed, _)) => Either::Left(flushed),
                    Either::Right((request, _)) => Either::Right(request),
                }
            };
            match event {
                Either::Left(flushed) => self.flushed(flushed),
                Either::Right(Some(request)) => self.serve(request).await,
                Either::Right(None) => break,
            }
            self.flush_if_due();
        }
        self.finish().await;
    }

    async fn serve(&mut self, request: ApplyRequest) {
        let (result, done) = match request {
            ApplyRequest::Applied { done } => {
                let state = &self.state;
                let _: Result<(), _> = done.send((state.applied(), state.membership().clone()));
                return;
            }
            ApplyRequest::Inspect(inspection) => return self.inspect(inspection),
            ApplyRequest::Hold(inspection) => return self.hold(inspection).await,
            ApplyRequest::Flush { done } => return self.next_flush_waiters.push(done),
            ApplyRequest::Apply { entries, replies, done } => {
                while self.is_full() && self.flusher.is_running() {
                    self.flush_ends().await;
                }
                #[cfg(madsim)]
                crate::runtime::sim_cost::apply(entries.len()).await;
                (self.guarded(|worker| worker.apply(entries, replies)), done)
            }
            ApplyRequest::Install { snapshot, done } => {
                while self.flusher.is_running() {
                    self.flush_ends().await;
                }
                (self.guarded(|worker| Ok(worker.install(snapshot)?)), done)
            }
        };
        // The sender of the request may have been shut down since.
        let _: Result<(), io::Result<()>> = done.send(result);
    }

    /// Runs an inspection. A failed replica answers nothing: the caller sees the answer's other end
    /// dropped.
    fn inspect(&mut self, inspection: Inspection) {
        let result = self.guarded(|worker| {
            worker.state.begin();
            inspection(&worker.state);
            worker.state.commit().map_err(|fault| io::Error::other(chain(&fault)))
        });
        // Remembered if it is the first.
        let _: io::Result<()> = result;
    }

    /// Runs an inspection, and waits as long as it demands. The caller bounds the wait.
    async fn hold(&mut self, inspection: HeldInspection) {
        let mut opened = None;
        let result = self.guarded(|worker| {
            opened = inspection(&worker.state);
            Ok(())
        });
        // It fails only if the replica had failed before.
        let _: io::Result<()> = result;
        if let Some(opened) = opened {
            // Nothing is ever sent: the gate is dropped.
            let _: Result<(), _> = opened.await;
        }
    }

    /// Flushes the last memtables, unless something failed, and closes the file.
    async fn finish(mut self) {
        while self.flusher.is_running() {
            self.flush_ends().await;
        }
        if self.shared.failed().is_none() && self.is_ahead() {
            self.flusher.flush(self.state.flush());
            self.flush_ends().await;
        }
        let Self { shared, state, flusher, verifier, alive, .. } = self;
        shared.verifications.give_up();
        verifier.stop().await;
        // Readers go first: the last connection that is closed, the writing one, empties the
        // write-ahead log.
        drop(state);
        shared.close_idle();
        let closed = flusher.stop().await.map(|file| file.close());
        if let (Some(Ok(())), None) = (closed, &lock(&shared.live).status.failed)
            && let Err(error) = recovery::mark_closed(&shared.dir)
        {
            tracing::warn!("{}", chain(&error));
        }
        drop(alive);
    }

    /// Runs `work` unless something failed before; remembers its failure.
    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        if let Some(failed) = self.shared.failed() {
            return Err(io::Error::other(failed));
        }
        let result = work(self);
        if let Err(error) = &result {
            self.shared.fail(error);
        }
        result
    }

    /// Starts a flush if the memtables are full or a request waits for one, and none runs.
    fn flush_if_due(&mut self) {
        let is_due = self.is_full() || !self.next_flush_waiters.is_empty();
        if !is_due || self.flusher.is_running() {
            return;
        }
        if let Some(failed) = self.shared.failed() {
            return answer(&mut self.next_flush_waiters, &Err(io::Error::other(failed)));
        }
        if !self.is_ahead() {
            return answer(&mut self.next_flush_waiters, &Ok(()));
        }
        self.flush_waiters.append(&mut self.next_flush_waiters);
        self.flusher.flush(self.state.flush());
    }

    fn is_full(&self) -> bool {
        self.state.unwritten_bytes() >= self.memtable_bytes_max
    }

    /// Returns true if an applied entry is not in the file.
    fn is_ahead(&self) -> bool {
        self.state.applied() != lock(&self.shared.live).flushed()
    }

    /// Waits for the end of the flush that runs.
    async fn flush_ends(&mut self) {
        let flushed = self.flusher.finished().await;
        self.flushed(flushed);
        self.flush_if_due();
    }

    /// Takes the result of a flush.
    fn flushed(&mut self, flushed: io::Result<Option<LogId>>) {
        let result = flushed.map(|reached| lock(&self.shared.live).end_flush(reached));
        if let Err(error) = &result {
            self.shared.fail(error);
        }
        answer(&mut self.flush_waiters, &result);
    }
}

/// Tells all waiters the result.
fn answer(waiters: &mut Vec<CompletionSender>, result: &io::Result<()>) {
    for done in waiters.drain(..) {
        let result = match result {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        // The sender of the request may have been shut down since.
        let _: Result<(), io::Result<()>> = done.send(result);
    }
}
