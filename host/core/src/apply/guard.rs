//! The guard of locks: holds up a transaction, or a function, that meets a locked key.
//!
//! Leaves out the locks themselves (`two_phase/locks.rs`).

use std::cell::Cell;

use crate::defect::{Defect, is_planted};
use crate::ids::TxnId;
use crate::key::{Key, KeyRange};
use crate::state::State;
use crate::transaction::{Operation, Transact, WriteOp};
use crate::two_phase::Locks;
use crate::view::{Components, HostError, Record, View};

/// Returns the transaction across shards that keeps `transact` from being done now.
pub fn blocks<S: State>(state: &S, transact: &Transact) -> Option<TxnId> {
    if is_planted(Defect::IgnoreLocks) {
        return None;
    }
    let (locks, leases) = (&state.resident().locks, &state.resident().leases);
    let of_leases = || {
        transact.operations().find_map(|operation| match operation {
            Operation::Revoke(lease) => leases.keys(*lease).find_map(|key| locks.holder(key)),
            _ => None,
        })
    };
    if locks.is_free() { None } else { locks.blocks(transact).or_else(of_leases) }
}

/// A view that notes the first locked key that a function met.
pub struct GuardedView<'a> {
    view: &'a dyn View,
    locks: &'a Locks,
    met: Cell<Option<TxnId>>,
}

impl<'a> GuardedView<'a> {
    /// Guards `view` with `locks`.
    pub fn new(view: &'a dyn View, locks: &'a Locks) -> Self {
        Self { view, locks, met: Cell::default() }
    }

    /// Returns the transaction that holds a key which the function read, or which `writes` write.
    pub fn met(&self, writes: &[WriteOp]) -> Option<TxnId> {
        self.met.get().or_else(|| writes.iter().find_map(|write| self.locks.holder(write.key())))
    }

    fn note(&self, by: Option<TxnId>) {
        self.met.set(self.met.get().or(by));
    }
}

impl View for GuardedView<'_> {
    fn get(&self, key: &Key) -> Result<Option<Record>, HostError> {
        self.note(self.locks.writer(key));
        self.view.get(key)
    }

    fn scan(
        &self,
        range: &KeyRange,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], Record) -> bool,
    ) -> Result<(), HostError> {
        self.note(self.locks.writer_in(range));
        self.view.scan(range, reverse, visit)
    }

    fn components(&self) -> &dyn Components {
        self.view.components()
    }
}
