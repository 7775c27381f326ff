//! Replacing a state by that of a snapshot from another replica.

use snafu::ResultExt;

use super::worker::ApplyWorker;
use crate::buffer::{BufferedState, LiveState};
use crate::error::{StateStorageSnafu, StoreError};
use crate::files;
use crate::recovery;
use crate::replica::Shared;
use crate::snapshot::Snapshot;
use crate::state::StateFileError;
use crate::sync::lock;

impl ApplyWorker {
    /// Replaces the state by that of `snapshot`. Readers go over to the new file; the old one is
    /// deleted when the new one is in place.
    pub(super) fn install(&mut self, snapshot: Snapshot) -> Result<(), StoreError> {
        let Shared { owner, snapshots, snapshot_due, live, .. } = &*self.shared;
        let current = lock(live).file.clone();
        let opened = recovery::install(&snapshot, owner, &current)?;
        snapshots.adopt(snapshot)?;
        snapshot_due.made(snapshot_due.begun());
        let (mut state, file) = (opened.state, opened.file);
        let next = LiveState::new(file.clone(), &state, snapshots.last());
        let buffered = BufferedState::new(&mut state, live.clone());
        let buffered = buffered.map_err(StateFileError::into_sqlite);
        let path = &file.path;
        self.state = buffered.context(StateStorageSnafu { what: "opening", path })?;
        *lock(live) = next;
        self.shared.close_idle();
        // The content of the old file is given up: an error on closing it means nothing any more.
        drop(self.flusher.replace(state));
        files::remove_database(&current.path)
    }
}
