//! A snapshot's file that arrives from another node, chunk by chunk.
//!
//! Promises that a received file is handed on only when every byte agrees with the sender's checksum. An
//! unfinished transfer deletes its file when it is dropped, or at the next start.
//! Leaves out the network: it delivers chunks.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use openraft::async_runtime::AsyncRuntime;
use sha2::{Digest, Sha256};
use snafu::{ResultExt, ensure};

use super::file::SnapshotFile;
use crate::error::{FileSnafu, SnapshotDamagedSnafu, StoreError};
use crate::files;
use crate::limits::UNSYNCED_BYTES_MAX;
use crate::runtime::Runtime;

/// A snapshot that is being received.
#[derive(Debug)]
pub struct SnapshotReceiver {
    path: PathBuf,
    file: Option<File>,
    bytes: u64,
    checksum: [u8; 32],
    received: u64,
    synced: u64,
    hash: Sha256,
}

impl SnapshotReceiver {
    /// Starts receiving a snapshot of this length and checksum into file `path`.
    pub(crate) fn new(path: PathBuf, bytes: u64, checksum: [u8; 32]) -> Result<Self, StoreError> {
        let file = File::create(&path).context(FileSnafu { what: "creating", path: &path })?;
        let hash = Sha256::new();
        Ok(Self { path, file: Some(file), bytes, checksum, received: 0, synced: 0, hash })
    }

    /// Returns the bytes received so far: the offset of the next chunk.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Returns the announced length of the whole file.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds the next chunk. A chunk at another offset, or beyond the announced length, is refused,
    /// and the transfer has to begin anew.
    pub fn write(&mut self, offset: u64, chunk: &[u8]) -> Result<(), StoreError> {
        let path = &self.path;
        let what = "a chunk is missing or repeated";
        ensure!(offset == self.received, SnapshotDamagedSnafu { path, what });
        let received = self.received + chunk.len() as u64;
        let what = "it is longer than announced";
        ensure!(received <= self.bytes, SnapshotDamagedSnafu { path, what });
        if let Some(file) = &mut self.file {
            file.write_all(chunk).context(FileSnafu { what: "writing", path })?;
        }
        self.hash.update(chunk);
        self.received = received;
        Ok(())
    }

    /// Waits until all received bytes but a few are on disk. Without these waits the whole file would
    /// go to the disk at the end.
    pub async fn settle(&mut self) -> Result<(), StoreError> {
        if self.received - self.synced >= UNSYNCED_BYTES_MAX {
            self.sync().await?;
            self.synced = self.received;
        }
        Ok(())
    }

    async fn sync(&self) -> Result<(), StoreError> {
        let path = self.path.clone();
        let synced = Runtime::spawn_blocking(move || files::sync(&path)).await;
        synced.context(FileSnafu { what: "syncing", path: &self.path })?
    }

    /// Returns the received file, synced, if it is the announced one. Deletes it otherwise.
    pub async fn finish(mut self) -> Result<SnapshotFile, StoreError> {
        let path = self.path.clone();
        let what = "it is shorter than announced";
        ensure!(self.received == self.bytes, SnapshotDamagedSnafu { path, what });
        let found: [u8; 32] = std::mem::take(&mut self.hash).finalize().into();
        let what = "its checksum is wrong";
        ensure!(found == self.checksum, SnapshotDamagedSnafu { path, what });
        self.sync().await?;
        let file = SnapshotFile::open(&path, self.bytes, self.checksum)?;
        self.file = None;
        Ok(file)
    }
}

impl Drop for SnapshotReceiver {
    fn drop(&mut self) {
        // After `finish` the file belongs to the caller of `finish`. A file that cannot be deleted here
        // is deleted at the next start.
        if self.file.take().is_some() {
            let _: Result<(), StoreError> = files::remove(&self.path);
        }
    }
}
