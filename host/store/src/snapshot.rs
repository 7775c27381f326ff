//! The snapshot that a shard keeps: one file, and a note beside it that says what it holds.
//!
//! ```text
//! snapshot.meta      names the current file, its checksum, its last entry and its members
//! snapshot-7.db      that file
//! snapshot-8.db      one being built: unknown to the note, deleted at the next start
//! incoming-9.db      one being received: likewise
//! ```
//!
//! Promises that the note changes in one step (rename), only after the file is on disk, so there is
//! always at most one current snapshot and it is complete. Leaves out when snapshots are made
//! (openraft's policy) and what a lost state does with one (`recovery.rs`).

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use snafu::ResultExt;

use crate::error::{FileSnafu, StateStorageSnafu, StoreError};
use crate::files;
use crate::log::lock;
use crate::schema::{self, MEMBERSHIP, PROGRESS, Progress, Unusable};
use crate::snapshot_transfer::{SnapshotFile, SnapshotReceiver};
use crate::types::{LogId, Snapshot, SnapshotMeta};

const NOTE: &str = "snapshot.meta";
const NEW_NOTE: &str = "snapshot.meta.new";

/// What the note says.
#[derive(Serialize, Deserialize)]
struct Note {
    file: String,
    bytes: u64,
    checksum: [u8; 32],
    meta: SnapshotMeta,
}

/// The snapshots in a shard's folder.
pub struct Snapshots {
    dir: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    current: Option<Snapshot>,
    next_file: u64,
}

/// The snapshot in folder `dir`, which stays as it is. A damaged note is as good as none.
pub fn current(dir: &Path) -> Option<Snapshot> {
    read_note(dir).unwrap_or_else(|error| {
        tracing::warn!("ignoring the snapshot in {}: {error}", dir.display());
        None
    })
}

impl Snapshots {
    /// Finds the current snapshot in `dir` and deletes the leftovers of interrupted work. A damaged
    /// note is as good as none.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let current = current(dir);
        let keep = current.as_ref().and_then(|snapshot| snapshot.snapshot.path.file_name());
        for name in files::names(dir)? {
            let ours = name.starts_with("snapshot-") || name.starts_with("incoming-");
            if (ours && keep != Some(name.as_ref())) || name == NEW_NOTE {
                files::remove(&dir.join(name))?;
            }
        }
        if current.is_none() {
            files::remove(&dir.join(NOTE))?;
        }
        let next_file = current.as_ref().map_or(0, |snapshot| number(&snapshot.snapshot.path)) + 1;
        Ok(Self { dir: dir.to_path_buf(), inner: Mutex::new(Inner { current, next_file }) })
    }

    /// The current snapshot.
    pub fn current(&self) -> Option<Snapshot> {
        lock(&self.inner).current.clone()
    }

    /// The last entry in the current snapshot.
    pub fn last(&self) -> Option<LogId> {
        lock(&self.inner).current.as_ref().and_then(|snapshot| snapshot.meta.last_log_id)
    }

    /// The current snapshot turned out to be damaged: forget it.
    pub fn discard(&self) -> Result<(), StoreError> {
        let damaged = lock(&self.inner).current.take();
        files::remove(&self.dir.join(NOTE))?;
        damaged.map_or(Ok(()), |snapshot| files::remove(&snapshot.snapshot.path))
    }

    /// Copies the state in file `state` as of now, while others go on writing to it. The copy is
    /// complete and synced, but not yet the current snapshot.
    pub fn build(&self, state: &Path) -> Result<Snapshot, StoreError> {
        let path = self.fresh("snapshot");
        let vacuum = || -> Result<SnapshotMeta, Unusable> {
            let db = schema::open_read_only(state)?;
            // A copy in order of keys, without gaps; it also reads, and so proves, every page.
            db.execute("VACUUM INTO ?1", [path.to_string_lossy()])?;
            schema::close(db)?;
            read_meta(&path)
        };
        let meta = files::syncing(&path, vacuum).and_then(|meta| {
            let meta = meta.map_err(Unusable::into_sqlite);
            meta.context(StateStorageSnafu { what: "copying to a snapshot", path: state })
        });
        if meta.is_err() {
            // Half a copy on a full disk must not keep the disk full.
            files::remove(&path)?;
        }
        Ok(Snapshot { meta: meta?, snapshot: SnapshotFile::seal(&path)? })
    }

    /// Makes `snapshot` the current one, durably, unless there is a newer one; returns the current
    /// one. A file in this folder is taken, another one copied.
    pub fn adopt(&self, snapshot: Snapshot) -> Result<Snapshot, StoreError> {
        let Snapshot { meta, snapshot: file } = snapshot;
        let target = self.fresh("snapshot");
        let mut inner = lock(&self.inner);
        let same = |current: &&Snapshot| current.snapshot.path == file.path;
        let newer = |current: &&Snapshot| current.meta.last_log_id > meta.last_log_id;
        if let Some(current) = inner.current.as_ref().filter(|c| same(c) || newer(c)) {
            if current.snapshot.path != file.path && self.owns(&file.path) {
                files::remove(&file.path)?;
            }
            return Ok(current.clone());
        }
        match self.owns(&file.path) {
            true => files::publish(&file.path, &target)?,
            false => {
                file.copy_to(&target)?;
                files::sync_folder(&target)?;
            }
        }
        let file = file.moved_to(target);
        let fresh = Snapshot { meta, snapshot: file };
        self.write_note(&fresh)?;
        let replaced = inner.current.replace(fresh.clone());
        if let Some(replaced) = replaced {
            files::remove(&replaced.snapshot.path)?;
        }
        Ok(fresh)
    }

    /// Starts receiving a snapshot.
    pub fn receive(&self, bytes: u64, checksum: [u8; 32]) -> Result<SnapshotReceiver, StoreError> {
        SnapshotReceiver::new(self.fresh("incoming"), bytes, checksum)
    }

    fn owns(&self, path: &Path) -> bool {
        path.parent() == Some(&self.dir)
    }

    fn fresh(&self, kind: &str) -> PathBuf {
        let mut inner = lock(&self.inner);
        let number = inner.next_file;
        inner.next_file += 1;
        self.dir.join(format!("{kind}-{number}.db"))
    }

    fn write_note(&self, snapshot: &Snapshot) -> Result<(), StoreError> {
        let SnapshotFile { path, bytes, checksum, .. } = &snapshot.snapshot;
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (bytes, checksum, meta) = (*bytes, *checksum, snapshot.meta.clone());
        let note = aspen_core::encode(&Note { file, bytes, checksum, meta });
        let new = self.dir.join(NEW_NOTE);
        std::fs::write(&new, note).context(FileSnafu { what: "writing", path: &new })?;
        files::sync(&new)?;
        files::publish(&new, &self.dir.join(NOTE))
    }
}

fn read_note(dir: &Path) -> Result<Option<Snapshot>, String> {
    let path = dir.join(NOTE);
    if !path.exists() {
        return Ok(None);
    }
    let note = std::fs::read(&path).map_err(|error| error.to_string())?;
    let note: Note = aspen_core::decode(&note).map_err(|error| error.to_string())?;
    let file = SnapshotFile::open(&dir.join(note.file), note.bytes, note.checksum);
    let file = file.map_err(|error| error.to_string())?;
    Ok(Some(Snapshot { meta: note.meta, snapshot: file }))
}

/// What a state file holds: its last entry and its members.
pub fn read_meta(path: &Path) -> Result<SnapshotMeta, Unusable> {
    let db = schema::open_read_only(path)?;
    let Progress { applied, .. } = schema::get(&db, PROGRESS)?;
    let last_membership = schema::get(&db, MEMBERSHIP)?;
    schema::close(db)?;
    Ok(SnapshotMeta { last_log_id: applied, last_membership })
}

/// The number in a file's name.
fn number(path: &Path) -> u64 {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    name.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}
