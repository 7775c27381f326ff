//! A new state file: a copy of a snapshot, or an empty one.
//!
//! Promises that a state file under its final name is complete and on disk, and that a snapshot of
//! another shard or another cluster is refused.

use std::path::Path;

use snafu::{ResultExt, ensure};

use crate::error::{SnapshotDamagedSnafu, StateStorageSnafu, StoreError};
use crate::files;
use crate::snapshot::Snapshot;
use crate::state::{self, Owner, SqliteState, StateFile, StateFileError};

/// An open state and its file.
pub struct OpenState {
    pub state: SqliteState,
    pub file: StateFile,
}

/// Makes the state in `snapshot` the newest one, after `current`, which stays in place.
pub fn install(
    snapshot: &Snapshot,
    owner: &Owner,
    current: &StateFile,
) -> Result<OpenState, StoreError> {
    let file = current.next();
    let new = files::with_suffix(&file.path, ".new");
    files::remove_database(&new)?;
    snapshot.snapshot.copy_to(&new)?;
    let check = || -> Result<(Owner, bool), StateFileError> {
        let (mut state, found) = SqliteState::open(&new, false)?;
        let same = state.applied() == snapshot.meta.last_log_id
            && *state.membership() == snapshot.meta.last_membership;
        if same && found.shard == owner.shard {
            state.set_owner(owner)?;
        }
        state.close()?;
        Ok((found, same))
    };
    let path = &new;
    let checked = check().map_err(StateFileError::into_sqlite);
    let (found, same) = checked.context(StateStorageSnafu { what: "opening a snapshot", path })?;
    let what = "its content is not what was announced";
    ensure!(same, SnapshotDamagedSnafu { path: &snapshot.snapshot.path, what });
    let ours = (found.shard, found.identity.cluster) == (owner.shard, owner.identity.cluster);
    match ours {
        true => publish(file, &new),
        false => Err(foreign(path, owner, &found)),
    }
}

/// Makes a state in the empty folder `dir`: that of `snapshot`, or an empty one.
pub fn begin_anew(
    dir: &Path,
    owner: &Owner,
    snapshot: Option<&Snapshot>,
) -> Result<OpenState, StoreError> {
    let none = StateFile::new(dir, 0);
    match snapshot {
        Some(snapshot) => {
            snapshot.snapshot.verify()?;
            install(snapshot, owner, &none)
        }
        None => create(none.next(), owner),
    }
}

/// Makes an empty state.
pub(super) fn create(file: StateFile, owner: &Owner) -> Result<OpenState, StoreError> {
    let new = files::with_suffix(&file.path, ".new");
    files::remove_database(&new)?;
    let created = state::create(&new, owner).map_err(StateFileError::into_sqlite);
    created.context(StateStorageSnafu { what: "creating", path: &new })?;
    publish(file, &new)
}

/// Gives a complete, closed state its name and opens it.
fn publish(file: StateFile, new: &Path) -> Result<OpenState, StoreError> {
    files::sync(new)?;
    files::publish(new, &file.path)?;
    let opened = SqliteState::open(&file.path, false).map_err(StateFileError::into_sqlite);
    let (state, _) = opened.context(StateStorageSnafu { what: "opening", path: &file.path })?;
    Ok(OpenState { state, file })
}

/// Makes the error of a state at `path` that belongs to `found` and not to `owner`.
pub(super) fn foreign(path: &Path, owner: &Owner, found: &Owner) -> StoreError {
    StoreError::ForeignState {
        path: path.to_path_buf(),
        expected: owner.identity,
        expected_shard: owner.shard,
        found: found.identity,
        found_shard: found.shard,
    }
}
