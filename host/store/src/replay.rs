//! Applying a shard's log once more, apart from the node, to see the effect of an entry.
//!
//! Promises the state that the replica had before the entry. It is made in the caller's folder, from the
//! replica's snapshot, or from nothing if the log is complete; the replica's own files are only read.
//! Entries are applied by the function that the apply worker uses.
//! Leaves out the entries before the snapshot: only the snapshot is left of them.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use aspen_core::apply::AppliedEntry;
use aspen_core::function::Functions;
use aspen_core::placement::ShardRouter;
use snafu::ResultExt;

use crate::apply::{StateConfig, apply_entry};
use crate::buffer::{BufferedState, LiveState};
use crate::error::{StateStorageSnafu, StoreError, chain};
use crate::limits::MEMTABLE_BYTES_MAX;
use crate::recovery;
use crate::snapshot;
use crate::state::{Owner, SqliteState, StateFileError};
use crate::sync::lock;
use crate::types::{LogId, RaftEntry};

/// A state that entries are applied to again.
pub struct Replay {
    state: BufferedState,
    file: SqliteState,
    live: Arc<Mutex<LiveState>>,
    owner: Owner,
    router: ShardRouter,
}

impl Replay {
    /// Begins after the snapshot in folder `from`. `config` names an empty folder; its `purged` has no
    /// effect.
    pub fn open(from: &Path, config: StateConfig) -> Result<Replay, StoreError> {
        let StateConfig { dir, shard, router, identity, .. } = config;
        let owner = Owner { identity, shard };
        let opened = recovery::begin_anew(&dir, &owner, snapshot::current(from).as_ref())?;
        let mut file = opened.state;
        let live = Arc::new(Mutex::new(LiveState::new(opened.file, &file, None)));
        let state = BufferedState::new(&mut file, live.clone());
        let state = state.map_err(StateFileError::into_sqlite);
        let path = file.path();
        let state = state.context(StateStorageSnafu { what: "opening", path })?;
        Ok(Replay { state, file, live, owner, router })
    }

    /// Returns the last applied entry.
    pub fn applied(&self) -> Option<LogId> {
        self.state.applied()
    }

    /// Applies the next entry. Returns the decoded entry and its result, unless Raft made the entry.
    pub fn apply(
        &mut self,
        functions: &dyn Functions,
        entry: RaftEntry,
    ) -> io::Result<Option<(aspen_core::protocol::Entry, AppliedEntry)>> {
        self.state.begin();
        let (shard, router) = (self.owner.shard, self.router);
        let applied = apply_entry(&mut self.state, functions, shard, router, entry);
        let applied = applied.map_err(|fault| io::Error::other(chain(&fault)))?;
        self.state.commit().map_err(|fault| io::Error::other(chain(&fault)))?;
        if self.state.unwritten_bytes() >= MEMTABLE_BYTES_MAX {
            let flush = self.state.flush();
            self.file.write(&flush).map_err(|error| io::Error::other(chain(&error)))?;
            lock(&self.live).end_flush(flush.progress.applied);
        }
        Ok(applied)
    }
}
