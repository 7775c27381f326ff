//! Every acknowledged write exists, and happened once.
//!
//! A key that one client alone increments: its number is at least the increments acknowledged, and at
//! most those and the ones of unknown outcome. Its version counts its writes, so it must say the
//! same, and no number may be lower than one seen before.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The increments of one client's counter. A clone is another handle.
#[derive(Clone, Debug, Default)]
pub struct Tally(Arc<Mutex<Counts>>);

/// See [`Tally`].
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    acknowledged: u64,
    unknown: u64,
    seen: u64,
}

impl Tally {
    /// An increment is sent.
    pub fn sent(&self) {
        self.lock().unknown += 1;
    }

    /// An increment that was sent is acknowledged.
    pub fn acknowledged(&self) {
        let mut counts = self.lock();
        counts.unknown -= 1;
        counts.acknowledged += 1;
    }

    /// The counter is read; nothing is under way that was not sent before.
    ///
    /// # Panics
    /// If it cannot be so.
    pub fn check(&self, key: &str, found: u64) {
        let mut counts = self.lock();
        let Counts { acknowledged, unknown, seen } = *counts;
        assert!(found >= acknowledged, "acknowledged: {key} is {found}, {counts:?}: writes lost");
        let most = acknowledged + unknown;
        assert!(found <= most, "acknowledged: {key} is {found}, {counts:?}: applied twice");
        assert!(found >= seen, "acknowledged: {key} is {found}, {counts:?}: it went back");
        counts.seen = found;
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
