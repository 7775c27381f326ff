//! The snapshot that a shard keeps: one file, and a manifest with its checksum and its last entry.
//!
//! ```text
//! snapshot.meta      names the current file, its checksum, its last entry and its members
//! snapshot-7.db      that file
//! snapshot-8.db      one being built: not in the manifest, deleted at the next start
//! incoming-9.db      one being received: likewise
//! ```
//!
//! Promises that the manifest changes in one step (rename), only after the file is on disk, so at most
//! one snapshot is current and it is complete. Leaves out when snapshots are made (openraft's policy,
//! and `due.rs`) and the rebuilding of a lost state from one (`recovery`).

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use snafu::ResultExt;

use super::file::{Snapshot, SnapshotFile};
use super::manifest::{self, NAME, NEW_NAME};
use super::receiver::SnapshotReceiver;
use crate::error::{StateStorageSnafu, StoreError};
use crate::files;
use crate::state::{self, MEMBERSHIP, PROGRESS, Progress, StateFileError};
use crate::sync::lock;
use crate::types::{LogId, SnapshotMeta};

/// The snapshots in a shard's folder.
pub struct Snapshots {
    dir: PathBuf,
    inner: Mutex<Inner>,
}

struct Inner {
    current: Option<Snapshot>,
    next_file: u64,
}

impl Snapshots {
    /// Finds the current snapshot in `dir` and deletes the leftovers of interrupted work. A damaged
    /// manifest counts as none.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let current = manifest::current(dir);
        let keep = current.as_ref().and_then(|snapshot| snapshot.snapshot.path.file_name());
        for name in files::names(dir)? {
            let ours = name.starts_with("snapshot-") || name.starts_with("incoming-");
            if (ours && keep != Some(name.as_ref())) || name == NEW_NAME {
                files::remove(&dir.join(name))?;
            }
        }
        if current.is_none() {
            files::remove(&dir.join(NAME))?;
        }
        let next_file = current.as_ref().map_or(0, |snapshot| number(&snapshot.snapshot.path)) + 1;
        Ok(Self { dir: dir.to_path_buf(), inner: Mutex::new(Inner { current, next_file }) })
    }

    /// Returns the current snapshot.
    pub fn current(&self) -> Option<Snapshot> {
        lock(&self.inner).current.clone()
    }

    /// Returns the last entry in the current snapshot.
    pub fn last(&self) -> Option<LogId> {
        lock(&self.inner).current.as_ref().and_then(|snapshot| snapshot.meta.last_log_id)
    }

    /// Forgets the current snapshot, which turned out to be damaged.
    pub fn discard(&self) -> Result<(), StoreError> {
        let damaged = lock(&self.inner).current.take();
        files::remove(&self.dir.join(NAME))?;
        damaged.map_or(Ok(()), |snapshot| files::remove(&snapshot.snapshot.path))
    }

    /// Copies the state in file `from` as of now, while a flush may go on writing to it. The copy is
    /// complete and synced, but not yet the current snapshot.
    pub fn build(&self, from: &Path) -> Result<Snapshot, StoreError> {
        let path = self.fresh("snapshot");
        let vacuum = || -> Result<SnapshotMeta, StateFileError> {
            let db = state::open_read_only(from)?;
            // A copy in order of keys, without gaps; it also reads, and so proves, every page.
            db.execute("VACUUM INTO ?1", [path.to_string_lossy()])?;
            state::close(db)?;
            read_meta(&path)
        };
        let meta = files::with_background_sync(&path, vacuum).and_then(|meta| {
            let meta = meta.map_err(StateFileError::into_sqlite);
            meta.context(StateStorageSnafu { what: "copying to a snapshot", path: from })
        });
        if meta.is_err() {
            // Half a copy on a full disk must not keep the disk full.
            files::remove(&path)?;
        }
        Ok(Snapshot { meta: meta?, snapshot: SnapshotFile::seal(&path)? })
    }

    /// Makes `snapshot` the current one, durably, unless the current one is newer; returns the current
    /// one. A file in this folder is moved, another one copied.
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
        manifest::write(&self.dir, &fresh)?;
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
}

/// Reads the last entry and the members of a state file.
fn read_meta(path: &Path) -> Result<SnapshotMeta, StateFileError> {
    let db = state::open_read_only(path)?;
    let Progress { applied, .. } = state::get(&db, PROGRESS)?;
    let last_membership = state::get(&db, MEMBERSHIP)?;
    state::close(db)?;
    Ok(SnapshotMeta { last_log_id: applied, last_membership })
}

/// Returns the number in a file's name.
fn number(path: &Path) -> u64 {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    name.rsplit('-').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}
