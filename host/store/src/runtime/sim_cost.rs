//! The cost of work in the simulation, where otherwise only messages and waiting take time.
//!
//! Each replica's apply worker is one core: each entry that it applies takes the set time, one after the
//! other. The log's writer takes the set time for each entry of a commit, of all shards of its node, in
//! addition to the time of a commit ([`crate::Log::slow_down`]). For measuring how throughput grows; zero
//! in all other runs. One setting for the process: no two runs share it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static APPLY_NS: AtomicU64 = AtomicU64::new(0);
static LOG_NS: AtomicU64 = AtomicU64::new(0);

/// Sets the simulated time that an entry takes from now on in apply, and in the log.
pub fn set(apply: Duration, log: Duration) {
    APPLY_NS.store(apply.as_nanos() as u64, Ordering::Relaxed);
    LOG_NS.store(log.as_nanos() as u64, Ordering::Relaxed);
}

/// Lets the time pass in which a replica applies n entries.
pub(crate) async fn apply(entries: usize) {
    pass(&APPLY_NS, entries).await;
}

/// Lets the time pass in which a log writes n entries.
pub(crate) async fn log(entries: usize) {
    pass(&LOG_NS, entries).await;
}

async fn pass(each: &AtomicU64, entries: usize) {
    let ns = each.load(Ordering::Relaxed) * entries as u64;
    if ns > 0 {
        madsim::time::sleep(Duration::from_nanos(ns)).await;
    }
}
