//! The place of a shard's replica on this node, with or without the replica.
//!
//! Promises that a replica which runs has no reason to wait. Leaves out when a replica is put here
//! or taken away (`placement/host.rs`).

use std::sync::{Arc, RwLock};

use tokio::sync::Mutex;

use crate::replica::Replica;

/// The place of one shard's replica.
#[derive(Default)]
pub struct ReplicaSlot {
    /// While the replica runs here.
    replica: RwLock<Option<Arc<Replica>>>,
    /// The reason why the replica does not run yet.
    waiting: std::sync::Mutex<Option<String>>,
    /// Held while the replica is opened or deleted.
    pub changing: Mutex<()>,
}

impl ReplicaSlot {
    /// Returns the replica, if it runs here.
    pub fn replica(&self) -> Option<Arc<Replica>> {
        self.replica.read().expect("no panic under the lock").clone()
    }

    /// Returns the reason why the replica does not run yet.
    pub fn waiting(&self) -> Option<String> {
        self.waiting.lock().expect("no panic under the lock").clone()
    }

    /// Sets the reason why the replica does not run yet.
    pub fn set_waiting(&self, why: Option<String>) {
        *self.waiting.lock().expect("no panic under the lock") = why;
    }

    /// Puts a replica here that runs.
    pub fn put(&self, replica: Replica) {
        *self.replica.write().expect("no panic under the lock") = Some(Arc::new(replica));
        self.set_waiting(None);
    }

    /// Takes the replica away.
    pub fn take(&self) -> Option<Arc<Replica>> {
        self.replica.write().expect("no panic under the lock").take()
    }
}
