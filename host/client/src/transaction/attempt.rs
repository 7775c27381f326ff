//! One attempt of a closure: reads that see one view of each shard, and writes that wait for the commit.
//!
//! Promises that a read is answered only if all earlier reads on its shard still hold. Leaves out the
//! next attempt (`closure.rs`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use aspen_core::ids::{Revision, ShardId};
use aspen_core::key::{Key, KeyRange, Value};
use aspen_core::limits::TXN_SHARDS_MAX;
use aspen_core::protocol::{Consistency, Outcome, Page, ScanRequest};
use aspen_core::refusal::Refusal;
use aspen_core::transaction::{BuildError, Expiry, Transact, WriteOp};
use bytes::Bytes;
use futures::future::try_join_all;
use snafu::{OptionExt, ensure};

use crate::arguments::to_key;
use crate::client::Client;
use crate::error::*;
use crate::transaction::read_write_set::{PresentRecords, ReadWriteSet};

/// One attempt of a closure. Clones are the same transaction.
#[derive(Clone)]
pub struct Transaction {
    client: Client,
    state: Arc<Mutex<ReadWriteSet>>,
}

impl Transaction {
    /// Begins an attempt with the records that the last conflict brought.
    pub(super) fn new(client: Client, present: PresentRecords) -> Self {
        let state = ReadWriteSet { present, ..ReadWriteSet::default() };
        Self { client, state: Arc::new(Mutex::new(state)) }
    }

    fn locked(&self) -> MutexGuard<'_, ReadWriteSet> {
        self.state.lock().expect("no panic while the lock is held")
    }

    /// Returns the value of a key as the transaction sees it.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Value>, TransactionError> {
        let key = to_key(key)?;
        let (shard, reads) = {
            let mut set = self.locked();
            if let Some(value) = set.written(&key) {
                return Ok(value);
            }
            let shard = self.client.router().shard(key.as_bytes());
            set.shards.insert(shard);
            if let Some(record) = set.recall(&key) {
                return Ok(record.map(|record| record.value));
            }
            (shard, set.read_set(|other| other == shard, self.client.router()))
        };
        let consistency = Consistency::Linearizable;
        let read = self.client.read_checked(shard, vec![key.clone()], reads, consistency).await?;
        let records = read.map_err(|outcome| self.reject(outcome))?;
        let mut set = self.locked();
        set.moved_to(records.revision);
        let record = records.records.into_iter().next().context(ProtocolSnafu)?;
        set.reads.insert(key, record.clone());
        Ok(record.map(|record| record.value))
    }

    /// Returns the keys of a range in order, with their values, as the transaction sees them: at most
    /// `limit`, all if 0.
    ///
    /// The commit also checks that no other key appeared in the range. A range that no `{tag}` keeps on
    /// one shard is read on all shards, and then all of them, up to [`TXN_SHARDS_MAX`], take part in the
    /// commit.
    pub async fn scan(
        &self,
        range: impl Into<KeyRange>,
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, TransactionError> {
        let mut range: KeyRange = range.into();
        let shards = self.shards_of(&range)?;
        self.locked().shards.extend(&shards);
        let mut found = BTreeMap::new();
        loop {
            // Each own delete may take one entry away.
            let deletes = self.locked().writes.len();
            let wanted = if limit == 0 { 0 } else { limit - found.len().min(limit) + deletes };
            let pages = shards.iter().map(|shard| self.page(*shard, range.clone(), wanted));
            let pages = try_join_all(pages).await?;
            // All entries are known up to the end of the shortest page. Entries beyond are read again.
            let lasts = pages.iter().filter(|page| page.more).filter_map(|page| page.items.last());
            let rest = lasts.map(|last| &last.key).min().map(|last| range.beyond(last, false));
            let end = rest.as_ref().map(|rest: &KeyRange| rest.start.clone());
            let passed = KeyRange { start: range.start.clone(), end: end.or(range.end.clone()) };
            let pages = shards.iter().copied().zip(pages);
            self.locked().take_pages(&passed, pages, &mut found);
            match rest {
                Some(rest) if limit == 0 || found.len() < limit => range = rest,
                _ => break,
            }
        }
        let wanted = if limit == 0 { usize::MAX } else { limit };
        Ok(found.into_iter().take(wanted).collect())
    }

    /// Returns the shards with keys of a range; an error if they are too many for a transaction.
    fn shards_of(&self, range: &KeyRange) -> Result<Vec<ShardId>, TransactionError> {
        let router = self.client.router();
        let shards: Vec<ShardId> = match router.range_shard(range) {
            Some(shard) => vec![shard],
            None => router.all().collect(),
        };
        let refusal = Refusal::TooManyShards { shards: shards.len() as u64 };
        ensure!(shards.len() <= TXN_SHARDS_MAX, TransactionRefusalSnafu { refusal });
        Ok(shards)
    }

    /// Reads the next entries of a range on one shard, up to `limit` (all that fit a page if 0), if all
    /// that was read there still holds.
    async fn page(
        &self,
        shard: ShardId,
        range: KeyRange,
        limit: usize,
    ) -> Result<Page, TransactionError> {
        let reads = self.locked().read_set(|other| other == shard, self.client.router());
        let limit = if limit == 0 { u32::MAX } else { u32::try_from(limit).unwrap_or(u32::MAX) };
        let scan = ScanRequest {
            shard,
            range,
            reverse: false,
            keys_only: false,
            limit,
            bytes: u32::MAX,
            reads,
            consistency: Consistency::Linearizable,
            view: None,
        };
        let page = self.client.read_page(scan).await?;
        let page = page.map_err(|outcome| self.reject(outcome))?;
        ensure!(!page.more || !page.items.is_empty(), ProtocolSnafu);
        self.locked().moved_to(page.revision);
        Ok(page)
    }

    /// Creates or replaces a key when the transaction commits. The commit reports a key or value outside
    /// its limits.
    pub fn set(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
        self.set_expiring(key, value, Expiry::Never);
    }

    /// Does as [`Self::set`], for a time or as long as a lease.
    pub fn set_expiring(&self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>, expiry: Expiry) {
        let value = Value::new(Bytes::copy_from_slice(value.as_ref())).map_err(BuildError::from);
        self.write(key, |key| Ok(WriteOp::Set { key, value: value?, expiry }));
    }

    /// Removes a key when the transaction commits.
    pub fn delete(&self, key: impl AsRef<[u8]>) {
        self.write(key, |key| Ok(WriteOp::Delete { key }));
    }

    /// Gives up: the closure returns this error, and nothing is written.
    pub fn give_up(&self, reason: impl Into<String>) -> TransactionError {
        TransactionError::GaveUp { reason: reason.into() }
    }

    fn write(&self, key: impl AsRef<[u8]>, make: impl FnOnce(Key) -> Result<WriteOp, BuildError>) {
        let write = || -> Result<WriteOp, TransactionError> { Ok(make(to_key(key)?)?) };
        let mut set = self.locked();
        match write() {
            Ok(write) => {
                let key = write.key().clone();
                set.shards.insert(self.client.router().shard(key.as_bytes()));
                set.writes.insert(key, write);
            }
            Err(error) => set.error = set.error.take().or(Some(error)),
        }
    }

    /// Notes the present records when an earlier read does not hold any more, and returns the error that
    /// the closure passes on.
    fn reject(&self, outcome: Outcome) -> TransactionError {
        let mut set = self.locked();
        match set.now(outcome) {
            Ok(present) => set.changed = Some(present),
            Err(error) => return error,
        }
        TransactionError::Changed
    }

    /// Takes the present records if an earlier read did not hold any more.
    pub(super) fn take_changed(&self) -> Option<PresentRecords> {
        self.locked().changed.take()
    }

    /// Commits the writes of the closure; the inner `Err` has the present records after a conflict.
    pub(super) async fn commit(
        &self,
    ) -> Result<Result<Revision, PresentRecords>, TransactionError> {
        let transact = {
            let mut set = self.locked();
            if let Some(error) = set.error.take() {
                return Err(error);
            }
            let then = set.writes.values().cloned().map(Into::into).collect::<Vec<_>>();
            let reads = set.read_set(|_| true, self.client.router());
            // On one shard every read was answered only if those before still held: together they
            // are one view. A record that came with a conflict counts only once it is checked.
            let is_view = set.shards.len() < 2 && set.present.is_empty();
            if then.is_empty() && (is_view || reads.is_empty()) {
                return Ok(Ok(set.revision));
            }
            Transact { reads, then, otherwise: None, return_values: true }
        };
        match self.client.write(transact).await {
            Ok(committed) => Ok(Ok(committed.revision)),
            Err(WriteError::Conflict { revision, conflicts }) => {
                Ok(Err(self.locked().now(Outcome::Conflict { revision, conflicts })?))
            }
            Err(WriteError::Refusal { refusal }) => {
                Ok(Err(self.locked().now(Outcome::Refused(refusal))?))
            }
            Err(error) => Err(error.into()),
        }
    }
}
