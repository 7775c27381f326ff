//! Locks: the prepares of transactions across shards on this shard, and the decisions made here.
//!
//! ```text
//! held \ wanted       read    write
//! read (or a range)   yes     no       from prepare to finish; no transaction waits while it holds
//! write               no      no       locks, so there is no deadlock
//! ```
//!
//! Promises that the state which a prepare saw stays until the prepare is finished: its reads hold, the
//! absent keys of its ranges included, and its results are those of its vote. In memory;
//! [`Locks::take_changes`] gives the owner the changes to store with the batch. Leaves out how a lock
//! without a driver is resolved (`aspen-node`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{Timestamp, TxnId};
use crate::key::{Key, KeyRange};
use crate::limits::{DECISIONS_MAX, PREPARED_BYTES_MAX, PREPARED_MAX, TXN_AGE_MS_MAX};
use crate::transaction::{Operation, Read, Transact};
use crate::two_phase::decision::Decision;

/// The locks of a shard, and the decisions of the transactions that it coordinates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locks {
    prepared: BTreeMap<TxnId, Arc<PendingPrepare>>,
    keys: BTreeMap<Key, Holders>,
    ranges: BTreeMap<TxnId, Vec<KeyRange>>,
    bytes: usize,
    leases: usize,
    decided: BTreeMap<TxnId, Decision>,
    /// The aborted ones of `decided`: they are forgotten by age.
    aborted: BTreeSet<TxnId>,
    changed: BTreeSet<TxnId>,
}

/// A prepare that is not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingPrepare {
    /// The id of this prepare on its shard: a repeat of the attempt has another.
    pub prepare_id: u64,
    /// The operations that are applied if the attempt commits.
    pub part: Transact,
}

/// The holders of a key's locks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Holders {
    writer: Option<TxnId>,
    readers: BTreeSet<TxnId>,
}

/// A change for the owner to store: the present prepare and decision of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockChange {
    pub txn: TxnId,
    /// The prepare on this shard; `None`: none any more.
    pub prepared: Option<Arc<PendingPrepare>>,
    /// The decision of this shard; `None`: none yet, or it is forgotten.
    pub decision: Option<Decision>,
}

impl Locks {
    /// Returns the prepare of an attempt.
    pub fn prepared(&self, txn: &TxnId) -> Option<&Arc<PendingPrepare>> {
        self.prepared.get(txn)
    }

    /// Returns all prepares, the oldest attempt first.
    pub fn all_prepared(&self) -> impl Iterator<Item = (&TxnId, &Arc<PendingPrepare>)> {
        self.prepared.iter()
    }

    /// Returns the decision of this shard on an attempt.
    pub fn decision(&self, txn: &TxnId) -> Option<&Decision> {
        self.decided.get(txn)
    }

    /// Returns all remembered decisions, the oldest attempt first.
    pub fn all_decided(&self) -> impl Iterator<Item = (&TxnId, &Decision)> {
        self.decided.iter()
    }

    /// True if one more decision can be remembered.
    pub fn has_room_for_decision(&self) -> bool {
        self.decided.len() < DECISIONS_MAX
    }

    /// True if nothing is locked.
    pub fn is_free(&self) -> bool {
        self.prepared.is_empty()
    }

    /// Returns the number of leases that the prepares will grant.
    pub fn leases(&self) -> usize {
        self.leases
    }

    /// True if one more prepare of this size fits.
    pub fn has_room_for(&self, part: &Transact) -> bool {
        self.prepared.len() < PREPARED_MAX && self.bytes + part.bytes() <= PREPARED_BYTES_MAX
    }

    /// Returns the attempt that keeps others from reading `key`.
    pub fn writer(&self, key: &Key) -> Option<TxnId> {
        self.keys.get(key).and_then(|holders| holders.writer)
    }

    /// Returns an attempt that keeps others from reading the keys of `range`.
    pub fn writer_in(&self, range: &KeyRange) -> Option<TxnId> {
        if range.is_empty() {
            return None;
        }
        let mut held = self.keys.range::<[u8], _>(range.bounds());
        held.find_map(|(_, holders)| holders.writer)
    }

    /// Returns an attempt that keeps others from writing `key`.
    pub fn holder(&self, key: &Key) -> Option<TxnId> {
        let of_key = self.keys.get(key);
        let of_key = of_key.and_then(|held| held.writer.or(held.readers.first().copied()));
        let has = |ranges: &[KeyRange]| ranges.iter().any(|range| range.contains(key.as_bytes()));
        let in_range = || self.ranges.iter().find(|(_, ranges)| has(ranges)).map(|(txn, _)| *txn);
        of_key.or_else(in_range)
    }

    /// Returns an attempt that keeps others from checking `reads`.
    pub fn blocks_reads(&self, reads: &[Read]) -> Option<TxnId> {
        if self.is_free() {
            return None;
        }
        reads.iter().find_map(|read| match read {
            Read::Key { key, .. } => self.writer(key),
            Read::Range { range, .. } => self.writer_in(range),
        })
    }

    /// Returns an attempt that keeps others from doing a transaction, in either branch. Does not
    /// look at leases.
    pub fn blocks(&self, transact: &Transact) -> Option<TxnId> {
        if self.is_free() {
            return None;
        }
        let blocks = |operation: &Operation| match operation {
            Operation::Get(key) => self.writer(key),
            Operation::Write(write) => self.holder(write.key()),
            _ => None,
        };
        self.blocks_reads(&transact.reads).or_else(|| transact.operations().find_map(blocks))
    }

    /// Locks the keys that `prepared` reads and writes. The caller has checked that nobody holds
    /// them.
    pub fn prepare(&mut self, txn: TxnId, prepared: PendingPrepare) {
        self.restore_prepared(txn, Arc::new(prepared));
        self.changed.insert(txn);
    }

    /// Unlocks the keys of an attempt.
    pub fn release(&mut self, txn: &TxnId) -> Option<Arc<PendingPrepare>> {
        let prepared = self.prepared.remove(txn)?;
        for key in prepared.part.keys() {
            let Some(held) = self.keys.get_mut(key) else { continue };
            held.writer = held.writer.filter(|writer| writer != txn);
            held.readers.remove(txn);
            if held.writer.is_none() && held.readers.is_empty() {
                self.keys.remove(key);
            }
        }
        self.ranges.remove(txn);
        self.bytes -= prepared.part.bytes();
        self.leases -= prepared.part.leases();
        self.changed.insert(*txn);
        Some(prepared)
    }

    /// Remembers a decision.
    pub fn decide(&mut self, txn: TxnId, decision: Decision) {
        self.restore_decision(txn, decision);
        self.changed.insert(txn);
    }

    /// Forgets a commit that every shard has applied. An abort stays remembered: see
    /// [`Self::expire`].
    pub fn forget(&mut self, txn: &TxnId) {
        if !self.aborted.contains(txn) && self.decided.remove(txn).is_some() {
            self.changed.insert(*txn);
        }
    }

    /// True if an attempt is too old to be prepared here, at entry time `now`.
    pub fn is_too_old(txn: &TxnId, now: Timestamp) -> bool {
        now.since(txn.begun) > TXN_AGE_MS_MAX
    }

    /// Forgets aborted attempts that are too old to be prepared.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some(oldest) = self.aborted.first().copied()
            && Self::is_too_old(&oldest, now)
        {
            self.aborted.remove(&oldest);
            self.decided.remove(&oldest);
            self.changed.insert(oldest);
        }
    }

    /// Takes the changes since the last time, the oldest attempt first.
    pub fn take_changes(&mut self) -> Vec<LockChange> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        let change = |txn| LockChange {
            txn,
            prepared: self.prepared.get(&txn).cloned(),
            decision: self.decided.get(&txn).cloned(),
        };
        changed.map(change).collect()
    }

    /// Restores a stored prepare.
    pub fn restore_prepared(&mut self, txn: TxnId, prepared: Arc<PendingPrepare>) {
        let part = &prepared.part;
        for operation in part.operations() {
            if let Operation::Write(write) = operation {
                self.keys.entry(write.key().clone()).or_default().writer = Some(txn);
            }
        }
        for key in part.keys() {
            let held = self.keys.entry(key.clone()).or_default();
            if held.writer != Some(txn) {
                held.readers.insert(txn);
            }
        }
        for read in &part.reads {
            if let Read::Range { range, .. } = read {
                self.ranges.entry(txn).or_default().push(range.clone());
            }
        }
        self.bytes += part.bytes();
        self.leases += part.leases();
        self.prepared.insert(txn, prepared);
    }

    /// Restores a stored decision.
    pub fn restore_decision(&mut self, txn: TxnId, decision: Decision) {
        if decision == Decision::Abort {
            self.aborted.insert(txn);
        }
        self.decided.insert(txn, decision);
    }
}
