//! A snapshot for a replica that has no state: fetched from another one before Raft starts here.
//!
//! Promises that a fetched snapshot counts only when it is whole and on disk; then the opening of the
//! state machine restores from it as from a snapshot that was made here. Leaves out the network, and the
//! log, which stays as it is: see [`crate::ShardLog::fit`].

use std::path::Path;

use super::file::{Snapshot, SnapshotFile};
use super::receiver::SnapshotReceiver;
use super::snapshots::Snapshots;
use crate::error::StoreError;
use crate::types::SnapshotMeta;

/// The snapshots in the folder of a replica that is not open.
pub struct SnapshotInbox(Snapshots);

impl SnapshotInbox {
    /// Opens folder `dir`. The state machine of this folder must stay closed until the inbox is dropped.
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

    /// Forgets the snapshot, which turned out to be of no use.
    pub fn discard(&self) -> Result<(), StoreError> {
        self.0.discard()
    }
}
