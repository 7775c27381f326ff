//! Defects that the simulation plants in an engine, and a profile that a newer program would have.
//!
//! A test shows that the simulation finds each defect. Exists in the simulation only. The defects spoil
//! the fuel of a call, which is part of its result like its value and its writes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aspen_core::defect::{Defect, is_planted};
use aspen_core::function::CallResult;
use aspen_core::ids::{Fuel, ProfileId};

/// A profile like the present one, but a call costs one fuel more.
pub const NEXT_PROFILE: ProfileId = ProfileId::new(u32::MAX);

/// The defects planted in one engine.
#[derive(Default)]
pub struct Planted {
    leaks_clock: AtomicBool,
    is_newer: AtomicBool,
    calls: AtomicU64,
}

impl Planted {
    /// Makes results depend on this machine's clock, or ends that.
    pub fn leak_clock(&self, leaks: bool) {
        self.leaks_clock.store(leaks, Ordering::Relaxed);
    }

    /// Makes this a newer program, which knows [`NEXT_PROFILE`], or ends that.
    pub fn make_newer(&self, is_newer: bool) {
        self.is_newer.store(is_newer, Ordering::Relaxed);
    }

    pub(crate) fn is_newer(&self) -> bool {
        self.is_newer.load(Ordering::Relaxed)
    }

    /// Returns a result as the profile and the planted defects change it.
    pub(crate) fn spoil(&self, mut result: CallResult, profile: ProfileId) -> CallResult {
        let mut fuel = result.fuel.get() + u64::from(profile == NEXT_PROFILE);
        if self.leaks_clock.load(Ordering::Relaxed) {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            fuel += since.map_or(0, |since| since.as_micros() as u64) % 1000 + 1;
        }
        if is_planted(Defect::ReuseInstance) {
            // It looks like a heap that earlier calls left fuller.
            fuel += self.calls.fetch_add(1, Ordering::Relaxed);
        }
        result.fuel = Fuel::new(fuel);
        result
    }
}
