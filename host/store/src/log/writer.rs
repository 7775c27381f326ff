//! The one writer of a node's log: all waiting requests, of all shards, in one durable transaction.
//!
//! ```text
//! s0 append 7,8 --+
//! s3 vote         +--> one redb transaction, one fsync --> answers to all three
//! s0 truncate 6 --+
//! ```
//!
//! Promises that requests of one shard take effect in the order in which they were sent, that no
//! request is answered with success before it is on disk, and that after the first failure everything
//! is refused: the content of a failing disk is not known. Old entries are deleted in bounded chunks,
//! between other requests, and nobody waits for the end.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use aspen_core::codec::encode;
use aspen_core::defect::{Defect, is_planted};
use aspen_core::ids::ShardId;
use bytes::Bytes;
use futures::FutureExt;
use redb::Database;
use tokio::sync::mpsc;

use super::frame::frame;
use super::request::LogRequest;
use super::tables::{BOUNDS, COMMITTED, ENTRIES, EntryTable, PROMISED, PURGED, VOTE, purge};
use super::tail::{ShardTail, ShardTails};
use crate::error::{StoreError, chain};
use crate::limits::{LOG_COMMITTED_INTERVAL, LOG_REQUESTS_MAX};
use crate::sync::lock;
use crate::types::LogId;

/// The reason why the log refuses everything, once it does.
pub type Failure = Arc<OnceLock<String>>;

/// The writer's side of a log.
pub struct LogWriter {
    pub db: Arc<Database>,
    pub path: PathBuf,
    pub shards: ShardTails,
    pub requests: mpsc::Receiver<LogRequest>,
    pub failure: Failure,
    /// Deletions not finished: shard to the last index to delete.
    pub purging: BTreeMap<ShardId, u64>,
    /// Transactions since the last one that stored the committed entries.
    pub since_committed: u32,
    #[cfg(madsim)]
    pub delay: crate::runtime::Delay,
}

/// Rows of the table `bounds` that a transaction changes; `None` is deleted.
#[derive(Default)]
struct BoundRows(Vec<((u16, u8), Option<Bytes>)>);

impl LogWriter {
    /// Serves requests until the log is closed or every handle is gone.
    pub async fn run(mut self) {
        let mut requests = Vec::with_capacity(LOG_REQUESTS_MAX);
        let mut open = true;
        while open {
            open = self.receive(&mut requests).await;
            open &= !requests.iter().any(closes);
            #[cfg(madsim)]
            self.delay.pass().await;
            #[cfg(madsim)]
            crate::runtime::sim_cost::log(requests.iter().map(LogRequest::entries).sum()).await;
            let result = self.commit_guarded(&requests);
            if result.is_ok() {
                requests.iter().for_each(LogRequest::note_written);
            }
            // The last append's answer covers those before it, and openraft takes answers in any
            // order: it then wakes up once and commits everything at once, instead of a part.
            requests.drain(..).rev().for_each(|request| request.answer(&result));
        }
    }

    /// Takes all waiting requests; waits for one if there is nothing else to do. Returns false if no
    /// more can come.
    async fn receive(&mut self, requests: &mut Vec<LogRequest>) -> bool {
        let receive = self.requests.recv_many(requests, LOG_REQUESTS_MAX);
        if self.purging.is_empty() {
            return receive.await > 0;
        }
        receive.now_or_never().is_none_or(|received| received > 0)
    }

    /// Does as [`Self::commit`], and remembers a failure for good. redb may panic on damaged pages: that
    /// is a failure like any other.
    fn commit_guarded(&mut self, requests: &[LogRequest]) -> Result<(), String> {
        if let Some(failure) = self.failure.get() {
            self.purging.clear();
            return Err(failure.clone());
        }
        let committed = catch_unwind(AssertUnwindSafe(|| self.commit(requests)));
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
        Err(self.failure.get_or_init(|| error).clone())
    }

    /// Writes the requests in one durable transaction.
    fn commit(&mut self, requests: &[LogRequest]) -> Result<(), redb::Error> {
        let mut transaction = self.db.begin_write()?;
        if is_planted(Defect::AckBeforeSync) {
            transaction.set_durability(redb::Durability::None)?;
        }
        let mut rows = BoundRows::default();
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            let mut stored = vec![];
            for request in requests {
                self.write(request, &mut entries, &mut rows, &mut stored)?;
            }
            self.purge_chunks(&mut entries)?;
        }
        self.write_committed(requests, &mut rows);
        rows.write(&transaction)?;
        transaction.commit()?;
        Ok(())
    }

    /// Writes one request; `stored` is room for the stored form of an entry.
    fn write(
        &mut self,
        request: &LogRequest,
        entries: &mut EntryTable<'_>,
        rows: &mut BoundRows,
        stored: &mut Vec<u8>,
    ) -> Result<(), redb::Error> {
        match request {
            LogRequest::Append { tail, entries: new, .. } => {
                for entry in new {
                    frame(entry, stored);
                    entries.insert((tail.shard.get(), entry.log_id.index), stored.as_slice())?;
                }
                if lock(&tail.memory).restores(new.last().map(|entry| entry.log_id)) {
                    rows.delete(tail.shard, PROMISED);
                }
            }
            LogRequest::Vote { tail, vote, .. } => rows.set(tail.shard, VOTE, encode(vote)),
            LogRequest::Truncate { shard, from, .. } => {
                let shard = shard.get();
                entries.retain_in((shard, *from)..=(shard, u64::MAX), |_, _| false)?;
            }
            LogRequest::Purge { tail, upto } => {
                rows.set(tail.shard, PURGED, encode(upto));
                if lock(&tail.memory).restores(Some(*upto)) {
                    rows.delete(tail.shard, PROMISED);
                }
                let last = self.purging.entry(tail.shard).or_default();
                *last = upto.index.max(*last);
            }
            LogRequest::Forget { tail, .. } => self.forget(tail, entries, rows)?,
            LogRequest::Close { .. } => {}
        }
        Ok(())
    }

    /// Deletes all of a shard's log but its vote and its promise. As a rule few entries are left: the
    /// purge before this request deletes them between other requests.
    fn forget(
        &mut self,
        tail: &ShardTail,
        entries: &mut EntryTable<'_>,
        rows: &mut BoundRows,
    ) -> Result<(), redb::Error> {
        let shard = tail.shard.get();
        self.purging.remove(&tail.shard);
        entries.retain_in((shard, 0)..=(shard, u64::MAX), |_, _| false)?;
        rows.delete(tail.shard, PURGED);
        rows.delete(tail.shard, COMMITTED);
        let mut memory = lock(&tail.memory);
        memory.committed_unsaved = false;
        if let Some(promised) = memory.promise() {
            rows.set(tail.shard, PROMISED, encode(&promised));
        }
        Ok(())
    }

    /// Deletes the next chunk of every unfinished deletion.
    fn purge_chunks(&mut self, entries: &mut EntryTable<'_>) -> Result<(), redb::Error> {
        for (shard, upto) in std::mem::take(&mut self.purging) {
            if !purge(entries, shard, upto)? {
                self.purging.insert(shard, upto);
            }
        }
        Ok(())
    }

    /// Stores the last committed entry of each shard, if that is due.
    fn write_committed(&mut self, requests: &[LogRequest], rows: &mut BoundRows) {
        self.since_committed += 1;
        if requests.iter().any(closes) || self.since_committed >= LOG_COMMITTED_INTERVAL {
            self.since_committed = 0;
            for (shard, committed) in self.unsaved_committed(requests) {
                rows.set(shard, COMMITTED, encode(&committed));
            }
        }
    }

    /// Returns the committed entries that only memory knows, of entries that are on disk with this
    /// transaction. An entry can be known to be committed while it still waits here, and a start must not
    /// look for an entry that the disk does not have. If the transaction fails, the log is dead anyway.
    fn unsaved_committed(&self, requests: &[LogRequest]) -> Vec<(ShardId, Option<LogId>)> {
        let mut written: BTreeMap<ShardId, u64> = BTreeMap::new();
        for request in requests {
            if let LogRequest::Append { tail, append, .. } = request {
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

impl BoundRows {
    fn set(&mut self, shard: ShardId, row: u8, value: Bytes) {
        self.0.push(((shard.get(), row), Some(value)));
    }

    fn delete(&mut self, shard: ShardId, row: u8) {
        self.0.push(((shard.get(), row), None));
    }

    /// Opens the table only if a row changes: a table without changes is not written either.
    fn write(self, transaction: &redb::WriteTransaction) -> Result<(), redb::Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut bounds = transaction.open_table(BOUNDS)?;
        for (key, row) in &self.0 {
            match row {
                Some(row) => drop(bounds.insert(key, &row[..])?),
                None => drop(bounds.remove(key)?),
            }
        }
        Ok(())
    }
}

fn closes(request: &LogRequest) -> bool {
    matches!(request, LogRequest::Close { .. })
}
