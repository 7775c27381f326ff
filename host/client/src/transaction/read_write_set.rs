//! The reads and writes of one attempt of a closure, and the records that the last conflict brought.
//!
//! Promises that a record which came with a conflict counts as read only if the closure asks for it.
//! Leaves out asking the shards (`attempt.rs`).

use std::collections::{BTreeMap, BTreeSet};

use aspen_core::ids::{Revision, ShardId};
use aspen_core::key::{Key, KeyRange, Value};
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{Item, Outcome, Page};
use aspen_core::refusal::Refusal;
use aspen_core::transaction::{ConflictError, Read, WriteOp};
use aspen_core::view::Record;

use crate::error::*;

/// Records that are true at one revision; `None` for an absent key.
pub type PresentRecords = BTreeMap<Key, Option<Record>>;

/// The reads and writes of one attempt.
#[derive(Default)]
pub struct ReadWriteSet {
    pub shards: BTreeSet<ShardId>,
    pub reads: PresentRecords,
    pub ranges: Vec<(ShardId, KeyRange, Revision)>,
    pub writes: BTreeMap<Key, WriteOp>,
    /// The records that the last conflict brought.
    pub present: PresentRecords,
    /// The revision at which everything read is true.
    pub revision: Revision,
    /// The first error of a write, which `set` and `delete` do not report themselves.
    pub error: Option<TransactionError>,
    /// Set when an earlier read does not hold any more: the records that are true now.
    pub changed: Option<PresentRecords>,
}

impl ReadWriteSet {
    /// Notes that everything read is true at this revision. The other records of the last conflict were
    /// not asked about, so they may be older than that: they are forgotten.
    pub fn moved_to(&mut self, revision: Revision) {
        self.revision = revision;
        self.present.clear();
    }

    /// Returns a record that is known without asking; the record counts as read.
    pub fn recall(&mut self, key: &Key) -> Option<Option<Record>> {
        if let Some(record) = self.reads.get(key) {
            return Some(record.clone());
        }
        let record = self.present.get(key)?.clone();
        self.reads.insert(key.clone(), record.clone());
        Some(record)
    }

    /// Returns the reads on the shards wanted.
    pub fn read_set(&self, is_wanted: impl Fn(ShardId) -> bool, router: &ShardRouter) -> Vec<Read> {
        let keys = self.reads.iter().filter(|(key, _)| is_wanted(router.shard(key.as_bytes())));
        let keys = keys.map(|(key, record)| Read::key(key.clone(), record));
        let ranges = self.ranges.iter().filter(|(shard, ..)| is_wanted(*shard));
        let ranges = ranges.map(|(shard, range, revision)| Read::Range {
            range: range.clone(),
            unchanged_since: *revision,
            shard: Some(*shard),
        });
        keys.chain(ranges).collect()
    }

    /// Returns the value that the transaction itself wrote to a key: `Some(None)` if it deletes the key,
    /// `None` if it does not write the key.
    pub fn written(&self, key: &Key) -> Option<Option<Value>> {
        self.writes.get(key).map(value_of)
    }

    /// Counts `range` as read on the shards of `pages`, and adds its entries to `found`, with the
    /// transaction's own writes over them.
    pub fn take_pages(
        &mut self,
        range: &KeyRange,
        pages: impl Iterator<Item = (ShardId, Page)>,
        found: &mut BTreeMap<Key, Value>,
    ) {
        if range.is_empty() {
            return;
        }
        for (shard, page) in pages {
            self.ranges.push((shard, range.clone(), page.revision));
            let items = page.items.into_iter().map(|Item { key, record }| (key, record.value));
            found.extend(items.filter(|(key, _)| range.contains(key.as_bytes())));
        }
        for (key, write) in self.writes.range::<[u8], _>(range.bounds()) {
            match value_of(write) {
                Some(value) => found.insert(key.clone(), value),
                None => found.remove(key),
            };
        }
    }

    /// Returns the records of all keys read, as they are at the revision of a conflict: the keys that the
    /// conflict names as it says, the others as they were read.
    pub fn now(&mut self, outcome: Outcome) -> Result<PresentRecords, TransactionError> {
        let conflicts = match outcome {
            Outcome::Conflict { conflicts, .. } => conflicts,
            // The revision is too long ago to tell: read everything again.
            Outcome::Refused(Refusal::RevisionTooOld { .. }) => return Ok(PresentRecords::new()),
            Outcome::Refused(refusal) => return TransactionRefusalSnafu { refusal }.fail(),
            _ => return Err(RequestError::Protocol.into()),
        };
        let mut present = std::mem::take(&mut self.reads);
        for ConflictError { key, actual, record, .. } in conflicts {
            match record {
                // The record exists, but did not fit into the answer.
                None if actual.version.get() > 0 => present.remove(&key),
                record => present.insert(key, record),
            };
        }
        Ok(present)
    }
}

fn value_of(write: &WriteOp) -> Option<Value> {
    match write {
        WriteOp::Set { value, .. } => Some(value.clone()),
        WriteOp::Delete { .. } | WriteOp::Expire { .. } => None,
    }
}
