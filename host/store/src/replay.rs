//! Applying a shard's log once more, beside the node: to look at what an entry did.
//!
//! Promises the state that the replica had before the entry: from its snapshot, or from nothing if the
//! log is complete, in a folder of the caller's; the replica's own files are only read. Leaves out
//! entries before the snapshot, which is all that is left of them.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use aspen_core::{Applied, Fault, Functions, ShardRouter};
use openraft::EntryPayload;
use snafu::ResultExt;

use crate::apply_worker::BUFFER_BYTES_MAX;
use crate::buffer::BufferedState;
use crate::error::{StateStorageSnafu, StoreError, chain};
use crate::live::Live;
use crate::log::lock;
use crate::recovery;
use crate::schema::{Owner, Unusable};
use crate::snapshot;
use crate::state::SqliteState;
use crate::state_machine::StateConfig;
use crate::types::{Entry, LogId, Proposal, StoredMembership};

/// A state that entries are applied to again.
pub struct Replay {
    state: BufferedState,
    file: SqliteState,
    live: Arc<Mutex<Live>>,
    owner: Owner,
    router: ShardRouter,
}

impl Replay {
    /// Begins where the snapshot in folder `from` ends. `config` names an empty folder; its `purged`
    /// means nothing.
    pub fn open(from: &Path, config: StateConfig) -> Result<Replay, StoreError> {
        let StateConfig { dir, shard, router, identity, .. } = config;
        let owner = Owner { identity, shard };
        let opened = recovery::begin_anew(&dir, &owner, snapshot::current(from).as_ref())?;
        let mut file = opened.state;
        let live = Arc::new(Mutex::new(Live::new(opened.file, &file, None)));
        let state = BufferedState::new(&mut file, live.clone()).map_err(Unusable::into_sqlite);
        let path = file.path();
        let state = state.context(StateStorageSnafu { what: "opening", path })?;
        Ok(Replay { state, file, live, owner, router })
    }

    /// The last applied entry.
    pub fn applied(&self) -> Option<LogId> {
        self.state.applied()
    }

    /// Applies the next entry: what it came to, if it is one of Aspen's and not Raft's own.
    pub fn apply(
        &mut self,
        functions: &dyn Functions,
        entry: Entry,
    ) -> io::Result<Option<(aspen_core::Entry, Applied)>> {
        self.state.begin();
        let (shard, router) = (self.owner.shard, self.router);
        let applied = apply_entry(&mut self.state, functions, shard, router, entry);
        let applied = applied.map_err(|fault| io::Error::other(chain(&fault)))?;
        self.state.commit().map_err(|fault| io::Error::other(chain(&fault)))?;
        if self.state.unwritten_bytes() >= BUFFER_BYTES_MAX {
            let flush = self.state.flush();
            self.file.write(&flush).map_err(|error| io::Error::other(chain(&error)))?;
            lock(&self.live).thaw(flush.progress.applied);
        }
        Ok(applied)
    }
}

/// Applies one entry: what it came to, unless it is one of Raft's own.
pub fn apply_entry(
    state: &mut BufferedState,
    functions: &dyn Functions,
    shard: aspen_core::ShardId,
    router: ShardRouter,
    entry: Entry,
) -> Result<Option<(aspen_core::Entry, Applied)>, Fault> {
    let log_id = entry.log_id;
    if state.applied().is_some_and(|applied| applied.index >= log_id.index) {
        return Err(Fault::new("applying in order", "the entry was applied before"));
    }
    let (applied, membership) = match entry.payload {
        EntryPayload::Blank => (None, None),
        EntryPayload::Membership(membership) => {
            (None, Some(StoredMembership::new(Some(log_id), membership)))
        }
        EntryPayload::Normal(Proposal(bytes)) => {
            let entry: aspen_core::Entry = aspen_core::decode(&bytes)
                .map_err(|error| Fault::new("decoding the entry", error))?;
            let applied = aspen_core::apply(state, functions, shard, router, &entry)?;
            (Some((entry, applied)), None)
        }
    };
    let kept = applied.as_ref().map_or(0, |(_, applied)| applied.outcome.len());
    state.advance(log_id, membership, kept);
    Ok(applied)
}
