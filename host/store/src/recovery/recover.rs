//! The rebuilding of a shard's state at a start.
//!
//! ```text
//! state-3.db good ------------------------------------------> use it
//! state-3.db damaged --> set aside --> snapshot good --------> state-4.db, a copy of it
//!                                  --> log complete ---------> state-4.db, empty; Raft re-applies
//!                                  --> neither --------------> StateLost: join the node anew
//! ```
//!
//! A replica that diverged (`divergence.rs`) begins as if its state was damaged, and its snapshot too
//! if that one was made after the difference.
//!
//! Promises that the state reaches at least to the last deleted entry of the log. The state may be older
//! than the log's committed entries (a power cut): Raft applies those again. Another node's state is not
//! damage but a mistake of the operator, and is refused untouched.

use std::fs;
use std::path::Path;

use snafu::{ResultExt, ensure};

use super::divergence;
use super::install::{OpenState, create, foreign, install};
use crate::error::{FileSnafu, StateLostSnafu, StateStorageSnafu, StoreError};
use crate::files;
use crate::snapshot::{Snapshot, Snapshots};
use crate::state::{Owner, SqliteState, StateFile, newest};
use crate::types::LogId;

/// A file that exists while a state is open: if it exists at the next start, the stop was not clean.
const OPEN_MARK: &str = "state.open";

/// Opens or rebuilds the state in folder `dir`. `purged` is the last deleted entry of the log.
pub fn recover(
    dir: &Path,
    owner: &Owner,
    purged: Option<LogId>,
    snapshots: &Snapshots,
) -> Result<OpenState, StoreError> {
    divergence::cleanse(dir, owner.shard, snapshots, || match newest(dir)? {
        Some(file) => set_aside(&file),
        None => Ok(()),
    })?;
    let mark = dir.join(OPEN_MARK);
    let unclean = mark.exists();
    let opened = match newest(dir)? {
        Some(file) => open_or_set_aside(file, owner, unclean)?,
        None => Err(StateFile::new(dir, 0)),
    };
    let opened = match restore_if_behind(opened, owner, purged, snapshots)? {
        Ok(opened) => opened,
        Err(file) => create(file.next(), owner)?,
    };
    let applied = opened.state.applied();
    if let Some(purged) = purged {
        let covered = applied >= Some(purged);
        ensure!(covered, StateLostSnafu { shard: owner.shard, dir, applied, purged });
    }
    // Raft may purge the log up to the entry that is reported as applied: the state must not get lost.
    let path = &opened.file.path;
    opened.state.checkpoint().context(StateStorageSnafu { what: "checkpointing", path })?;
    fs::write(&mark, []).context(FileSnafu { what: "creating", path: &mark })?;
    files::sync_folder(&mark)?;
    // An empty state is rebuilt too: from a log that is complete.
    divergence::unmark(dir)?;
    Ok(opened)
}

/// Notes that the state in `dir` was closed in good order.
pub fn mark_closed(dir: &Path) -> Result<(), StoreError> {
    files::remove(&dir.join(OPEN_MARK))
}

/// Opens `file`, or moves it aside if it is damaged and returns it as the error.
fn open_or_set_aside(
    file: StateFile,
    owner: &Owner,
    unclean: bool,
) -> Result<Result<OpenState, StateFile>, StoreError> {
    match SqliteState::open(&file.path, unclean) {
        Ok((state, found)) => match found == *owner {
            true => Ok(Ok(OpenState { state, file })),
            false => Err(foreign(&file.path, owner, &found)),
        },
        Err(error) if error.is_damage() => {
            tracing::warn!("state {} is damaged: {error}; setting it aside", file.path.display());
            set_aside(&file)?;
            Ok(Err(file))
        }
        Err(error) => {
            let path = &file.path;
            Err(error.into_sqlite()).context(StateStorageSnafu { what: "opening", path })
        }
    }
}

/// Replaces a missing state, or one that ends before `purged`, by that of the snapshot, if the snapshot is
/// good and reaches further.
fn restore_if_behind(
    opened: Result<OpenState, StateFile>,
    owner: &Owner,
    purged: Option<LogId>,
    snapshots: &Snapshots,
) -> Result<Result<OpenState, StateFile>, StoreError> {
    let reached = opened.as_ref().map_or(None, |opened| opened.state.applied());
    if (opened.is_err() || reached < purged)
        && let Some(snapshot) = good_snapshot(snapshots)?
        && snapshot.meta.last_log_id >= reached.max(purged)
    {
        let file = match opened {
            Ok(OpenState { state, file }) => {
                drop(state);
                file
            }
            Err(file) => file,
        };
        tracing::info!("restoring {} from its snapshot", owner.shard);
        return Ok(Ok(install(&snapshot, owner, &file)?));
    }
    Ok(opened)
}

/// Keeps a damaged file for people to look into, in place of an earlier one.
fn set_aside(file: &StateFile) -> Result<(), StoreError> {
    let dir = file.dir();
    for name in files::names(dir)? {
        if name.contains(".damaged") {
            files::remove(&dir.join(name))?;
        }
    }
    let wal = files::with_suffix(&file.path, "-wal");
    if wal.exists() {
        files::publish(&wal, &files::with_suffix(&file.path, ".damaged-wal"))?;
    }
    files::remove(&files::with_suffix(&file.path, "-shm"))?;
    files::publish(&file.path, &files::with_suffix(&file.path, ".damaged"))
}

/// Returns the current snapshot, if its checksum is right.
fn good_snapshot(snapshots: &Snapshots) -> Result<Option<Snapshot>, StoreError> {
    let Some(snapshot) = snapshots.current() else { return Ok(None) };
    match snapshot.snapshot.verify() {
        Ok(()) => Ok(Some(snapshot)),
        Err(error @ StoreError::SnapshotDamaged { .. }) => {
            tracing::warn!("{error}");
            snapshots.discard()?;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
