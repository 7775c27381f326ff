//! The worker that changes a shard's state: the only one that writes to its SQLite file.
//!
//! Promises that a batch of entries is applied in one transaction and answered after it, and that
//! after the first fault nothing is applied any more: the fault is remembered, the replica stops,
//! and a restart begins from the last whole batch.

use std::io;
use std::sync::Arc;

use aspen_core::{Fault, Functions, ShardRouter};
use openraft::EntryPayload;
use openraft::storage::{ApplyResponder, EntryResponder};
use tokio::sync::{mpsc, oneshot};

use crate::error::{StoreError, chain};
use crate::files;
use crate::log::lock;
use crate::reader::Shared;
use crate::recovery::{self, Opened};
use crate::state::SqliteState;
use crate::types::{Entry, LogId, Proposal, Reply, Snapshot, StoredMembership, TypeConfig};

/// Jobs that may wait: openraft sends one at a time, a snapshot another.
pub const JOBS_MAX: usize = 4;

/// What the worker is asked to do.
pub enum Job {
    Apply {
        batch: Vec<EntryResponder<TypeConfig>>,
        done: Done,
    },
    /// Make everything applied durable.
    Sync {
        done: Done,
    },
    Install {
        snapshot: Snapshot,
        done: Done,
    },
    /// The last applied entry and the members.
    Applied {
        done: oneshot::Sender<(Option<LogId>, StoredMembership)>,
    },
}

/// Where a job's answer goes.
pub type Done = oneshot::Sender<io::Result<()>>;

/// The worker's side of a state machine.
pub struct ApplyWorker {
    pub shared: Arc<Shared>,
    pub opened: Opened,
    pub functions: Arc<dyn Functions>,
    pub router: ShardRouter,
    pub jobs: mpsc::Receiver<Job>,
    /// Dropped at the end, when the file is closed: [`crate::StateReader::closed`] waits for it.
    pub alive: mpsc::Receiver<()>,
}

impl ApplyWorker {
    /// Serves jobs until the state machine is dropped.
    pub async fn run(mut self) {
        while let Some(job) = self.jobs.recv().await {
            self.serve(job);
        }
        let Self { shared, opened, alive, .. } = self;
        lock(&shared.idle).clear();
        let failed = lock(&shared.status).failed.is_some();
        let closed = opened.state.close();
        if let (Ok(()), false) = (closed, failed)
            && let Err(error) = recovery::mark_closed(&shared.dir)
        {
            tracing::warn!("{}", chain(&error));
        }
        drop(alive);
    }

    fn serve(&mut self, job: Job) {
        let (result, done) = match job {
            Job::Applied { done } => {
                let state = &self.opened.state;
                let _: Result<(), _> = done.send((state.applied(), state.membership().clone()));
                return;
            }
            Job::Apply { batch, done } => (self.guarded(|worker| worker.apply(batch)), done),
            Job::Sync { done } => (self.guarded(|worker| Ok(worker.opened.state.sync()?)), done),
            Job::Install { snapshot, done } => {
                (self.guarded(|worker| Ok(worker.install(snapshot)?)), done)
            }
        };
        // Whoever asked may have been shut down meanwhile.
        let _: Result<(), io::Result<()>> = done.send(result);
    }

    /// Runs `work` unless something failed before; remembers its failure.
    fn guarded(&mut self, work: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        if let Some(failed) = lock(&self.shared.status).failed.clone() {
            return Err(io::Error::other(failed));
        }
        let result = work(self);
        if let Err(error) = &result {
            tracing::error!("{} stops: {error}", self.shared.owner.shard);
            lock(&self.shared.status).failed = Some(error.to_string());
        }
        result
    }

    fn apply(&mut self, batch: Vec<EntryResponder<TypeConfig>>) -> io::Result<()> {
        match self.apply_batch(batch) {
            Ok(answers) => {
                self.publish_status();
                answers.into_iter().for_each(|(responder, reply)| responder.send(reply));
                let due = self.opened.state.checkpoint_if_due();
                due.map_err(|fault| io::Error::other(chain(&fault)))
            }
            Err((log_id, fault)) => {
                self.opened.state.roll_back();
                let (shard, path) = (self.shared.owner.shard, self.opened.file.path.display());
                let at = log_id.map_or(0, |log_id| log_id.index);
                let fault = chain(&fault);
                Err(io::Error::other(format!("{shard} entry {at}, state {path}: {fault}")))
            }
        }
    }

    fn apply_batch(
        &mut self,
        batch: Vec<EntryResponder<TypeConfig>>,
    ) -> Result<Vec<(ApplyResponder<TypeConfig>, Reply)>, (Option<LogId>, Fault)> {
        self.opened.state.begin().map_err(|fault| (None, fault))?;
        let mut answers = vec![];
        let mut last = None;
        for (entry, responder) in batch {
            last = Some(entry.log_id);
            let reply = self.apply_entry(entry).map_err(|fault| (last, fault))?;
            answers.extend(responder.map(|responder| (responder, reply)));
        }
        self.opened.state.commit().map_err(|fault| (last, fault))?;
        Ok(answers)
    }

    fn apply_entry(&mut self, entry: Entry) -> Result<Reply, Fault> {
        let log_id = entry.log_id;
        let state = &mut self.opened.state;
        if state.applied().is_some_and(|applied| applied.index >= log_id.index) {
            return Err(Fault::new("applying in order", "the entry was applied before"));
        }
        let (reply, membership) = match entry.payload {
            EntryPayload::Blank => (Reply::default(), None),
            EntryPayload::Membership(membership) => {
                (Reply::default(), Some(StoredMembership::new(Some(log_id), membership)))
            }
            EntryPayload::Normal(Proposal(bytes)) => {
                let entry: aspen_core::Entry = aspen_core::decode(&bytes)
                    .map_err(|error| Fault::new("decoding the entry", error))?;
                let (functions, shard) = (&*self.functions, self.shared.owner.shard);
                let applied = aspen_core::apply(state, functions, shard, self.router, &entry)?;
                for line in &applied.log {
                    tracing::info!(target: "aspen::function", %shard, "{line}");
                }
                (Reply(applied.outcome), None)
            }
        };
        state.advance(log_id, membership)?;
        Ok(reply)
    }

    /// Replaces the state by what `snapshot` holds. Readers go over to the new file; the old one is
    /// deleted when the new one is in place.
    fn install(&mut self, snapshot: Snapshot) -> Result<(), StoreError> {
        let Shared { owner, snapshots, live, .. } = &*self.shared;
        let opened = recovery::install(&snapshot, owner, &self.opened.file)?;
        snapshots.adopt(snapshot)?;
        let replaced = std::mem::replace(&mut self.opened, opened);
        *lock(live) = self.opened.file.clone();
        lock(&self.shared.idle).clear();
        self.publish_status();
        // Its content is given up: an error on closing it means nothing any more.
        drop(replaced.state);
        files::remove_database(&replaced.file.path)
    }

    fn publish_status(&self) {
        let state: &SqliteState = &self.opened.state;
        let mut status = lock(&self.shared.status);
        status.header = aspen_core::State::header(state);
        status.applied = state.applied();
        status.snapshot = self.shared.snapshots.last();
    }
}
