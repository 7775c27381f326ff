//! Writes that are only in memory: sorted memtables over the file of a shard's state.
//!
//! ```text
//! newest   [ b: 7      d: -        ]    a batch; "-" is a deleted key
//!          [ a: 3   b: 5        e: 1 ]  older writes
//! file       a: 1   b: 2   d: 4
//! read       a: 3   b: 7        e: 1
//! ```
//!
//! Promises that a shared memtable never changes, so a reader keeps its view while apply goes on, and
//! that there are few memtables: at most about fifteen for 32 thousand keys, one if nobody reads.
//! Leaves out the file below (`buffer/overlay.rs`) and the flush to it (`buffer/flusher.rs`).

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::sync::Arc;

use aspen_core::ids::{ComponentHash, Name};
use aspen_core::key::{Key, KeyRange};
use aspen_core::view::{Alias, Record};
use bytes::Bytes;

/// The writes of some entries that follow each other.
#[derive(Clone, Debug, Default)]
pub struct Memtable {
    /// `None`: deleted.
    pub records: BTreeMap<Key, Option<Record>>,
    /// `None`: removed.
    pub components: BTreeMap<ComponentHash, Option<Bytes>>,
    /// `None`: removed.
    pub aliases: BTreeMap<Name, Option<Arc<Alias>>>,
}

impl Memtable {
    /// Returns true if nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.records.len() + self.components.len() + self.aliases.len()
    }

    /// Adds the writes of later entries.
    fn absorb(&mut self, newer: Memtable) {
        self.records.extend(newer.records);
        self.components.extend(newer.components);
        self.aliases.extend(newer.aliases);
    }

    fn range(&self, range: &KeyRange, reverse: bool) -> MemtableRange<'_> {
        MemtableRange { records: self.records.range::<[u8], _>(range.bounds()), reverse }
    }
}

/// Memtables over each other. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Memtables {
    oldest_first: Vec<Arc<Memtable>>,
}

impl Memtables {
    /// Puts `batch` on top. The batch becomes part of the memtable below, unless a reader shares that
    /// one. A shared one is copied only when it is small compared with the new writes, so every record
    /// is copied a logarithmic number of times. The oldest `immutable` memtables stay as they are.
    pub fn push(&mut self, batch: Memtable, immutable: usize) {
        if batch.is_empty() {
            return;
        }
        let mut newest = Arc::new(batch);
        while self.oldest_first.len() > immutable
            && let Some(mut older) = self.oldest_first.pop()
        {
            let is_shared = Arc::strong_count(&older) > 1;
            if is_shared && older.len() > 2 * newest.len() {
                self.oldest_first.push(older);
                break;
            }
            Arc::make_mut(&mut older).absorb(Arc::unwrap_or_clone(newest));
            newest = older;
        }
        self.oldest_first.push(newest);
    }

    /// Forgets the oldest `count` memtables.
    pub fn drop_oldest(&mut self, count: usize) {
        self.oldest_first.drain(..count);
    }

    /// Returns the number of memtables.
    pub fn count(&self) -> usize {
        self.oldest_first.len()
    }

    /// Iterates from the newest to the oldest.
    pub fn newest_first(&self) -> impl Iterator<Item = &Memtable> {
        self.oldest_first.iter().rev().map(|memtable| &**memtable)
    }

    /// Iterates from the oldest to the newest.
    pub fn oldest_first(&self) -> impl Iterator<Item = &Memtable> {
        self.oldest_first.iter().map(|memtable| &**memtable)
    }
}

/// The records of a range of a memtable, in order of keys or against it.
struct MemtableRange<'a> {
    records: btree_map::Range<'a, Key, Option<Record>>,
    reverse: bool,
}

impl<'a> Iterator for MemtableRange<'a> {
    type Item = (&'a Key, &'a Option<Record>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.reverse { self.records.next_back() } else { self.records.next() }
    }
}

/// The records of several memtables in order of keys, or against it; of each key the newest.
pub struct Merged<'a> {
    newest_first: Vec<Peekable<MemtableRange<'a>>>,
    reverse: bool,
}

impl<'a> Merged<'a> {
    /// Merges the records of `range`.
    pub fn new(
        newest_first: impl Iterator<Item = &'a Memtable>,
        range: &KeyRange,
        reverse: bool,
    ) -> Self {
        let newest_first = match range.is_empty() {
            true => vec![],
            false => {
                newest_first.map(|memtable| memtable.range(range, reverse).peekable()).collect()
            }
        };
        Self { newest_first, reverse }
    }
}

impl<'a> Iterator for Merged<'a> {
    type Item = (&'a Key, &'a Option<Record>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut next: Option<(usize, &Key)> = None;
        for (at, records) in self.newest_first.iter_mut().enumerate() {
            let Some((key, _)) = records.peek() else { continue };
            let is_nearer = |found: &Key| if self.reverse { *key > found } else { *key < found };
            if next.is_none_or(|(_, found)| is_nearer(found)) {
                next = Some((at, key));
            }
        }
        let (at, key) = next?;
        let record = self.newest_first[at].next();
        for older in &mut self.newest_first[at + 1..] {
            older.next_if(|(other, _)| *other == key);
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use aspen_core::ids::{LeaseId, Revision, Version};
    use aspen_core::key::Value;

    use super::*;

    fn memtable(keys: std::ops::Range<u64>) -> Memtable {
        let mut memtable = Memtable::default();
        for key in keys {
            let record = Record {
                value: Value::try_from("v").unwrap(),
                version: Version::new(1),
                create_revision: Revision::new(1),
                mod_revision: Revision::new(1),
                lease: LeaseId::NONE,
            };
            memtable.records.insert(Key::new(key.to_be_bytes().to_vec()).unwrap(), Some(record));
        }
        memtable
    }

    #[test]
    fn storage_layers_stay_few_and_those_of_readers_stay_as_they_are() {
        let (mut memtables, mut readers) = (Memtables::default(), vec![]);
        for batch in 0..1000 {
            memtables.push(memtable(batch * 3..batch * 3 + 3), 0);
            readers.push(memtables.clone());
            assert!(memtables.count() <= 12, "{} memtables", memtables.count());
        }
        for (batch, reader) in readers.iter().enumerate() {
            let merged = Merged::new(reader.newest_first(), &KeyRange::all(), false);
            assert_eq!(merged.count(), (batch + 1) * 3);
        }
        drop(readers);
        memtables.push(memtable(0..1), 0);
        assert_eq!(memtables.count(), 1, "nobody reads any more");
        memtables.push(memtable(0..1), 1);
        memtables.push(memtable(1..2), 1);
        assert_eq!(memtables.count(), 2, "an immutable memtable stays by itself");
    }
}
