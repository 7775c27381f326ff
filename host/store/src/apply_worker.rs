//! The worker that changes a shard's state.
//!
//! Promises that a batch of entries becomes visible at once and is answered after that; that what
//! is not yet in the file is bounded, for apply waits when the flusher is behind; and that after
//! the first fault nothing is applied or written any more: the fault is remembered, the replica
//! stops, and a restart begins from the last flush.
//!
//! A flush is due when the buffer is full, or when somebody needs the file: a snapshot, the end.
//! No clock has a say in it, and what is applied does not depend on it.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aspen_core::{
    Applied, Command, Decide, Fault, Functions, LogIndex, RanAcross, ShardRouter, State,
};
use futures::future::{Either, select};
use openraft::storage::{ApplyResponder, EntryResponder};
use snafu::ResultExt;
use tokio::sync::{mpsc, oneshot};

use crate::buffer::BufferedState;
use crate::error::{StateStorageSnafu, StoreError, chain};
use crate::files;
use crate::flusher::Flusher;
use crate::live::Live;
use crate::log::lock;
use crate::pinned::Look;
use crate::reader::Shared;
use crate::recovery;
use crate::replay::apply_entry;
use crate::schema::Unusable;
use crate::types::{Entry, LogId, Reply, Snapshot, StoredMembership, TypeConfig};
use crate::verification::Verifier;

/// Jobs that may wait: openraft sends one at a time, a snapshot another.
pub const JOBS_MAX: usize = 4;

/// Entries of one batch: what becomes visible, and is answered, at once. So those who asked go on while
/// apply does the next batch, and it has work when it is done with all.
const BATCH_ENTRIES_MAX: usize = 32;

/// Memory for what is applied but not in the file: some ten thousand small entries, so that a
/// flush writes each page of the file once for many of them, and that they are applied again
/// within about a second after a crash. Twice this and a batch is the most a shard takes.
pub const BUFFER_BYTES_MAX: usize = 32 << 20;

/// What the worker is asked to do.
pub enum Job {
    Apply {
        entries: Vec<EntryResponder<TypeConfig>>,
        /// Where the answers of each batch go, for those who wait to be told: to wake a task from
        /// here costs more than from another task, and there are many who wait for one batch.
        answers: mpsc::UnboundedSender<Vec<Answer>>,
        done: Done,
    },
    /// Write everything applied to the file.
    Flush {
        done: Done,
    },
    Install {
        snapshot: Snapshot,
        done: Done,
    },
    /// Look at the state between two batches, with what lives in memory.
    Inspect(Inspect),
    /// Likewise, and apply nothing more until what the look gives has ended.
    Hold(Look),
    /// The last applied entry and the members.
    Applied {
        done: oneshot::Sender<(Option<LogId>, StoredMembership)>,
    },
}

/// A look at the state; it sends its answer itself.
pub type Inspect = Box<dyn FnOnce(&BufferedState) + Send>;

/// Where a job's answer goes.
pub type Done = oneshot::Sender<io::Result<()>>;

/// Who waits for an entry, and its outcome.
pub type Answer = (ApplyResponder<TypeConfig>, Reply);

/// The worker's side of a state machine.
pub struct ApplyWorker {
    pub shared: Arc<Shared>,
    pub state: BufferedState,
    pub flusher: Flusher,
    pub verifier: Verifier,
    pub buffer_bytes_max: usize,
    /// Who waits for the flush that runs, and who for the one after it.
    pub waiting: Vec<Done>,
    pub asked: Vec<Done>,
    pub functions: Arc<dyn Functions>,
    pub router: ShardRouter,
    pub jobs: mpsc::Receiver<Job>,
    /// Dropped at the end, when the file is closed: [`crate::StateReader::closed`] waits for it.
    pub alive: mpsc::Receiver<()>,
}

impl ApplyWorker {
    /// Serves jobs until the state machine is dropped.
    pub async fn run(mut self) {
        loop {
            let event = {
                let (flushed, job) = (pin!(self.flusher.finished()), pin!(self.jobs.recv()));
                match select(flushed, job).await {
                    Either::Left((flushed, _)) => Either::Left(flushed),
                    Either::Right((job, _)) => Either::Right(job),
                }
            };
            match event {
                Either::Left(flushed) => self.flushed(flushed),
                Either::Right(Some(job)) => self.serve(job).await,
                Either::Right(None) => break,
            }
            self.flush_if_due();
        }
        self.finish().await;
    }

    async fn serve(&mut self, job: Job) {
        let (result, done) = match job {
            Job::Applied { done } => {
                let state = &self.state;
                let _: Result<(), _> = done.send((state.applied(), state.membership().clone()));
                return;
            }
            Job::Inspect(inspect) => return self.inspect(inspect),
            Job::Hold(look) => return self.hold(look).await,
            Job::Flush { done } => return self.asked.push(done),
            Job::Apply { entries, answers, done } => {
                while self.is_full() && self.flusher.is_running() {
                    self.flush_ends().await;
                }
                #[cfg(madsim)]
                crate::sim_cost::apply(entries.len()).await;
                (self.guarded(|worker| worker.apply(entries, answers)), done)
            }
            Job::Install { snapshot, done } => {
                while self.flusher.is_running() {
                    self.flush_ends().await;
                }
                (self.guarded(|worker| Ok(worker.install(snapshot)?)), done)
            }
        };
        // Whoever asked may have been shut down meanwhile.
        let _: Result<(), io::Result<()>> = done.send(result);
    }

    /// A failed replica answers nothing: whoever asked sees the answer's other end dropped.
    fn inspect(&mut self, inspect: Inspect) {
        let result = self.guarded(|worker| {
            worker.state.begin();
            inspect(&worker.state);
            worker.state.commit().map_err(|fault| io::Error::other(chain(&fault)))
        });
        // Remembered if it is the first.
        let _: io::Result<()> = result;
    }

    /// Looks, and waits. Whoever asked bounds the wait.
    async fn hold(&mut self, look: Look) {
        let mut opened = None;
        let result = self.guarded(|worker| {
            opened = look(&worker.state);
            Ok(())
        });
        // It fails only if the replica had failed before.
        let _: io::Result<()> = result;
        if let Some(opened) = opened {
            // Nothing is ever sent: the gate is dropped.
            let _: Result<(), _> = opened.await;
        }
    }

    /// Writes down what is left, unless something failed, and closes the file.
    async fn finish(mut self) {
        while self.flusher.is_running() {
            self.flush_ends().await;
        }
        if self.failed().is_none() && self.is_ahead() {
            self.flusher.flush(self.state.flush());
            self.flush_ends().await;
        }
        let Self { shared, state, flusher, verifier, alive, .. } = self;
        shared.verifications.give_up();
        verifier.stop().await;
        // Readers go first: the last connection that is closed, the writing one, empties the
        // write-ahead log.
        drop(state);
        lock(&shared.idle).clear();
        let closed = flusher.stop().await.map(|file| file.close());
        if let (Some(Ok(())), None) = (closed, &lock(&shared.live).status.failed)
            && let Err(error) = recovery::mark_closed(&shared.dir)
        {
            tracing::warn!("{}", chain(&error));
        }
        drop(alive);
    }

    fn failed(&self) -> Option<String> {
        lock(&self.shared.live).status.failed.clone()
    }

    /// Runs `work` unless something failed before; remembers its failure.
    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        if let Some(failed) = self.failed() {
            return Err(io::Error::other(failed));
        }
        let result = work(self);
        if let Err(error) = &result {
            self.shared.fail(error);
        }
        result
    }

    /// Starts a flush if the buffer is full or somebody asked for one, and none runs.
    fn flush_if_due(&mut self) {
        let is_due = self.is_full() || !self.asked.is_empty();
        if !is_due || self.flusher.is_running() {
            return;
        }
        if let Some(failed) = self.failed() {
            return answer(&mut self.asked, &Err(io::Error::other(failed)));
        }
        if !self.is_ahead() {
            return answer(&mut self.asked, &Ok(()));
        }
        self.waiting.append(&mut self.asked);
        self.flusher.flush(self.state.flush());
    }

    fn is_full(&self) -> bool {
        self.state.unwritten_bytes() >= self.buffer_bytes_max
    }

    /// Whether something is applied that is not in the file.
    fn is_ahead(&self) -> bool {
        self.state.applied() != lock(&self.shared.live).flushed()
    }

    /// Waits for the end of the flush that runs.
    async fn flush_ends(&mut self) {
        let flushed = self.flusher.finished().await;
        self.flushed(flushed);
        self.flush_if_due();
    }

    /// A flush has ended.
    fn flushed(&mut self, flushed: io::Result<Option<LogId>>) {
        let result = flushed.map(|reached| lock(&self.shared.live).thaw(reached));
        if let Err(error) = &result {
            self.shared.fail(error);
        }
        answer(&mut self.waiting, &result);
    }

    fn apply(
        &mut self,
        entries: Vec<EntryResponder<TypeConfig>>,
        answers: mpsc::UnboundedSender<Vec<Answer>>,
    ) -> io::Result<()> {
        let mut entries = entries.into_iter();
        while entries.len() > 0 {
            let applied = self.apply_batch(entries.by_ref().take(BATCH_ENTRIES_MAX));
            let batch = applied.map_err(|(log_id, fault)| self.stopped(log_id, &fault))?;
            if !batch.is_empty() {
                // Raft may be stopping: then nobody is told, as if the replica had stopped before.
                let _: Result<(), _> = answers.send(batch);
            }
        }
        Ok(())
    }

    /// What Raft is told of a fault.
    fn stopped(&self, log_id: Option<LogId>, fault: &Fault) -> io::Error {
        let shard = self.shared.owner.shard;
        let path = lock(&self.shared.live).file.path.clone();
        let (at, path) = (log_id.map_or(0, |log_id| log_id.index), path.display());
        io::Error::other(format!("{shard} entry {at}, state {path}: {}", chain(fault)))
    }

    fn apply_batch(
        &mut self,
        batch: impl Iterator<Item = EntryResponder<TypeConfig>>,
    ) -> Result<Vec<Answer>, (Option<LogId>, Fault)> {
        self.state.begin();
        let mut answers = Vec::with_capacity(BATCH_ENTRIES_MAX);
        let mut last = None;
        for (entry, responder) in batch {
            last = Some(entry.log_id);
            let (reply, verify) = self.apply_entry(entry).map_err(|fault| (last, fault))?;
            answers.extend(responder.map(|responder| (responder, reply)));
            if let Some(index) = verify {
                self.verify(index).map_err(|fault| (last, fault))?;
            }
        }
        self.state.commit().map_err(|fault| (last, fault))?;
        Ok(answers)
    }

    /// Ends the batch, lets its state be hashed, which lies there after the entry of `index`, and begins
    /// another.
    fn verify(&mut self, index: LogIndex) -> Result<(), Fault> {
        let verified = self.shared.verifications.begin(index, self.state.header().keys);
        self.state.commit()?;
        self.verifier.hash(&self.shared, &self.state, &verified);
        self.state.begin();
        Ok(())
    }

    /// Applies an entry; with its index if it asks for the hash of the state.
    fn apply_entry(&mut self, entry: Entry) -> Result<(Reply, Option<LogIndex>), Fault> {
        let (index, begun) = (LogIndex::new(entry.log_id.index), Instant::now());
        let (functions, shard) = (&*self.functions, self.shared.owner.shard);
        let applied = apply_entry(&mut self.state, functions, shard, self.router, entry)?;
        let Some((entry, Applied { outcome, called })) = applied else {
            return Ok((Reply::default(), None));
        };
        let verify = matches!(entry.command, Command::Verify).then_some(index);
        let (scheduled, called) = match called {
            Some(mut called) => (called.scheduled.take(), Some(called)),
            None => (None, None),
        };
        let (took, clock) = (begun.elapsed(), self.state.header().clock);
        let at = |caller| (index, clock, caller);
        match (scheduled, entry.command) {
            (Some(scheduled), _) => {
                let (call, caller) = *scheduled;
                self.shared.applied_call(took, at(caller), call, called);
            }
            (None, Command::Call(call)) => {
                self.shared.applied_call(took, at(entry.caller), call, called);
            }
            (None, Command::Decide(Decide { answer: aspen_core::Answer::Called(ran), .. })) => {
                let RanAcross { named, function, micros, .. } = *ran;
                let took = Duration::from_micros(micros);
                self.shared.note(took, at(entry.caller), (named, function), called);
            }
            _ => {}
        }
        Ok((Reply(outcome), verify))
    }

    /// Replaces the state by what `snapshot` holds. Readers go over to the new file; the old one is
    /// deleted when the new one is in place.
    fn install(&mut self, snapshot: Snapshot) -> Result<(), StoreError> {
        let Shared { owner, snapshots, snapshot_due, live, .. } = &*self.shared;
        let current = lock(live).file.clone();
        let opened = recovery::install(&snapshot, owner, &current)?;
        snapshots.adopt(snapshot)?;
        snapshot_due.made(snapshot_due.begun());
        let (mut state, file) = (opened.state, opened.file);
        let next = Live::new(file.clone(), &state, snapshots.last());
        let buffered = BufferedState::new(&mut state, live.clone()).map_err(Unusable::into_sqlite);
        let path = &file.path;
        self.state = buffered.context(StateStorageSnafu { what: "opening", path })?;
        *lock(live) = next;
        lock(&self.shared.idle).clear();
        // Its content is given up: an error on closing it means nothing any more.
        drop(self.flusher.replace(state));
        files::remove_database(&current.path)
    }
}

/// Tells all of `waiting` what came out.
fn answer(waiting: &mut Vec<Done>, result: &io::Result<()>) {
    for done in waiting.drain(..) {
        let result = match result {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        // Whoever asked may have been shut down meanwhile.
        let _: Result<(), io::Result<()>> = done.send(result);
    }
}
