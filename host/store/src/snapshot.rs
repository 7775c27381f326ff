//! Snapshots of a shard's state: one file for each shard, made here or received from another replica.
//!
//! Promises that at most one snapshot is current, and that the current one is complete and on disk.
//! Leaves out when openraft asks for one, the network, and how a lost state is rebuilt from one
//! (`recovery`). Start reading at `snapshots.rs`.

mod due;
mod file;
mod inbox;
mod manifest;
mod receiver;
mod snapshots;

pub use due::SnapshotDue;
pub use file::{Snapshot, SnapshotFile};
pub use inbox::SnapshotInbox;
pub use manifest::current;
pub use receiver::SnapshotReceiver;
pub use snapshots::Snapshots;
