//! [`World`]: the records of a shard, and the writes of the call that runs on it.
//!
//! Promises versions and revisions as the state machine counts them; `tests/state_machine.rs` compares
//! them.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::limits::{PAGE_BYTES, PAGE_ENTRIES_MAX, WRITES_BYTES_MAX, WRITES_MAX};
use crate::record::{Item, Page, Versioned};

/// The writes of a call; `None` is a delete.
pub(super) type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// The shard, and the call that runs on it.
#[derive(Default)]
pub(super) struct World {
    pub records: BTreeMap<Vec<u8>, Versioned>,
    /// Writes of the running call.
    pub writes: Writes,
    /// After this many more host calls the node crashes.
    pub host_calls_left: Option<u64>,
    pub revision: u64,
    pub time_ms: u64,
    pub seed: u64,
    pub caller: [u8; 32],
    pub log: Vec<String>,
}

impl World {
    /// Applies the writes of a call at one new revision.
    pub(super) fn commit(&mut self, writes: Writes) {
        if writes.is_empty() {
            return;
        }
        self.writes = writes;
        for key in self.writes.keys().cloned().collect::<Vec<_>>() {
            match self.get(&key) {
                Some(record) => self.records.insert(key, record),
                None => self.records.remove(&key),
            };
        }
        self.writes.clear();
        self.revision += 1;
    }

    /// Returns a key as the running call sees it.
    pub(super) fn get(&self, key: &[u8]) -> Option<Versioned> {
        let stored = self.records.get(key);
        let Some(write) = self.writes.get(key) else { return stored.cloned() };
        let value = write.clone()?;
        let mod_revision = self.revision + 1;
        let (version, create_revision) = match stored {
            Some(stored) => (stored.version + 1, stored.create_revision),
            None => (1, mod_revision),
        };
        Some(Versioned { value, version, create_revision, mod_revision })
    }

    /// Returns the keys of a range as the running call sees them.
    pub(super) fn range(
        &self,
        start: &[u8],
        end: Option<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = Item> {
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let bounds = (Bound::Included(start), end);
        let is_empty = matches!(end, Bound::Excluded(end) if end <= start);
        let mut keys = Vec::new();
        if !is_empty {
            keys.extend(self.records.range::<[u8], _>(bounds).map(|(key, _)| key.clone()));
            keys.extend(self.writes.range::<[u8], _>(bounds).map(|(key, _)| key.clone()));
            keys.sort();
            keys.dedup();
        }
        keys.into_iter().filter_map(|key| self.get(&key).map(|record| Item { key, record }))
    }

    /// Returns a page of a range, with the limits of a real scan.
    pub(super) fn scan(&self, start: &[u8], end: Option<&[u8]>, reverse: bool, limit: u32) -> Page {
        let limit = PAGE_ENTRIES_MAX.min(limit as usize);
        let mut range = self.range(start, end);
        let mut page = Page { items: vec![], more: false };
        let mut bytes = 0;
        while let Some(item) = if reverse { range.next_back() } else { range.next() } {
            if page.items.len() == limit || bytes > PAGE_BYTES {
                page.more = true;
                break;
            }
            bytes += item.key.len() + item.record.value.len();
            page.items.push(item);
        }
        page
    }

    /// Adds a write to the running call. Panics if the call then writes too much.
    pub(super) fn write(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        self.writes.insert(key.to_vec(), value);
        let size = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| {
            key.len() + value.as_ref().map_or(0, Vec::len)
        };
        let bytes: usize = self.writes.iter().map(size).sum();
        assert!(self.writes.len() <= WRITES_MAX, "a call writes at most {WRITES_MAX} keys");
        assert!(bytes <= WRITES_BYTES_MAX, "a call writes at most {WRITES_BYTES_MAX} bytes");
    }
}
