//! Changes of files and folders that survive a power cut.
//!
//! Promises that a change is on disk, with the name of the file in its folder, when a function of this
//! file that syncs has returned. [`remove`] alone does not sync.

use std::fs::{self, File};
use std::io;
use std::path::Path;
#[cfg(madsim)]
use std::path::PathBuf;

use snafu::ResultExt;

use super::names::with_suffix;
use crate::error::{FileSnafu, StoreError};

/// Writes everything in `path` to disk.
pub fn sync(path: &Path) -> Result<(), StoreError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    #[cfg(madsim)]
    let synced = synced.and_then(|()| super::sim_files::synced(path));
    synced.context(FileSnafu { what: "syncing", path })
}

/// Does as [`sync`]; a file that does not exist has nothing to write.
pub fn sync_if_present(path: &Path) -> Result<(), StoreError> {
    if path.exists() { sync(path) } else { Ok(()) }
}

/// Gives a synced file its final name, durably.
pub fn publish(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).context(FileSnafu { what: "renaming", path: from })?;
    #[cfg(madsim)]
    super::sim_files::renamed(from, to);
    sync_folder(to)
}

/// Makes the names in the folder of `path` durable.
pub fn sync_folder(path: &Path) -> Result<(), StoreError> {
    path.parent().map_or(Ok(()), sync)
}

/// Deletes `path` if it exists.
pub fn remove(path: &Path) -> Result<(), StoreError> {
    #[cfg(madsim)]
    super::sim_files::removed(path);
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context(FileSnafu { what: "deleting", path })
        }
        _ => Ok(()),
    }
}

/// Deletes a folder and its content, durably. The folder need not exist.
pub fn remove_folder(path: &Path) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    #[cfg(madsim)]
    for file in walk(path) {
        super::sim_files::removed(&file);
    }
    fs::remove_dir_all(path).context(FileSnafu { what: "deleting", path })?;
    sync_folder(path)
}

#[cfg(madsim)]
fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let files = |path: PathBuf| if path.is_dir() { walk(&path) } else { vec![path] };
    entries.flat_map(files).collect()
}

/// Deletes a SQLite database and its side files. The write-ahead log goes first: left alone, it would
/// be taken for the log of the next database of this name.
pub fn remove_database(path: &Path) -> Result<(), StoreError> {
    remove(&with_suffix(path, "-wal"))?;
    remove(&with_suffix(path, "-shm"))?;
    remove(path)
}
