//! The decision whether a snapshot is worth its cost.
//!
//! A snapshot copies the whole state, and Raft asks for one every n entries. Of a large state that would
//! write far more than its clients do: a state of 1 GB with 5,000 small writes a second would be
//! copied every 20 seconds. So the snapshot of a large state waits until the log has grown by a part
//! of the state's size, as Ongaro advises ("Consensus: Bridging Theory and Practice", 2014,
//! section 5.1.2). Promises that the snapshots of a large state that nobody needs write at most
//! [`SNAPSHOT_LOG_PART`] times the bytes that are appended to the log. The log may outgrow that part of
//! the state by the entries until Raft asks again, and after a restart by that part once more.
//! Leaves out the counting of entries: openraft does that.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::limits::{SMALL_STATE_BYTES, SNAPSHOT_LOG_PART};

/// The reasons for the next snapshot of one shard.
#[derive(Debug, Default)]
pub struct SnapshotDue {
    /// Bytes of the entries applied since the last snapshot; those before a restart are not counted.
    log_bytes: AtomicU64,
    wanted: AtomicBool,
}

impl SnapshotDue {
    /// Counts applied entries of this size.
    pub fn applied(&self, bytes: u64) {
        self.log_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Asks for a snapshot at any cost: the next one that Raft asks for is made.
    pub fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Returns true if a snapshot of a state of this size shall be made now.
    pub fn take(&self, state_bytes: u64) -> bool {
        let wanted = self.wanted.swap(false, Ordering::Relaxed);
        let log_bytes = self.log_bytes.load(Ordering::Relaxed);
        wanted || state_bytes <= SMALL_STATE_BYTES || log_bytes >= state_bytes / SNAPSHOT_LOG_PART
    }

    /// Returns the counted bytes that a snapshot which begins now contains, for [`Self::made`].
    pub fn begun(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    /// Notes that the snapshot is complete which began with `begun` counted bytes.
    pub fn made(&self, begun: u64) {
        let left = |bytes: u64| Some(bytes.saturating_sub(begun));
        let _ = self.log_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshot_of_a_large_state_waits_for_its_part_of_the_log() {
        let (due, large) = (SnapshotDue::default(), 100 << 20);
        assert!(due.take(SMALL_STATE_BYTES), "a small one is always made");
        assert!(!due.take(large));
        due.applied((25 << 20) - 1);
        assert!(!due.take(large));
        due.applied(1);
        assert!(due.take(large));
        let begun = due.begun();
        due.applied(7);
        due.made(begun);
        assert_eq!(due.begun(), 7, "what came meanwhile is not in it");
        assert!(!due.take(large));
        due.want();
        assert!(due.take(large), "one that is wanted is made");
        assert!(!due.take(large), "once");
    }
}
