//! Syncing a large file while SQLite still writes it.
//!
//! Promises that the file goes to the disk in small pieces, so that the sync of another file never waits
//! for the whole of it. Leaves out the last piece: a [`sync`](super::sync) after the work writes it.

use std::path::Path;

use crate::error::StoreError;

/// Does `work`, which writes the large file `path`, and syncs the file again and again in the background.
/// A failed sync is an error, because the kernel reports it once. The end of the file needs one more
/// [`sync`](super::sync).
#[cfg(not(madsim))]
pub fn with_background_sync<T>(path: &Path, work: impl FnOnce() -> T) -> Result<T, StoreError> {
    use std::fs::File;
    use std::io;
    use std::sync::mpsc::{RecvTimeoutError, channel};

    use snafu::ResultExt;

    use crate::error::FileSnafu;
    use crate::limits::FILE_SYNC_INTERVAL;

    let sync = || match File::open(path).and_then(|file| file.sync_data()) {
        // The file does not exist yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        synced => synced,
    };
    let (done, synced) = std::thread::scope(|scope| {
        let (working, ended) = channel::<()>();
        let syncer = scope.spawn(move || {
            let mut synced = Ok(());
            while synced.is_ok()
                && ended.recv_timeout(FILE_SYNC_INTERVAL) == Err(RecvTimeoutError::Timeout)
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
pub fn with_background_sync<T>(_path: &Path, work: impl FnOnce() -> T) -> Result<T, StoreError> {
    Ok(work())
}
