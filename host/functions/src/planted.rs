//! Defects that the simulation plants in an engine, to show that it would find them; and a profile that
//! a newer program would have.
//!
//! Exists in the simulation only. What they spoil is the fuel of a call, which is part of its result
//! like what it returns and writes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aspen_core::defect::{Defect, is_planted};
use aspen_core::{CallResult, Fuel, ProfileId};

/// As the present profile, and a call costs one fuel more.
pub const NEXT_PROFILE: ProfileId = ProfileId::new(u32::MAX);

/// What is planted in one engine.
#[derive(Default)]
pub struct Planted {
    leaks_clock: AtomicBool,
    is_newer: AtomicBool,
    calls: AtomicU64,
}

impl Planted {
    /// Whether from now on results depend on this machine's clock.
    pub fn leak_clock(&self, leaks: bool) {
        self.leaks_clock.store(leaks, Ordering::Relaxed);
    }

    /// Lets this be a newer program, which knows [`NEXT_PROFILE`].
    pub fn make_newer(&self, is_newer: bool) {
        self.is_newer.store(is_newer, Ordering::Relaxed);
    }

    pub(crate) fn is_newer(&self) -> bool {
        self.is_newer.load(Ordering::Relaxed)
    }

    /// A result as profile and planted defects let it be.
    pub(crate) fn spoil(&self, mut result: CallResult, profile: ProfileId) -> CallResult {
        let mut fuel = result.fuel.get() + u64::from(profile == NEXT_PROFILE);
        if self.leaks_clock.load(Ordering::Relaxed) {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            fuel += since.map_or(0, |since| since.as_micros() as u64) % 1000 + 1;
        }
        if is_planted(Defect::ReuseInstance) {
            // A heap that earlier calls left fuller.
            fuel += self.calls.fetch_add(1, Ordering::Relaxed);
        }
        result.fuel = Fuel::new(fuel);
        result
    }
}
