//! Writes that are only in memory: sorted layers over the file of a shard's state.
//!
//! ```text
//! newest   [ b: 7      d: -        ]    a batch; "-" is a deleted key
//!          [ a: 3   b: 5        e: 1 ]  older writes
//! file       a: 1   b: 2   d: 4
//! read       a: 3   b: 7        e: 1
//! ```
//!
//! Promises that a layer that is shared never changes, so a reader keeps what it began with while
//! apply goes on, and that there are few layers: of 32 thousand keys at most about fifteen, one if
//! nobody reads. Leaves out the file (`overlay.rs`) and when layers are written down (`flusher.rs`).

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::sync::Arc;

use aspen_core::{Alias, ComponentHash, Key, KeyRange, Name, Record};
use bytes::Bytes;

/// What was written in some entries that follow each other.
#[derive(Clone, Debug, Default)]
pub struct Layer {
    /// `None`: deleted.
    pub records: BTreeMap<Key, Option<Record>>,
    /// `None`: removed.
    pub components: BTreeMap<ComponentHash, Option<Bytes>>,
    /// `None`: removed.
    pub aliases: BTreeMap<Name, Option<Arc<Alias>>>,
}

impl Layer {
    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.records.len() + self.components.len() + self.aliases.len()
    }

    /// Adds what was written after this.
    fn absorb(&mut self, newer: Layer) {
        self.records.extend(newer.records);
        self.components.extend(newer.components);
        self.aliases.extend(newer.aliases);
    }

    fn range(&self, range: &KeyRange, reverse: bool) -> Ordered<'_> {
        Ordered { records: self.records.range::<[u8], _>(range.bounds()), reverse }
    }
}

/// Layers over each other. A clone shares them.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    oldest_first: Vec<Arc<Layer>>,
}

impl Layers {
    /// Puts `batch` on top, as part of the layer below unless a reader holds that one. Then it is
    /// copied only when the copy is small compared with what is new, or it waits for that: every
    /// record is copied a logarithmic number of times. The oldest `frozen` layers stay as they are.
    pub fn push(&mut self, batch: Layer, frozen: usize) {
        if batch.is_empty() {
            return;
        }
        let mut newest = Arc::new(batch);
        while self.oldest_first.len() > frozen
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

    /// Forgets the oldest `count` layers.
    pub fn drop_oldest(&mut self, count: usize) {
        self.oldest_first.drain(..count);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.oldest_first.len()
    }

    /// From the newest to the oldest.
    pub fn newest_first(&self) -> impl Iterator<Item = &Layer> {
        self.oldest_first.iter().rev().map(|layer| &**layer)
    }

    /// From the oldest to the newest.
    pub fn oldest_first(&self) -> impl Iterator<Item = &Layer> {
        self.oldest_first.iter().map(|layer| &**layer)
    }
}

/// The records of a layer, in order of keys or against it.
struct Ordered<'a> {
    records: btree_map::Range<'a, Key, Option<Record>>,
    reverse: bool,
}

impl<'a> Iterator for Ordered<'a> {
    type Item = (&'a Key, &'a Option<Record>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.reverse { self.records.next_back() } else { self.records.next() }
    }
}

/// The records of several layers in order of keys, or against it; of each key the newest.
pub struct Merged<'a> {
    newest_first: Vec<Peekable<Ordered<'a>>>,
    reverse: bool,
}

impl<'a> Merged<'a> {
    /// The records of `range`.
    pub fn new(
        newest_first: impl Iterator<Item = &'a Layer>,
        range: &KeyRange,
        reverse: bool,
    ) -> Self {
        let newest_first = match range.is_empty() {
            true => vec![],
            false => newest_first.map(|layer| layer.range(range, reverse).peekable()).collect(),
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
    use aspen_core::{LeaseId, Revision, Value, Version};

    use super::*;

    fn layer(keys: std::ops::Range<u64>) -> Layer {
        let mut layer = Layer::default();
        for key in keys {
            let record = Record {
                value: Value::try_from("v").unwrap(),
                version: Version::new(1),
                create_revision: Revision::new(1),
                mod_revision: Revision::new(1),
                lease: LeaseId::NONE,
            };
            layer.records.insert(Key::new(key.to_be_bytes().to_vec()).unwrap(), Some(record));
        }
        layer
    }

    #[test]
    fn storage_layers_stay_few_and_those_of_readers_stay_as_they_are() {
        let (mut layers, mut readers) = (Layers::default(), vec![]);
        for batch in 0..1000 {
            layers.push(layer(batch * 3..batch * 3 + 3), 0);
            readers.push(layers.clone());
            assert!(layers.count() <= 12, "{} layers", layers.count());
        }
        for (batch, reader) in readers.iter().enumerate() {
            let merged = Merged::new(reader.newest_first(), &KeyRange::all(), false);
            assert_eq!(merged.count(), (batch + 1) * 3);
        }
        drop(readers);
        layers.push(layer(0..1), 0);
        assert_eq!(layers.count(), 1, "nobody reads any more");
        layers.push(layer(0..1), 1);
        layers.push(layer(1..2), 1);
        assert_eq!(layers.count(), 2, "a frozen layer stays by itself");
    }
}
