//! The hash of a whole state: everything that a replica has stored.
//!
//! Promises that two states with equal hashes hold the same keys with the same records, the same aliases and
//! components, sessions with their outcomes, leases, tombstones, locks, schedules, uploads with their parts,
//! and numbers, but for a collision of SHA-256. The hash does not depend on the implementation of the state,
//! nor on how often the state was stored and loaded.
//!
//! The hash reads everything. A digest ([`crate::digest::Digest`]) costs nothing and covers what was
//! computed; this hash covers what is stored. Leaves out the comparison of hashes, and Raft's members.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::codec::encode;
use crate::ids::{ComponentHash, LogIndex, hex};
use crate::key::KeyRange;
use crate::state::resident::Resident;
use crate::state::shard::Header;
use crate::view::{HostError, Record, View};

/// The hash of a whole state, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateHash {
    /// SHA-256 over all parts, each with its kind and length.
    pub hash: [u8; 32],
    /// The number of keys read.
    pub keys: u64,
    /// The number of bytes hashed.
    pub bytes: u64,
}

/// 64 hex digits.
impl fmt::Display for StateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.hash, f)
    }
}

/// The progress of a replica with the hash of its state as of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verification {
    /// The replica reads its state.
    Running {
        /// Keys read so far.
        keys: u64,
        /// Keys in all.
        of: u64,
    },
    /// The hash is computed.
    Done(StateHash),
    /// The replica has not applied the entry yet.
    Behind {
        /// The last entry applied.
        applied: LogIndex,
    },
    /// The hash is not known: the replica was opened later, got beyond the entry by a snapshot, or
    /// has begun other hashes since, of which it keeps [`crate::limits::VERIFICATIONS_MAX`].
    Unknown,
    /// The replica has failed, or there is none. A damaged row is a failure.
    Failed { reason: String },
}

/// The kinds of parts, in the order in which they are hashed.
enum Part {
    Record = 1,
    Alias = 2,
    Component = 3,
    Session = 4,
    Outcome = 5,
    Lease = 6,
    LeaseKey = 7,
    Tombstone = 8,
    Horizon = 9,
    Prepared = 10,
    Decision = 11,
    Schedule = 12,
    Header = 13,
    Upload = 14,
}

/// Hashes a state. `goes_on` gets the number of keys so far; the result is `None` if `goes_on`
/// returns false. Reads every row, so a damaged row is an error.
pub fn hash_state(
    view: &dyn View,
    resident: &Resident,
    header: &Header,
    goes_on: &dyn Fn(u64) -> bool,
) -> Result<Option<StateHash>, HostError> {
    let mut parts = Parts { sha: Sha256::new(), bytes: 0 };
    let mut keys = 0;
    view.scan(&KeyRange::all(), false, &mut |key, record| {
        parts.record(key, &record);
        keys += 1;
        goes_on(keys)
    })?;
    if !goes_on(keys) {
        return Ok(None);
    }
    let aliases = view.components().aliases()?;
    let mut components = BTreeSet::new();
    for (name, alias) in &aliases {
        parts.add(Part::Alias, &[name.as_str().as_bytes(), &encode(&**alias)]);
        components.extend(alias.components().copied());
    }
    components.extend(resident.uploads.parts().copied());
    for component in components {
        parts.component(view, &component)?;
    }
    parts.resident(resident);
    parts.add(Part::Header, &[&encode(header)]);
    let Parts { sha, bytes } = parts;
    Ok(Some(StateHash { hash: sha.finalize().into(), keys, bytes }))
}

struct Parts {
    sha: Sha256,
    bytes: u64,
}

impl Parts {
    /// Hashes the kind of a part, then its fields, each with its length.
    fn add(&mut self, part: Part, fields: &[&[u8]]) {
        self.sha.update([part as u8]);
        for field in fields {
            self.sha.update((field.len() as u64).to_le_bytes());
            self.sha.update(field);
            self.bytes += field.len() as u64;
        }
    }

    fn record(&mut self, key: &[u8], record: &Record) {
        let Record { value, version, create_revision, mod_revision, lease } = record;
        let numbers = [version.get(), create_revision.get(), mod_revision.get(), lease.get()];
        let numbers = numbers.map(u64::to_le_bytes);
        self.add(Part::Record, &[key, value.as_bytes(), numbers.as_flattened()]);
    }

    /// Hashes the hash of a component: each implementation of [`View`] compares the hash with the
    /// bytes that it reads.
    fn component(&mut self, view: &dyn View, hash: &ComponentHash) -> Result<(), HostError> {
        let bytes = view.components().component(hash)?;
        let bytes = bytes.ok_or_else(|| HostError::new("hashing a component", "it is missing"))?;
        self.add(Part::Component, &[hash.as_bytes()]);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn resident(&mut self, resident: &Resident) {
        let Resident { sessions, leases, tombstones, locks, schedules, uploads } = resident;
        for (image, outcomes) in sessions.all() {
            self.add(Part::Session, &[&encode(&image)]);
            for (sequence, outcome) in outcomes {
                self.add(Part::Outcome, &[&sequence.to_le_bytes(), outcome]);
            }
        }
        for image in leases.all() {
            self.add(Part::Lease, &[&encode(image)]);
            leases.keys(image.lease).for_each(|key| self.add(Part::LeaseKey, &[key.as_bytes()]));
        }
        for (key, removed) in tombstones.range(&KeyRange::all()) {
            self.add(Part::Tombstone, &[key.as_bytes(), &removed.get().to_le_bytes()]);
        }
        self.add(Part::Horizon, &[&tombstones.horizon().get().to_le_bytes()]);
        for (txn, prepared) in locks.all_prepared() {
            self.add(Part::Prepared, &[&encode(txn), &encode(&**prepared)]);
        }
        for (txn, decision) in locks.all_decided() {
            self.add(Part::Decision, &[&encode(txn), &encode(decision)]);
        }
        for (name, schedule) in schedules.iter() {
            self.add(Part::Schedule, &[name.as_str().as_bytes(), &encode(schedule)]);
        }
        for (upload, staged) in uploads.iter() {
            self.add(Part::Upload, &[&encode(upload), &encode(staged)]);
        }
    }
}
