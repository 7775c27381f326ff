//! A snapshot for a replica that has no state: fetched from another one before Raft starts here.
//!
//! Promises that a fetched snapshot counts only when it is whole and on disk; then opening the
//! state machine restores from it as from one that was made here. Leaves out the network, and the
//! log, which stays as it is: see [`crate::ShardLog::fit`].

use std::path::Path;

use crate::error::StoreError;
use crate::snapshot::Snapshots;
use crate::snapshot_transfer::{SnapshotFile, SnapshotReceiver};
use crate::types::{Snapshot, SnapshotMeta};

/// The snapshots in the folder of a replica that is not open.
pub struct SnapshotInbox(Snapshots);

impl SnapshotInbox {
    /// Opens folder `dir`. The state machine in it must not be open meanwhile.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Snapshots::open(dir).map(Self)
    }

    /// Starts receiving a snapshot of this length and checksum.
    pub fn receive(&self, bytes: u64, checksum: [u8; 32]) -> Result<SnapshotReceiver, StoreError> {
        self.0.receive(bytes, checksum)
    }

    /// Makes a received file the replica's snapshot, durably.
    pub fn adopt(&self, meta: SnapshotMeta, file: SnapshotFile) -> Result<(), StoreError> {
        self.0.adopt(Snapshot { meta, snapshot: file }).map(|_| ())
    }

    /// The snapshot turned out to be of no use.
    pub fn discard(&self) -> Result<(), StoreError> {
        self.0.discard()
    }
}
