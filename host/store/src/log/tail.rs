//! The part of a shard's log that is in memory: its bounds, and its latest entries.
//!
//! ```text
//! index    1 .. purged | purged+1 .......... | first cached ........... last
//!          deleted     | read from redb      | in memory, written or about to be
//! ```
//!
//! Promises that an entry is readable from the moment it is appended: an entry that is not yet on disk
//! is never dropped from memory. When the cache is full, entries on disk are dropped, oldest first.
//! Leaves out all disk access.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use aspen_core::ids::ShardId;
use openraft::EntryPayload;

use crate::limits::{LOG_CACHE_BYTES_MAX, LOG_ENTRY_OVERHEAD_BYTES};
use crate::types::{LogId, RaftEntry, Vote};

/// The tails of all shards, as the handles of a log and its writer share them.
pub type ShardTails = Arc<Mutex<BTreeMap<ShardId, ShardTail>>>;

/// A shard and the part of its log that is in memory.
#[derive(Clone)]
pub struct ShardTail {
    pub shard: ShardId,
    pub memory: Arc<Mutex<Tail>>,
}

impl ShardTail {
    /// Makes a tail that handles can share.
    pub fn new(shard: ShardId, tail: Tail) -> Self {
        Self { shard, memory: Arc::new(Mutex::new(tail)) }
    }
}

/// The bounds of a shard's log and its latest entries.
#[derive(Debug, Default)]
pub struct Tail {
    /// The last vote that is on disk.
    pub vote: Option<Vote>,
    /// The last entry of an earlier replica that was deleted here, until the log reaches as far again.
    pub promised: Option<LogId>,
    /// The last committed entry that openraft named.
    pub committed: Option<LogId>,
    /// True if the disk has an older one.
    pub committed_unsaved: bool,
    /// Everything up to here is deleted.
    pub purged: Option<LogId>,
    last: Option<LogId>,
    cached: BTreeMap<u64, CachedEntry>,
    bytes: usize,
    appends: u64,
    flushed: u64,
}

#[derive(Debug)]
struct CachedEntry {
    entry: RaftEntry,
    append: u64,
}

impl Tail {
    /// Makes a tail from the bounds on disk: no entry is cached.
    pub fn stored(
        vote: Option<Vote>,
        promised: Option<LogId>,
        committed: Option<LogId>,
        purged: Option<LogId>,
        last: Option<LogId>,
    ) -> Self {
        Self { vote, promised, committed, purged, last, ..Self::default() }
    }

    /// Returns the last entry, or the last deleted one if the log is empty.
    pub fn last(&self) -> Option<LogId> {
        self.last.max(self.purged)
    }

    /// Returns the last entry that stays promised when everything is deleted: that of this log, or of an
    /// earlier one if that log reached further.
    pub fn promise(&self) -> Option<LogId> {
        self.last().max(self.promised)
    }

    /// Returns true if something is promised and a log that reaches to `last` has all of it.
    pub fn restores(&self, last: Option<LogId>) -> bool {
        self.promised.is_some() && last >= self.promised
    }

    /// Notes that the log reaches to `last` on disk.
    pub fn reaches(&mut self, last: Option<LogId>) {
        self.promised = self.promised.filter(|promised| Some(*promised) > last);
    }

    /// Adds entries and returns the number of this append.
    pub fn append(&mut self, entries: &[RaftEntry]) -> u64 {
        self.appends += 1;
        if let Some(first) = entries.first() {
            self.drop_from(first.log_id.index);
        }
        for entry in entries {
            self.bytes += cost(entry);
            let cached = CachedEntry { entry: entry.clone(), append: self.appends };
            self.cached.insert(entry.log_id.index, cached);
            self.last = Some(entry.log_id);
        }
        self.appends
    }

    /// Returns true if the committed entry is on disk once everything up to append number `append` is.
    pub fn is_committed_written(&self, append: u64) -> bool {
        let written = self.flushed.max(append);
        // An entry that is not cached was written long ago.
        let cached = self.committed.and_then(|committed| self.cached.get(&committed.index));
        cached.is_none_or(|cached| cached.append <= written)
    }

    /// Notes that everything up to append number `append` is on disk: it may leave the cache.
    pub fn flushed(&mut self, append: u64) {
        self.flushed = self.flushed.max(append);
        while self.bytes > LOG_CACHE_BYTES_MAX
            && let Some(first) = self.cached.first_entry()
            && first.get().append <= self.flushed
        {
            self.bytes -= cost(&first.remove().entry);
        }
    }

    /// Deletes everything after `last`.
    pub fn truncate(&mut self, last: Option<LogId>) {
        let end = last.map_or(0, |last| last.index + 1);
        self.drop_from(end);
        if self.last.is_some_and(|last| last.index >= end) {
            self.last = last;
        }
    }

    /// Deletes everything up to `upto`.
    pub fn purge(&mut self, upto: LogId) {
        self.purged = self.purged.max(Some(upto));
        while let Some(first) = self.cached.first_entry()
            && *first.key() <= upto.index
        {
            self.bytes -= cost(&first.remove().entry);
        }
    }

    /// Narrows `range` to the entries that the log holds.
    pub fn clip(&self, range: Range<u64>) -> Range<u64> {
        let first = self.purged.map_or(0, |purged| purged.index + 1);
        let end = self.last.map_or(0, |last| last.index + 1);
        range.start.max(first)..range.end.min(end)
    }

    /// Returns the index from which on all entries are in memory.
    pub fn cached_from(&self) -> u64 {
        self.cached.first_key_value().map_or(u64::MAX, |(index, _)| *index)
    }

    /// Returns the cached entries of `range`.
    pub fn cached(&self, range: Range<u64>) -> impl Iterator<Item = &RaftEntry> {
        let range = range.start..range.end.max(range.start);
        self.cached.range(range).map(|(_, cached)| &cached.entry)
    }

    fn drop_from(&mut self, index: u64) {
        // Nearly always nothing has to go, and splitting a map counts the entries that stay.
        if self.cached.last_key_value().is_none_or(|(last, _)| *last < index) {
            return;
        }
        for cached in self.cached.split_off(&index).into_values() {
            self.bytes -= cost(&cached.entry);
        }
    }
}

/// Returns the bytes that an entry takes in memory, roughly.
pub fn cost(entry: &RaftEntry) -> usize {
    let payload = match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    };
    payload + LOG_ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{entry, log_id};

    fn indexes(tail: &Tail) -> Vec<u64> {
        tail.cached(0..u64::MAX).map(|entry| entry.log_id.index).collect()
    }

    #[test]
    fn storage_tail_keeps_what_is_not_on_disk() {
        let mut tail = Tail::default();
        let large = LOG_CACHE_BYTES_MAX / 2;
        let first = tail.append(&[entry(1, 1, large), entry(1, 2, large), entry(1, 3, large)]);
        tail.append(&[entry(1, 4, large)]);
        assert_eq!(indexes(&tail), [1, 2, 3, 4]);
        tail.flushed(first);
        assert_eq!(indexes(&tail), [4], "all but the unwritten one had to give way");
        assert_eq!(tail.last(), Some(log_id(1, 4)));
    }

    #[test]
    fn storage_tail_replaces_a_truncated_end() {
        let mut tail = Tail::default();
        tail.append(&[entry(1, 1, 10), entry(1, 2, 10), entry(1, 3, 10)]);
        tail.truncate(Some(log_id(1, 1)));
        assert_eq!((tail.last(), indexes(&tail)), (Some(log_id(1, 1)), vec![1]));
        tail.append(&[entry(2, 2, 10)]);
        assert_eq!(tail.clip(0..9), 0..3);
        assert_eq!(tail.cached(2..3).next().unwrap().log_id, log_id(2, 2));
        tail.purge(log_id(2, 2));
        assert_eq!((tail.last(), tail.bytes), (Some(log_id(2, 2)), 0));
        assert_eq!(tail.clip(0..9), 3..3);
    }
}
