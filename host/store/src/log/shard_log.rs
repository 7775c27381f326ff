//! The log of one shard, as openraft writes it.
//!
//! Promises that an append or a vote is on disk when it is answered, and that the promises of a deleted
//! replica to others are not forgotten. Leaves out reading (`read.rs`) and the disk (`writer.rs`).

use std::io;
use std::sync::{Arc, Mutex};

use aspen_core::defect::{Defect, is_planted};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{LogIdOptionExt, OptionalSend};
use redb::Database;
use tokio::sync::{mpsc, oneshot};

use super::request::LogRequest;
use super::tail::{ShardTail, ShardTails};
use super::writer::Failure;
use crate::runtime::Worker;
use crate::sync::{CompletionSender, lock};
use crate::types::{LogId, RaftEntry, TypeConfig, Vote};

/// A handle to the log of a node: the way to its writer and its file.
pub struct LogHandle {
    // In this order they are dropped: without senders the writer ends, then it is waited for.
    pub requests: mpsc::Sender<LogRequest>,
    pub worker: Mutex<Option<Worker>>,
    /// `None` once the log is closed: then its file can be opened again.
    pub db: Mutex<Option<Arc<Database>>>,
    pub shards: ShardTails,
    pub failure: Failure,
    #[cfg(madsim)]
    pub delay: crate::runtime::Delay,
}

/// The log of one shard, as openraft uses it.
#[derive(Clone)]
pub struct ShardLog {
    pub(super) log: Arc<LogHandle>,
    pub(super) tail: ShardTail,
}

impl LogHandle {
    /// Sends a request, unless the log has failed.
    pub async fn send(&self, request: LogRequest) -> io::Result<()> {
        // A writer that failed must end too.
        let ends = matches!(request, LogRequest::Close { .. });
        if let Some(failure) = self.failure.get().filter(|_| !ends) {
            return Err(io::Error::other(failure.clone()));
        }
        self.requests.send(request).await.map_err(|_| io::Error::other("the raft log is closed"))
    }

    /// Sends a request and waits until it is done.
    pub async fn request(
        &self,
        request: impl FnOnce(CompletionSender) -> LogRequest,
    ) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.send(request(done)).await?;
        answer.await.unwrap_or_else(|_| Err(io::Error::other("the raft log is closed")))
    }
}

impl ShardLog {
    /// Makes a handle to the log of the shard that `tail` names.
    pub(super) fn new(log: Arc<LogHandle>, tail: ShardTail) -> Self {
        Self { log, tail }
    }

    /// Returns the last entry that is deleted.
    pub fn purged(&self) -> Option<LogId> {
        lock(&self.tail.memory).purged
    }

    /// Returns the last entry of an earlier replica whose log was deleted here, while this log is
    /// shorter. Other replicas may count on the earlier one for entries that this log does not have, so
    /// this replica must neither vote nor stand for election.
    pub fn promised(&self) -> Option<LogId> {
        lock(&self.tail.memory).promised.filter(|_| !is_planted(Defect::ForgetPromise))
    }

    /// Returns the last entry, on disk or not.
    pub fn last(&self) -> Option<LogId> {
        lock(&self.tail.memory).last()
    }

    /// Drops the entries that contradict a state that reaches to `applied`, before Raft starts: the state
    /// came with a snapshot from another replica. Returns the last entry that is deleted once Raft runs.
    ///
    /// `applied` is committed. If the log reaches that index but ends in an older term, then the log
    /// holds another entry at that index, and nothing from there on was ever committed; the entries
    /// before are in the state. A log that is merely shorter stays: openraft closes the gap, by
    /// deleting up to `applied`.
    pub async fn fit(&mut self, applied: Option<LogId>) -> io::Result<Option<LogId>> {
        let (last, purged) = {
            let memory = lock(&self.tail.memory);
            (memory.last(), memory.purged)
        };
        let contradicts = last < applied && last.index() >= applied.index();
        if contradicts {
            self.truncate_after(purged).await?;
        }
        Ok(if last < applied { applied } else { purged })
    }

    /// Deletes everything but the vote and the last entry that the log reached: the replica is gone,
    /// but its promises hold. The caller has stopped the replica's Raft group.
    pub async fn forget(&mut self) -> io::Result<()> {
        // After a stop in between, the next start finds a purged log, and deletes the rest.
        if let Some(last) = self.last() {
            self.purge(last).await?;
        }
        let tail = self.tail.clone();
        self.log.request(|done| LogRequest::Forget { tail, done }).await
    }
}

impl RaftLogStorage<TypeConfig> for ShardLog {
    type LogReader = ShardLog;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let memory = lock(&self.tail.memory);
        Ok(LogState { last_purged_log_id: memory.purged, last_log_id: memory.last() })
    }

    async fn get_log_reader(&mut self) -> ShardLog {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (tail, vote) = (self.tail.clone(), *vote);
        self.log.request(|done| LogRequest::Vote { tail, vote, done }).await
    }

    /// Keeps the id in memory; a later transaction writes it. A crash in between costs a restarted
    /// replica a moment until the leader names the id again, never an entry.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let mut memory = lock(&self.tail.memory);
        memory.committed = committed;
        memory.committed_unsaved = true;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(lock(&self.tail.memory).committed)
    }

    async fn append<I>(&mut self, entries: I, done: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<RaftEntry> = entries.into_iter().collect();
        let append = lock(&self.tail.memory).append(&entries);
        let tail = self.tail.clone();
        self.log.send(LogRequest::Append { tail, entries, append, done }).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        lock(&self.tail.memory).truncate(last);
        let (shard, from) = (self.tail.shard, last.next_index());
        self.log.request(|done| LogRequest::Truncate { shard, from, done }).await
    }

    /// Returns before the entries are deleted: a crash in between only leaves more entries than needed.
    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let upto = match is_planted(Defect::PurgeEarly) {
            true => lock(&self.tail.memory).committed.unwrap_or(upto).max(upto),
            false => upto,
        };
        lock(&self.tail.memory).purge(upto);
        let tail = self.tail.clone();
        self.log.send(LogRequest::Purge { tail, upto }).await
    }
}
