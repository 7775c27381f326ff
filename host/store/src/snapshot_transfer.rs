//! A snapshot's file on its way from one node to another.
//!
//! Promises that a file stays readable while it is sent, even if a newer snapshot replaces it, and
//! that a received file is handed on only when every byte is what the sender's checksum says. An
//! unfinished transfer deletes its file when it is dropped, or at the next start.
//! Leaves out the network: it asks for chunks and delivers chunks.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use openraft::async_runtime::AsyncRuntime;
use sha2::{Digest, Sha256};
use snafu::{ResultExt, ensure};

use crate::error::{FileSnafu, SnapshotDamagedSnafu, StoreError};
use crate::files::{self, UNSYNCED_BYTES_MAX};
use crate::runtime::Runtime;

/// Bytes that are read at once when a file is copied or hashed.
const CHUNK_BYTES: usize = 1 << 20;

/// A snapshot as a file: a SQLite database, complete and unchanging.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    /// Where it is, or was: a newer snapshot may have replaced it.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// SHA-256 of its content.
    pub checksum: [u8; 32],
    file: Arc<File>,
}

impl SnapshotFile {
    /// The file in `path`, of this length and, as was once found, this checksum.
    pub(crate) fn open(path: &Path, bytes: u64, checksum: [u8; 32]) -> Result<Self, StoreError> {
        let what = "opening snapshot";
        let file = File::open(path).context(FileSnafu { what, path })?;
        let found = file.metadata().context(FileSnafu { what, path })?.len();
        ensure!(found == bytes, SnapshotDamagedSnafu { path, what: "its length is wrong" });
        Ok(Self { path: path.to_path_buf(), bytes, checksum, file: Arc::new(file) })
    }

    /// The file in `path`, just made: reads all of it for its checksum.
    pub(crate) fn seal(path: &Path) -> Result<Self, StoreError> {
        let what = "reading snapshot";
        let file = File::open(path).context(FileSnafu { what, path })?;
        files::sync(path)?;
        let bytes = file.metadata().context(FileSnafu { what, path })?.len();
        let path = path.to_path_buf();
        let mut sealed = Self { path, bytes, checksum: [0; 32], file: Arc::new(file) };
        sealed.checksum = sealed.each_chunk(|_| Ok(()))?;
        Ok(sealed)
    }

    /// At most `bytes_max` bytes from `offset` on; empty at the end.
    pub fn read_chunk(&self, offset: u64, bytes_max: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut chunk = vec![0; bytes_max.min(left)];
        self.file.read_exact_at(&mut chunk, offset)?;
        Ok(chunk.into())
    }

    /// Whether the content is what the checksum says: reads all of it.
    pub(crate) fn verify(&self) -> Result<(), StoreError> {
        let found = self.each_chunk(|_| Ok(()))?;
        self.expect(found)
    }

    /// Copies the content to a new file `to`, synced; it must be what the checksum says.
    pub(crate) fn copy_to(&self, to: &Path) -> Result<(), StoreError> {
        let context = || FileSnafu { what: "writing", path: to };
        let mut copy = File::create(to).context(context())?;
        let mut unsynced = 0;
        let found = self.each_chunk(|chunk| {
            copy.write_all(chunk)?;
            unsynced += chunk.len() as u64;
            if unsynced >= UNSYNCED_BYTES_MAX {
                copy.sync_data()?;
                unsynced = 0;
            }
            Ok(())
        })?;
        self.expect(found)?;
        files::sync(to)
    }

    /// The same file under a new name.
    pub(crate) fn moved_to(&self, path: PathBuf) -> Self {
        Self { path, ..self.clone() }
    }

    fn expect(&self, found: [u8; 32]) -> Result<(), StoreError> {
        let (path, what) = (&self.path, "its checksum is wrong");
        ensure!(found == self.checksum, SnapshotDamagedSnafu { path, what });
        Ok(())
    }

    fn each_chunk(
        &self,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<[u8; 32], StoreError> {
        let mut hash = Sha256::new();
        let mut offset = 0;
        while offset < self.bytes {
            let chunk = self.read_chunk(offset, CHUNK_BYTES);
            let chunk = chunk.context(FileSnafu { what: "reading", path: &self.path })?;
            hash.update(&chunk);
            take(&chunk).context(FileSnafu { what: "copying", path: &self.path })?;
            offset += chunk.len() as u64;
        }
        Ok(hash.finalize().into())
    }
}

/// A snapshot being received.
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

    /// Bytes received so far: the offset of the next chunk.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Bytes of the whole.
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

    /// Waits until all that was received but a little is on disk. Who writes on without it has the
    /// whole file on its way to the disk at the end.
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

    /// The received file, synced, if it is what was announced. Else it is deleted.
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
        // `finish` took the file: it is somebody else's now. What cannot be deleted here is
        // deleted at the next start.
        if self.file.take().is_some() {
            let _: Result<(), StoreError> = files::remove(&self.path);
        }
    }
}
