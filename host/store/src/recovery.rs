//! From whatever a shard's folder holds to a usable state, or a refusal with a remedy.
//!
//! ```text
//! state-3.db good ------------------------------------------> use it
//! state-3.db damaged --> set aside --> snapshot good --------> state-4.db, a copy of it
//!                                  --> log complete ---------> state-4.db, empty; Raft re-applies
//!                                  --> neither --------------> StateLost: join the node anew
//! ```
//!
//! A replica that diverged (`divergence.rs`) begins as if its state was damaged, and its snapshot too
//! if that is of after the difference.
//!
//! Every state file has a number of its own, and the highest one counts, so that a new state takes
//! over by one rename and the write-ahead log of an old one can never be taken for the new one's.
//! The state may be older than the log's committed entries (a power cut): Raft applies those again.
//! Another node's state is not damage, it is a mistake of the operator, and refused untouched.

use std::fs;
use std::path::{Path, PathBuf};

use snafu::{ResultExt, ensure};

use crate::divergence;
use crate::error::{
    FileSnafu, SnapshotDamagedSnafu, StateLostSnafu, StateStorageSnafu, StoreError,
};
use crate::files;
use crate::schema::{self, Owner, Unusable};
use crate::snapshot::Snapshots;
use crate::state::SqliteState;
use crate::types::{LogId, Snapshot};

/// Exists while a state is open: if it is there at the next start, the stop was not clean.
const OPEN_MARK: &str = "state.open";

/// An open state and its file.
pub struct Opened {
    pub state: SqliteState,
    pub file: StateFile,
}

/// A state file and its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFile {
    pub number: u64,
    pub path: PathBuf,
}

impl StateFile {
    /// State file `number` of folder `dir`.
    pub fn new(dir: &Path, number: u64) -> Self {
        Self { number, path: dir.join(format!("state-{number}.db")) }
    }

    fn next(&self) -> Self {
        let dir = self.path.parent().unwrap_or(Path::new(""));
        Self::new(dir, self.number + 1)
    }
}

/// Opens or rebuilds the state in folder `dir`. `purged` is up to where the log is deleted.
pub fn recover(
    dir: &Path,
    owner: &Owner,
    purged: Option<LogId>,
    snapshots: &Snapshots,
) -> Result<Opened, StoreError> {
    divergence::cleanse(dir, owner.shard, snapshots, || match newest(dir)? {
        Some(file) => set_aside(&file),
        None => Ok(()),
    })?;
    let mark = dir.join(OPEN_MARK);
    let unclean = mark.exists();
    let mut opened = match newest(dir)? {
        Some(file) => open_or_set_aside(file, owner, unclean)?,
        None => Err(StateFile::new(dir, 0)),
    };
    let reached = opened.as_ref().map_or(None, |opened| opened.state.applied());
    if (opened.is_err() || reached < purged)
        && let Some(snapshot) = good_snapshot(snapshots)?
        && snapshot.meta.last_log_id >= reached.max(purged)
    {
        let file = match opened {
            Ok(Opened { state, file }) => {
                drop(state);
                file
            }
            Err(file) => file,
        };
        tracing::info!("restoring {} from its snapshot", owner.shard);
        opened = Ok(install(&snapshot, owner, &file)?);
    }
    let opened = match opened {
        Ok(opened) => opened,
        Err(file) => create(file.next(), owner)?,
    };
    let applied = opened.state.applied();
    if let Some(purged) = purged {
        let covered = applied >= Some(purged);
        ensure!(covered, StateLostSnafu { shard: owner.shard, dir, applied, purged });
    }
    // Raft may purge the log up to what we report as applied: it must not get lost any more.
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

/// Makes the state that `snapshot` holds the newest one, after `current`, which stays in place.
pub fn install(
    snapshot: &Snapshot,
    owner: &Owner,
    current: &StateFile,
) -> Result<Opened, StoreError> {
    let file = current.next();
    let new = files::beside(&file.path, ".new");
    files::remove_database(&new)?;
    snapshot.snapshot.copy_to(&new)?;
    let check = || -> Result<(Owner, bool), Unusable> {
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
    let checked = check().map_err(Unusable::into_sqlite);
    let (found, same) = checked.context(StateStorageSnafu { what: "opening a snapshot", path })?;
    let what = "its content is not what was announced";
    ensure!(same, SnapshotDamagedSnafu { path: &snapshot.snapshot.path, what });
    let ours = (found.shard, found.identity.cluster) == (owner.shard, owner.identity.cluster);
    match ours {
        true => publish(file, &new),
        false => Err(foreign(path, owner, &found)),
    }
}

/// Opens `file`, or moves it aside if it is damaged and returns it as the error.
fn open_or_set_aside(
    file: StateFile,
    owner: &Owner,
    unclean: bool,
) -> Result<Result<Opened, StateFile>, StoreError> {
    match SqliteState::open(&file.path, unclean) {
        Ok((state, found)) => match found == *owner {
            true => Ok(Ok(Opened { state, file })),
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

/// The state at `path` belongs to `found`, which is not `owner`.
fn foreign(path: &Path, owner: &Owner, found: &Owner) -> StoreError {
    StoreError::ForeignState {
        path: path.to_path_buf(),
        expected: owner.identity,
        expected_shard: owner.shard,
        found: found.identity,
        found_shard: found.shard,
    }
}

/// Keeps a damaged file for whoever wants to look into it, in place of an earlier one.
fn set_aside(file: &StateFile) -> Result<(), StoreError> {
    let dir = file.path.parent().unwrap_or(Path::new(""));
    for name in files::names(dir)? {
        if name.contains(".damaged") {
            files::remove(&dir.join(name))?;
        }
    }
    let wal = files::beside(&file.path, "-wal");
    if wal.exists() {
        files::publish(&wal, &files::beside(&file.path, ".damaged-wal"))?;
    }
    files::remove(&files::beside(&file.path, "-shm"))?;
    files::publish(&file.path, &files::beside(&file.path, ".damaged"))
}

/// The current snapshot, if it is what its checksum says.
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

/// A state in the empty folder `dir`: what `snapshot` holds, or nothing.
pub fn begin_anew(
    dir: &Path,
    owner: &Owner,
    snapshot: Option<&Snapshot>,
) -> Result<Opened, StoreError> {
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
fn create(file: StateFile, owner: &Owner) -> Result<Opened, StoreError> {
    let new = files::beside(&file.path, ".new");
    files::remove_database(&new)?;
    let created = schema::create(&new, owner).map_err(Unusable::into_sqlite);
    created.context(StateStorageSnafu { what: "creating", path: &new })?;
    publish(file, &new)
}

/// Gives a complete, closed state its name and opens it.
fn publish(file: StateFile, new: &Path) -> Result<Opened, StoreError> {
    files::sync(new)?;
    files::publish(new, &file.path)?;
    let opened = SqliteState::open(&file.path, false).map_err(Unusable::into_sqlite);
    let (state, _) = opened.context(StateStorageSnafu { what: "opening", path: &file.path })?;
    Ok(Opened { state, file })
}

/// The state file with the highest number. Older ones, and unfinished ones, are deleted.
fn newest(dir: &Path) -> Result<Option<StateFile>, StoreError> {
    let names = files::names(dir)?;
    let number = |name: &String| name.strip_prefix("state-")?.strip_suffix(".db")?.parse().ok();
    let numbers: Vec<u64> = names.iter().filter_map(number).collect();
    let highest = numbers.iter().copied().max();
    for number in numbers.into_iter().filter(|number| Some(*number) != highest) {
        files::remove_database(&StateFile::new(dir, number).path)?;
    }
    for name in names.iter().filter(|name| name.contains(".db.new")) {
        files::remove(&dir.join(name))?;
    }
    Ok(highest.map(|number| StateFile::new(dir, number)))
}
