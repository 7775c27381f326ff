//! The one writer of a node's log: everything waiting, of all shards, in one durable transaction.
//!
//! ```text
//! s0 append 7,8 --+
//! s3 vote         +--> one redb transaction, one fsync --> answers to all three
//! s0 truncate 6 --+
//! ```
//!
//! Promises that jobs of one shard take effect in the order in which they were sent, that nothing
//! is answered with success before it is on disk, and that after the first failure everything is
//! refused: what a failing disk holds is not known. Deleting old entries is done in bounded chunks,
//! between other jobs, and is not waited for.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use aspen_core::defect::{Defect, is_planted};
use aspen_core::{ShardId, encode};
use bytes::Bytes;
use futures::FutureExt;
use openraft::storage::IOFlushed;
use redb::Database;
use tokio::sync::{mpsc, oneshot};

use crate::error::{StoreError, chain};
use crate::log::{ShardTail, Shards, lock};
use crate::log_file::{BOUNDS, COMMITTED, ENTRIES, PROMISED, PURGED, VOTE, frame, purge};
use crate::log_tail::Tail;
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// Jobs that may wait, and that one transaction takes: far more than shards, so the bound is felt
/// only when the disk is behind; then appends wait in openraft.
pub const JOBS_MAX: usize = 1024;

/// Transactions from one that writes down what is committed to the next: a start applies up to there at
/// once, and the rest when a leader says that it is committed. Nothing else depends on it.
const COMMITTED_EVERY: u32 = 16;

/// What the writer is asked to do.
pub enum Job {
    Append {
        tail: ShardTail,
        entries: Vec<Entry>,
        append: u64,
        done: IOFlushed<TypeConfig>,
    },
    Vote {
        tail: ShardTail,
        vote: Vote,
        done: Done,
    },
    Truncate {
        shard: ShardId,
        from: u64,
        done: Done,
    },
    Purge {
        tail: ShardTail,
        upto: LogId,
    },
    /// Delete everything but the vote and how far the log reached.
    Forget {
        tail: ShardTail,
        done: Done,
    },
    /// Write down what is only in memory; nothing comes after.
    Close {
        done: Done,
    },
}

/// Where a job's answer goes.
pub type Done = oneshot::Sender<io::Result<()>>;

/// Why the log refuses everything, once it does.
pub type Failed = Arc<OnceLock<String>>;

/// The writer's side of a log.
pub struct Writer {
    pub db: Arc<Database>,
    pub path: PathBuf,
    pub shards: Shards,
    pub jobs: mpsc::Receiver<Job>,
    pub failed: Failed,
    /// Deletions not finished: shard to the last index to delete.
    pub purging: BTreeMap<ShardId, u64>,
    /// Transactions since what is committed was written down.
    pub since_committed: u32,
    #[cfg(madsim)]
    pub delay: crate::sim_runtime::Delay,
}

impl Writer {
    /// Serves jobs until the log is closed or every handle is gone.
    pub async fn run(mut self) {
        let mut jobs = Vec::with_capacity(JOBS_MAX);
        let mut open = true;
        while open {
            open = self.receive(&mut jobs).await;
            open &= !jobs.iter().any(|job| matches!(job, Job::Close { .. }));
            #[cfg(madsim)]
            self.delay.pass().await;
            #[cfg(madsim)]
            crate::sim_cost::log(jobs.iter().map(entries_of).sum()).await;
            let result = self.commit_guarded(&jobs);
            if result.is_ok() {
                jobs.iter().for_each(note);
            }
            // The last append's answer covers those before it, and openraft takes answers in any
            // order: it then wakes up once and commits everything at once, instead of a part.
            jobs.drain(..).rev().for_each(|job| answer(job, &result));
        }
    }

    /// Takes all waiting jobs, waiting for one if there is nothing else to do. `false` means that
    /// no more can come.
    async fn receive(&mut self, jobs: &mut Vec<Job>) -> bool {
        let receive = self.jobs.recv_many(jobs, JOBS_MAX);
        if self.purging.is_empty() {
            return receive.await > 0;
        }
        receive.now_or_never().is_none_or(|received| received > 0)
    }

    /// As [`Self::commit`], remembering a failure for good. redb may panic on damaged pages: that
    /// is a failure like any other.
    fn commit_guarded(&mut self, jobs: &[Job]) -> Result<(), String> {
        if let Some(failed) = self.failed.get() {
            self.purging.clear();
            return Err(failed.clone());
        }
        let committed = catch_unwind(AssertUnwindSafe(|| self.commit(jobs)));
        let error = match committed {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(source)) => {
                let (what, path) = ("writing", self.path.clone());
                chain(&StoreError::LogStorage { what, path, source: Box::new(source) })
            }
            Err(_) => format!("raft log {}: redb panicked, see above", self.path.display()),
        };
        let error = format!("{error}; the log takes nothing more until this node restarts");
        tracing::error!("{error}");
        self.purging.clear();
        Err(self.failed.get_or_init(|| error).clone())
    }

    fn commit(&mut self, jobs: &[Job]) -> Result<(), redb::Error> {
        let mut transaction = self.db.begin_write()?;
        if is_planted(Defect::AckBeforeSync) {
            transaction.set_durability(redb::Durability::None)?;
        }
        // Rows of the other table that change, `None` to be deleted. It is opened only for them: a table
        // that nothing changed is not written either.
        let mut rows: Vec<((u16, u8), Option<Bytes>)> = vec![];
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            let mut stored = vec![];
            for job in jobs {
                match job {
                    Job::Append { tail, entries: new, .. } => {
                        for entry in new {
                            frame(entry, &mut stored);
                            let key = (tail.shard.get(), entry.log_id.index);
                            entries.insert(key, stored.as_slice())?;
                        }
                        if lock(&tail.memory).restores(last_of(new)) {
                            rows.push(((tail.shard.get(), PROMISED), None));
                        }
                    }
                    Job::Vote { tail, vote, .. } => {
                        rows.push(((tail.shard.get(), VOTE), Some(encode(vote))));
                    }
                    Job::Truncate { shard, from, .. } => {
                        let shard = shard.get();
                        entries.retain_in((shard, *from)..=(shard, u64::MAX), |_, _| false)?;
                    }
                    Job::Purge { tail, upto } => {
                        rows.push(((tail.shard.get(), PURGED), Some(encode(upto))));
                        if lock(&tail.memory).restores(Some(*upto)) {
                            rows.push(((tail.shard.get(), PROMISED), None));
                        }
                        let last = self.purging.entry(tail.shard).or_default();
                        *last = upto.index.max(*last);
                    }
                    Job::Forget { tail, .. } => {
                        // As a rule little is left: the purge before it deletes between other jobs.
                        let shard = tail.shard.get();
                        self.purging.remove(&tail.shard);
                        entries.retain_in((shard, 0)..=(shard, u64::MAX), |_, _| false)?;
                        rows.extend([((shard, PURGED), None), ((shard, COMMITTED), None)]);
                        let mut memory = lock(&tail.memory);
                        memory.committed_unsaved = false;
                        if let Some(promised) = memory.promise() {
                            rows.push(((shard, PROMISED), Some(encode(&promised))));
                        }
                    }
                    Job::Close { .. } => {}
                }
            }
            for (shard, upto) in std::mem::take(&mut self.purging) {
                if !purge(&mut entries, shard, upto)? {
                    self.purging.insert(shard, upto);
                }
            }
        }
        self.since_committed += 1;
        let is_last = jobs.iter().any(|job| matches!(job, Job::Close { .. }));
        if is_last || self.since_committed >= COMMITTED_EVERY {
            self.since_committed = 0;
            for (shard, committed) in self.unsaved_committed(jobs) {
                rows.push(((shard.get(), COMMITTED), Some(encode(&committed))));
            }
        }
        if !rows.is_empty() {
            let mut bounds = transaction.open_table(BOUNDS)?;
            for (key, row) in &rows {
                match row {
                    Some(row) => drop(bounds.insert(key, &row[..])?),
                    None => drop(bounds.remove(key)?),
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    /// What is committed but only in memory, of entries that are on disk with this transaction: an
    /// entry can be known to be committed while it still waits here, and a start must not look for
    /// what is not there. Should the transaction fail, the log is dead anyway.
    fn unsaved_committed(&self, jobs: &[Job]) -> Vec<(ShardId, Option<LogId>)> {
        let mut written: BTreeMap<ShardId, u64> = BTreeMap::new();
        for job in jobs {
            if let Job::Append { tail, append, .. } = job {
                written.insert(tail.shard, *append);
            }
        }
        let unsaved = |tail: &ShardTail| {
            let mut memory = lock(&tail.memory);
            let written = written.get(&tail.shard).copied().unwrap_or_default();
            if !memory.committed_unsaved || !memory.is_committed_written(written) {
                return None;
            }
            memory.committed_unsaved = false;
            let committed = match is_planted(Defect::ApplyBeforeCommit) {
                true => memory.last(),
                false => memory.committed,
            };
            Some((tail.shard, committed))
        };
        lock(&self.shards).values().filter_map(unsaved).collect()
    }
}

#[cfg(madsim)]
fn entries_of(job: &Job) -> usize {
    match job {
        Job::Append { entries, .. } => entries.len(),
        _ => 0,
    }
}

fn last_of(entries: &[Entry]) -> Option<LogId> {
    entries.last().map(|entry| entry.log_id)
}

/// Tells the memory of its shard what is on disk now.
fn note(job: &Job) {
    match job {
        Job::Append { tail, append, entries, .. } => {
            let mut memory = lock(&tail.memory);
            memory.flushed(*append);
            memory.reaches(last_of(entries));
        }
        Job::Purge { tail, upto } => lock(&tail.memory).reaches(Some(*upto)),
        Job::Vote { tail, vote, .. } => lock(&tail.memory).vote = Some(*vote),
        Job::Forget { tail, .. } => {
            let mut memory = lock(&tail.memory);
            *memory = Tail::stored(memory.vote, memory.promise(), None, None, None);
        }
        Job::Truncate { .. } | Job::Close { .. } => {}
    }
}

fn answer(job: Job, result: &Result<(), String>) {
    let result = result.clone().map_err(io::Error::other);
    let done = match job {
        Job::Append { done, .. } => return done.io_completed(result),
        Job::Purge { .. } => return,
        Job::Vote { done, .. } | Job::Truncate { done, .. } => done,
        Job::Forget { done, .. } | Job::Close { done } => done,
    };
    // Whoever asked may have given up waiting.
    let _: Result<(), io::Result<()>> = done.send(result);
}
