//! What the log of one shard keeps in memory: its bounds, and its latest entries.
//!
//! ```text
//! index    1 .. purged | purged+1 .......... | first cached ........... last
//!          deleted     | read from redb      | in memory, written or about to be
//! ```
//!
//! Promises that an entry is readable from the moment it is appended: what is not yet on disk is
//! never dropped from memory. What is on disk is dropped, oldest first, when the cache is full.
//! Leaves out all disk access.

use std::collections::BTreeMap;
use std::ops::Range;

use openraft::EntryPayload;

use crate::types::{Entry, LogId, Vote};

/// Bytes of written entries a shard keeps in memory, so that replication to a healthy follower
/// and apply never read what was just written: some seconds of writes.
pub const CACHE_BYTES_MAX: usize = 8 << 20;

/// What an entry costs in memory beside its payload.
const ENTRY_OVERHEAD_BYTES: usize = 128;

/// The bounds of a shard's log and its latest entries.
#[derive(Debug, Default)]
pub struct Tail {
    /// The last vote that is on disk.
    pub vote: Option<Vote>,
    /// The last entry of a replica that was here and was deleted, until the log reaches as far again.
    pub promised: Option<LogId>,
    /// The last committed entry that openraft told us, and whether disk knows it too.
    pub committed: Option<LogId>,
    /// `committed` is newer than what is on disk.
    pub committed_unsaved: bool,
    /// Everything up to here is deleted.
    pub purged: Option<LogId>,
    last: Option<LogId>,
    cached: BTreeMap<u64, Cached>,
    bytes: usize,
    appends: u64,
    flushed: u64,
}

#[derive(Debug)]
struct Cached {
    entry: Entry,
    append: u64,
}

impl Tail {
    /// A tail as it is on disk: nothing cached.
    pub fn stored(
        vote: Option<Vote>,
        promised: Option<LogId>,
        committed: Option<LogId>,
        purged: Option<LogId>,
        last: Option<LogId>,
    ) -> Self {
        Self { vote, promised, committed, purged, last, ..Self::default() }
    }

    /// The last entry, or up to where everything is deleted if there is none.
    pub fn last(&self) -> Option<LogId> {
        self.last.max(self.purged)
    }

    /// What is promised once everything is deleted: as far as the log reaches, or one before it did.
    pub fn promise(&self) -> Option<LogId> {
        self.last().max(self.promised)
    }

    /// Whether a log that reaches to `last` has all that was promised, and did not before.
    pub fn restores(&self, last: Option<LogId>) -> bool {
        self.promised.is_some() && last >= self.promised
    }

    /// The log reaches to `last` on disk.
    pub fn reaches(&mut self, last: Option<LogId>) {
        self.promised = self.promised.filter(|promised| Some(*promised) > last);
    }

    /// Adds entries and returns the number of this append.
    pub fn append(&mut self, entries: &[Entry]) -> u64 {
        self.appends += 1;
        if let Some(first) = entries.first() {
            self.drop_from(first.log_id.index);
        }
        for entry in entries {
            self.bytes += cost(entry);
            let cached = Cached { entry: entry.clone(), append: self.appends };
            self.cached.insert(entry.log_id.index, cached);
            self.last = Some(entry.log_id);
        }
        self.appends
    }

    /// Whether the committed entry is on disk once everything up to append number `append` is.
    pub fn is_committed_written(&self, append: u64) -> bool {
        let written = self.flushed.max(append);
        // What is not cached was written long ago.
        let cached = self.committed.and_then(|committed| self.cached.get(&committed.index));
        cached.is_none_or(|cached| cached.append <= written)
    }

    /// Everything up to append number `append` is on disk: it may leave the cache.
    pub fn flushed(&mut self, append: u64) {
        self.flushed = self.flushed.max(append);
        while self.bytes > CACHE_BYTES_MAX
            && let Some(first) = self.cached.first_entry()
            && first.get().append <= self.flushed
        {
            self.bytes -= cost(&first.remove().entry);
        }
    }

    /// Deletes everything after `last`, if there is anything.
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

    /// Narrows `range` to what the log holds.
    pub fn clip(&self, range: Range<u64>) -> Range<u64> {
        let first = self.purged.map_or(0, |purged| purged.index + 1);
        let end = self.last.map_or(0, |last| last.index + 1);
        range.start.max(first)..range.end.min(end)
    }

    /// From which index on everything is in memory.
    pub fn cached_from(&self) -> u64 {
        self.cached.first_key_value().map_or(u64::MAX, |(index, _)| *index)
    }

    /// The cached entries of `range`.
    pub fn cached(&self, range: Range<u64>) -> impl Iterator<Item = &Entry> {
        let range = range.start..range.end.max(range.start);
        self.cached.range(range).map(|(_, cached)| &cached.entry)
    }

    fn drop_from(&mut self, index: u64) {
        // Nearly always nothing is there, and splitting a map counts what it keeps.
        if self.cached.last_key_value().is_none_or(|(last, _)| *last < index) {
            return;
        }
        for cached in self.cached.split_off(&index).into_values() {
            self.bytes -= cost(&cached.entry);
        }
    }
}

/// Bytes an entry takes in memory, roughly.
pub fn cost(entry: &Entry) -> usize {
    let payload = match &entry.payload {
        EntryPayload::Normal(proposal) => proposal.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    };
    payload + ENTRY_OVERHEAD_BYTES
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
        let large = CACHE_BYTES_MAX / 2;
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
