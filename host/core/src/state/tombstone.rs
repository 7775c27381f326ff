//! Tombstones: the keys that were removed lately, with the revisions of their removal.
//!
//! A range read says "no key here changed since revision r". The record of a present key has the revision of
//! its last change; of removed keys the latest [`TOMBSTONES_MAX`] are remembered here. Removals at or before
//! the horizon are forgotten, so a range read from before it cannot be decided and is refused. All of this
//! follows from the log alone, so replicas agree.
//!
//! In memory; [`Tombstones::take_changes`] gives the owner the changes to store with the batch.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::Revision;
use crate::key::{Key, KeyRange};
use crate::limits::TOMBSTONES_MAX;

/// The removed keys of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tombstones {
    by_key: BTreeMap<Key, Revision>,
    by_age: BTreeSet<(Revision, Key)>,
    horizon: Revision,
    changed: BTreeSet<Key>,
}

/// A change for the owner to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TombstoneChange {
    pub key: Key,
    /// The revision of the removal; `None`: the key exists again, or its removal is forgotten.
    pub removed: Option<Revision>,
}

impl Tombstones {
    /// Notes that `key` was removed at `revision`. Forgets the oldest tombstone if there are too
    /// many.
    pub fn bury(&mut self, key: &Key, revision: Revision) {
        self.restore(key.clone(), revision);
        self.changed.insert(key.clone());
        while self.by_key.len() > TOMBSTONES_MAX {
            let (oldest, key) = self.by_age.pop_first().expect("there are more than the limit");
            self.horizon = self.horizon.max(oldest);
            self.by_key.remove(&key);
            self.changed.insert(key);
        }
    }

    /// Notes that `key` exists again.
    pub fn raise(&mut self, key: &Key) {
        if let Some(revision) = self.by_key.remove(key) {
            self.by_age.remove(&(revision, key.clone()));
            self.changed.insert(key.clone());
        }
    }

    /// Returns the latest revision whose removals may be forgotten.
    pub fn horizon(&self) -> Revision {
        self.horizon
    }

    /// Returns the revision at which an absent key was removed, if that is remembered.
    pub fn removed(&self, key: &Key) -> Option<Revision> {
        self.by_key.get(key).copied()
    }

    /// Returns the removed keys of a range, in order. The range is not empty.
    pub fn range(&self, range: &KeyRange) -> impl Iterator<Item = (&Key, Revision)> {
        let removed = self.by_key.range::<[u8], _>(range.bounds());
        removed.map(|(key, revision)| (key, *revision))
    }

    /// Takes the changes since the last time, in order of keys.
    pub fn take_changes(&mut self) -> Vec<TombstoneChange> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        let change = |key| TombstoneChange { removed: self.removed(&key), key };
        changed.map(change).collect()
    }

    /// Restores a stored tombstone.
    pub fn restore(&mut self, key: Key, revision: Revision) {
        if let Some(before) = self.by_key.insert(key.clone(), revision) {
            self.by_age.remove(&(before, key.clone()));
        }
        self.by_age.insert((revision, key));
    }

    /// Restores the stored horizon.
    pub fn restore_horizon(&mut self, horizon: Revision) {
        self.horizon = horizon;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_tombstone_gives_way_and_lifts_the_horizon() {
        let mut tombstones = Tombstones::default();
        let key = |n: usize| Key::try_from(format!("{n:06}").as_str()).unwrap();
        for n in 1..=TOMBSTONES_MAX {
            tombstones.bury(&key(n), Revision::new(n as u64));
        }
        assert_eq!(tombstones.horizon(), Revision::default());
        tombstones.bury(&key(0), Revision::new(90_000));
        assert_eq!(tombstones.horizon(), Revision::new(1));
        assert_eq!(tombstones.removed(&key(1)), None);
        tombstones.raise(&key(2));
        assert_eq!(tombstones.removed(&key(2)), None);
        tombstones.take_changes();
        tombstones.bury(&key(1), Revision::new(90_001));
        assert_eq!(tombstones.horizon(), Revision::new(1), "there was room");
        let changes = tombstones.take_changes();
        assert_eq!(
            changes,
            [TombstoneChange { key: key(1), removed: Some(Revision::new(90_001)) }]
        );
    }
}
