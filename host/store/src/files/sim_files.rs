//! The files of a simulated machine after its power failed: each as of its last sync.
//!
//! The files of a simulation are real ones. A second folder holds copies: a file is copied there when
//! it is synced, renamed and deleted when the original is, and SQLite's files are copied when SQLite
//! has synced them. [`lose_unsynced`] puts the copies in the place of the originals. Promises that no
//! bytes are left that a disk may have lost.
//!
//! Leaves out names that were not synced, and files of which a part was written: those of SQLite
//! and of snapshots carry checksums, and the log has a simulated disk of its own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::names::with_suffix;

/// The folder whose files are copied, and the one where they are copied to.
static FOLDERS: Mutex<Option<(PathBuf, PathBuf)>> = Mutex::new(None);

/// Copies every file under `root` to `copies` when it is synced, from now on.
pub fn keep_synced(root: &Path, copies: &Path) {
    let mut folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    *folders = Some((root.to_path_buf(), copies.to_path_buf()));
}

/// Gives all files under `folder` the content that they had when they were last synced.
pub fn lose_unsynced(folder: &Path) -> io::Result<()> {
    let copies = copy_of(folder).expect("keep_synced names the folder");
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    match copies.exists() {
        true => copy_folder(&copies, folder),
        false => Ok(()),
    }
}

/// Deletes the copies of all files under `folder`.
pub fn lose_all(folder: &Path) -> io::Result<()> {
    match copy_of(folder) {
        Some(copies) if copies.exists() => fs::remove_dir_all(copies),
        _ => Ok(()),
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => copy_folder(&entry.path(), &target)?,
            false => fs::copy(entry.path(), target).map(|_| ())?,
        }
    }
    Ok(())
}

/// Notes that `path` is on disk as it is now.
pub fn synced(path: &Path) -> io::Result<()> {
    let Some(copy) = copy_of(path) else { return Ok(()) };
    if path.is_file() {
        copy.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::copy(path, copy)?;
    }
    Ok(())
}

/// Notes that the database in `path` is on disk as it is now, with its write-ahead log.
pub fn database_synced(path: &Path) -> io::Result<()> {
    let wal = with_suffix(path, "-wal");
    match wal.exists() {
        true => synced(&wal)?,
        false => removed(&wal),
    }
    synced(path)
}

/// Notes that `from` is called `to` now.
pub fn renamed(from: &Path, to: &Path) {
    if let (Some(from), Some(to)) = (copy_of(from), copy_of(to)) {
        // A file that was never synced has no copy.
        let _: io::Result<()> = fs::rename(from, to);
    }
}

/// Notes that `path` is deleted.
pub fn removed(path: &Path) {
    if let Some(copy) = copy_of(path) {
        // As above.
        let _: io::Result<()> = fs::remove_file(copy);
    }
}

fn copy_of(path: &Path) -> Option<PathBuf> {
    let folders = FOLDERS.lock().unwrap_or_else(PoisonError::into_inner);
    let (root, copies) = folders.as_ref()?;
    Some(copies.join(path.strip_prefix(root).ok()?))
}
