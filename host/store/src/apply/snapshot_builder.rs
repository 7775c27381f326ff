//! Building a snapshot of one shard.
//!
//! A snapshot is a copy of the file, after a flush of everything applied. Promises that the snapshot
//! counts as built only when both it and the live file up to it are on disk, because openraft deletes
//! the log up to it.

use std::io;
use std::sync::Arc;

use openraft::async_runtime::AsyncRuntime;
use openraft::storage::RaftSnapshotBuilder;

use super::worker_handle::WorkerHandle;
use crate::error::StoreError;
use crate::replica::ApplyRequest;
use crate::runtime::Runtime;
use crate::snapshot::{Snapshot, SnapshotFile};
use crate::state;
use crate::sync::lock;
use crate::types::TypeConfig;

/// Builds a snapshot of one shard.
pub struct SnapshotBuilder {
    pub(super) handle: Arc<WorkerHandle>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let shared = self.handle.shared.clone();
        let begun = shared.snapshot_due.begun();
        self.handle.request(|done| ApplyRequest::Flush { done }).await??;
        let built = Runtime::spawn_blocking(move || {
            let path = lock(&shared.live).file.path.clone();
            let built = shared.snapshots.build(&path)?;
            // The content of a failing disk is not known: the replica must stop.
            state::sync(&path).inspect_err(|error| shared.fail(error))?;
            let current = shared.snapshots.adopt(built)?;
            lock(&shared.live).status.snapshot = current.meta.last_log_id;
            shared.snapshot_due.made(begun);
            Ok::<_, StoreError>(current)
        });
        Ok(built.await??)
    }
}
