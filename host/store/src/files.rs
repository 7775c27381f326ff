//! Files whose changes survive a power cut: rename, delete and sync with their folder.
//!
//! Each error names the file and what was tried. Leaves out what is in the files.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use snafu::ResultExt;

use crate::error::{FileSnafu, StoreError};

/// Writes everything in `path` to disk.
pub fn sync(path: &Path) -> Result<(), StoreError> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    #[cfg(madsim)]
    let synced = synced.and_then(|()| crate::sim_files::synced(path));
    synced.context(FileSnafu { what: "syncing", path })
}

/// Of a large file, how much is written at most before it is synced. Whoever syncs a log meanwhile
/// waits for about this much: some tens of milliseconds on a slow disk, and not for the whole file.
pub const UNSYNCED_BYTES_MAX: u64 = 4 << 20;

/// How often a file that somebody else writes is synced meanwhile.
#[cfg(not(madsim))]
const SYNC_EVERY: std::time::Duration = std::time::Duration::from_millis(20);

/// Does `work`, which writes a large file `path`, and syncs what is there of it again and again, so that
/// it is on its way to the disk in small pieces. A failed sync is an error: the kernel tells of it once.
/// Whether the end got there too, a [`sync`] after it tells.
#[cfg(not(madsim))]
pub fn syncing<T>(path: &Path, work: impl FnOnce() -> T) -> Result<T, StoreError> {
    use std::sync::mpsc::{RecvTimeoutError, channel};
    let sync = || match File::open(path).and_then(|file| file.sync_data()) {
        // It is not there yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        synced => synced,
    };
    let (done, synced) = std::thread::scope(|scope| {
        let (working, ended) = channel::<()>();
        let syncer = scope.spawn(move || {
            let mut synced = Ok(());
            while synced.is_ok() && ended.recv_timeout(SYNC_EVERY) == Err(RecvTimeoutError::Timeout)
            {
                synced = sync();
            }
            synced
        });
        let done = work();
        drop(working);
        (done, syncer.join())
    });
    let synced = synced.unwrap_or_else(|_| Err(io::Error::other("the syncing thread panicked")));
    synced.context(FileSnafu { what: "syncing", path })?;
    Ok(done)
}

/// Does `work`: the simulation has no threads, and its files are small.
#[cfg(madsim)]
pub fn syncing<T>(_path: &Path, work: impl FnOnce() -> T) -> Result<T, StoreError> {
    Ok(work())
}

/// As [`sync`]; a file that does not exist has nothing to write.
pub fn sync_if_present(path: &Path) -> Result<(), StoreError> {
    if path.exists() { sync(path) } else { Ok(()) }
}

/// Gives a synced file its final name, durably.
pub fn publish(from: &Path, to: &Path) -> Result<(), StoreError> {
    fs::rename(from, to).context(FileSnafu { what: "renaming", path: from })?;
    #[cfg(madsim)]
    crate::sim_files::renamed(from, to);
    sync_folder(to)
}

/// Makes the names in the folder of `path` durable.
pub fn sync_folder(path: &Path) -> Result<(), StoreError> {
    path.parent().map_or(Ok(()), sync)
}

/// Deletes `path` if it exists.
pub fn remove(path: &Path) -> Result<(), StoreError> {
    #[cfg(madsim)]
    crate::sim_files::removed(path);
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).context(FileSnafu { what: "deleting", path })
        }
        _ => Ok(()),
    }
}

/// Deletes a folder with all that is in it, durably. It need not exist.
pub fn remove_folder(path: &Path) -> Result<(), StoreError> {
    if !path.exists() {
        return Ok(());
    }
    #[cfg(madsim)]
    for file in walk(path) {
        crate::sim_files::removed(&file);
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

/// `path` with `suffix` added to its name: how SQLite names its side files.
pub fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Deletes a SQLite database and its side files. The write-ahead log goes first: alone it would
/// be taken for that of the next database of this name.
pub fn remove_database(path: &Path) -> Result<(), StoreError> {
    remove(&beside(path, "-wal"))?;
    remove(&beside(path, "-shm"))?;
    remove(path)
}

/// The names of the files in folder `dir`, sorted.
pub fn names(dir: &Path) -> Result<Vec<String>, StoreError> {
    let read = || -> io::Result<Vec<String>> {
        let mut names = vec![];
        for file in fs::read_dir(dir)? {
            names.extend(file?.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    };
    read().context(FileSnafu { what: "listing", path: dir })
}
