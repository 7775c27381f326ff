//! The places where a replica keeps snapshots in transit: one that comes in, one that goes out.
//!
//! Leaves out the transfer (`snapshots.rs`).

use aspen_store::{Snapshot, SnapshotReceiver};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::limits::OUTGOING_KEEP;

/// The snapshot that a replica is receiving, if any.
#[derive(Default)]
pub struct IncomingSnapshot(pub(super) Mutex<Option<SnapshotReceiver>>);

impl IncomingSnapshot {
    /// Returns the bytes received and the bytes in all; `None` while a piece is being written.
    pub fn progress(&self) -> Option<(u64, u64)> {
        let slot = self.0.try_lock().ok()?;
        slot.as_ref().map(|receiver| (receiver.received(), receiver.bytes()))
    }
}

/// The snapshot that another replica fetches from this one, if any, and when it last did.
#[derive(Default)]
pub struct OutgoingSnapshot(pub(super) Mutex<Option<(Instant, Snapshot)>>);

impl OutgoingSnapshot {
    /// Lets go of a snapshot that no replica fetched for long. One that is being read is in use.
    pub fn expire(&self) {
        let Ok(mut slot) = self.0.try_lock() else { return };
        if slot.as_ref().is_some_and(|(used, _)| used.elapsed() > OUTGOING_KEEP) {
            *slot = None;
        }
    }
}
