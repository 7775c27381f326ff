//! When a snapshot is worth its cost.
//!
//! A snapshot copies the whole state, and Raft asks for one every so many entries. Of a large state
//! that would write far more than its clients do: a state of 1 GB with 5,000 small writes a second
//! would be copied every 20 seconds. So a large state puts it off until the log has grown by a part
//! of what the copy would write, as Ongaro advises ("Consensus: Bridging Theory and Practice", 2014,
//! section 5.1.2). Promises that the snapshots of a large state that nobody needs write at most
//! [`LOG_PART`] times what is appended to the log. The log may outgrow that part of the state by what
//! comes until Raft asks again, and after a restart by that part once more. Leaves out who counts
//! entries: openraft.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A state of at most this size is copied whenever Raft asks: some tenths of a second.
const SMALL_STATE_BYTES: u64 = 16 << 20;

/// A larger one when the log has grown by one of this many parts of it.
const LOG_PART: u64 = 4;

/// What speaks for the next snapshot of one shard.
#[derive(Debug, Default)]
pub struct SnapshotDue {
    /// Of the entries applied since the last snapshot; those before a restart are not counted.
    log_bytes: AtomicU64,
    wanted: AtomicBool,
}

impl SnapshotDue {
    /// Entries of this size were applied.
    pub fn applied(&self, bytes: u64) {
        self.log_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The next one that Raft asks for is needed, whatever it costs.
    pub fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Whether one of a state of this size shall be made now.
    pub fn take(&self, state_bytes: u64) -> bool {
        let wanted = self.wanted.swap(false, Ordering::Relaxed);
        let log_bytes = self.log_bytes.load(Ordering::Relaxed);
        wanted || state_bytes <= SMALL_STATE_BYTES || log_bytes >= state_bytes / LOG_PART
    }

    /// What a snapshot that begins now has in it: for [`Self::made`].
    pub fn begun(&self) -> u64 {
        self.log_bytes.load(Ordering::Relaxed)
    }

    /// That snapshot is there.
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
