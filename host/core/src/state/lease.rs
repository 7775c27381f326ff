//! Leases: keys attached to a lease are removed when its time is over.
//!
//! ```text
//! grant 10 s at t=0      keep alive at t=7        due at t=17: an entry stamped 17 or later
//! l1 |-------------------|------------------------| removes l1 and every key attached to it
//!      set a, lease l1       set b, lease l1
//! ```
//!
//! A time to live on a key is a lease of its own: the write grants it, and it ends with the key. Entry time
//! alone decides when a lease is due, and only an entry ends one, so all replicas agree; a read never looks
//! at a clock. The leader proposes [`crate::protocol::Command::Tick`] when something is due and there is no
//! other entry.
//!
//! In memory; [`Leases::take_changes`] gives the owner the changes to store with the batch. The lease of a
//! key stands in its record. Source of the model: etcd's lease API.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::ids::{LeaseId, Timestamp};
use crate::key::Key;
use crate::limits::{LEASE_KEYS_MAX, LEASES_MAX};

/// The leases of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    by_id: BTreeMap<LeaseId, Lease>,
    by_due: BTreeSet<(Timestamp, LeaseId)>,
    changed: BTreeSet<LeaseId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Lease {
    image: LeaseImage,
    keys: BTreeSet<Key>,
}

/// A lease without its keys, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseImage {
    pub lease: LeaseId,
    /// The time to live after a grant or a renewal, in milliseconds.
    pub ttl_ms: u64,
    /// Entry time from which on the lease is over.
    pub due: Timestamp,
    /// True for the lease behind a time to live: it has one key and ends with that key.
    pub is_private: bool,
}

/// A change for the owner to store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseChange {
    /// Granted or kept alive.
    Set(LeaseImage),
    /// Over.
    Ended(LeaseId),
}

impl Leases {
    /// Adds a lease. The caller has checked that there is room.
    pub fn grant(&mut self, image: LeaseImage) {
        assert!(self.has_room_for(1), "more than {LEASES_MAX} leases");
        let before = self.by_id.insert(image.lease, Lease { image, keys: BTreeSet::new() });
        assert!(before.is_none(), "lease {} granted twice", image.lease);
        self.by_due.insert((image.due, image.lease));
        self.changed.insert(image.lease);
    }

    /// True if this many more leases can be granted.
    pub fn has_room_for(&self, more: usize) -> bool {
        self.by_id.len() + more <= LEASES_MAX
    }

    pub fn get(&self, lease: LeaseId) -> Option<&LeaseImage> {
        self.by_id.get(&lease).map(|lease| &lease.image)
    }

    /// All leases, in order of ids.
    pub fn all(&self) -> impl Iterator<Item = &LeaseImage> {
        self.by_id.values().map(|lease| &lease.image)
    }

    /// Returns the keys attached to a lease.
    pub fn keys(&self, lease: LeaseId) -> impl Iterator<Item = &Key> {
        self.by_id.get(&lease).into_iter().flat_map(|lease| &lease.keys)
    }

    /// True if this many more keys can be attached to the lease.
    pub fn has_room_for_keys(&self, lease: LeaseId, more: usize) -> bool {
        self.by_id.get(&lease).map_or(0, |held| held.keys.len()) + more <= LEASE_KEYS_MAX
    }

    /// Renews a lease for its whole time to live from entry time `now`. Returns the time when it is
    /// due.
    pub fn keep_alive(&mut self, lease: LeaseId, now: Timestamp) -> Timestamp {
        let held = self.by_id.get_mut(&lease).expect("the caller has checked that it exists");
        self.by_due.remove(&(held.image.due, lease));
        held.image.due = now.after(held.image.ttl_ms);
        self.by_due.insert((held.image.due, lease));
        self.changed.insert(lease);
        held.image.due
    }

    /// Attaches a key that is on no other lease.
    pub fn attach(&mut self, lease: LeaseId, key: &Key) {
        let held = self.by_id.get_mut(&lease).expect("the caller has checked that it exists");
        held.keys.insert(key.clone());
    }

    /// Detaches a key; a private lease ends with its key.
    pub fn detach(&mut self, lease: LeaseId, key: &Key) {
        let Some(held) = self.by_id.get_mut(&lease) else { return };
        held.keys.remove(key);
        if held.image.is_private {
            self.end(lease);
        }
    }

    /// Ends a lease and returns its keys, in order.
    pub fn end(&mut self, lease: LeaseId) -> BTreeSet<Key> {
        let Some(held) = self.by_id.remove(&lease) else { return BTreeSet::new() };
        self.by_due.remove(&(held.image.due, lease));
        self.changed.insert(lease);
        held.keys
    }

    /// Returns the leases that are over at entry time `now`: the first due first, of those the
    /// first granted.
    pub fn due(&self, now: Timestamp) -> impl Iterator<Item = LeaseId> {
        self.by_due.iter().take_while(move |(due, _)| *due <= now).map(|(_, lease)| *lease)
    }

    /// Returns the time when the next lease is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// Returns the number of leases, including those behind a time to live.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Takes the changes since the last time.
    pub fn take_changes(&mut self) -> Vec<LeaseChange> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        let change = |lease| {
            self.get(lease).map_or(LeaseChange::Ended(lease), |image| LeaseChange::Set(*image))
        };
        changed.map(change).collect()
    }

    /// Restores a stored lease; its keys follow with [`Self::attach`].
    pub fn restore(&mut self, image: LeaseImage) {
        self.by_due.insert((image.due, image.lease));
        self.by_id.insert(image.lease, Lease { image, keys: BTreeSet::new() });
    }

    /// Checks the invariants after an entry: `attached` are the keys that have a lease by their
    /// records.
    pub fn check(&self, attached: impl Iterator<Item = (LeaseId, Key)>) {
        let stored: BTreeSet<(LeaseId, Key)> = attached.collect();
        let held = |(id, lease): (&LeaseId, &Lease)| {
            lease.keys.iter().map(|key| (*id, key.clone())).collect::<Vec<_>>()
        };
        let held: BTreeSet<(LeaseId, Key)> = self.by_id.iter().flat_map(held).collect();
        assert_eq!(held, stored, "leases and records name the same keys");
        let due: BTreeSet<_> = self.by_id.iter().map(|(id, l)| (l.image.due, *id)).collect();
        assert_eq!(due, self.by_due);
        for (id, lease) in &self.by_id {
            assert!(!lease.image.is_private || lease.keys.len() == 1, "{id} has no key any more");
        }
    }
}
