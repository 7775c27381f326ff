//! The file of a snapshot.
//!
//! Promises that a file stays readable while it is sent, even if a newer snapshot replaces it, and that
//! a copy has exactly the bytes that the checksum names. Leaves out the network: it asks for chunks.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use openraft::alias;
use sha2::{Digest, Sha256};
use snafu::{ResultExt, ensure};

use crate::error::{FileSnafu, SnapshotDamagedSnafu, StoreError};
use crate::files;
use crate::limits::{SNAPSHOT_CHUNK_BYTES, UNSYNCED_BYTES_MAX};
use crate::types::TypeConfig;

/// A snapshot's meta and its file.
pub type Snapshot = alias::SnapshotOf<TypeConfig, SnapshotFile>;

/// A snapshot as a file: a SQLite database, complete and unchanging.
#[derive(Clone, Debug)]
pub struct SnapshotFile {
    /// The file's place. A newer snapshot may have replaced the file there.
    pub path: PathBuf,
    /// Length of the file.
    pub bytes: u64,
    /// SHA-256 of the content.
    pub checksum: [u8; 32],
    file: Arc<File>,
}

impl SnapshotFile {
    /// Opens the file in `path`, which has this length and, as was once found, this checksum.
    pub(crate) fn open(path: &Path, bytes: u64, checksum: [u8; 32]) -> Result<Self, StoreError> {
        let what = "opening snapshot";
        let file = File::open(path).context(FileSnafu { what, path })?;
        let found = file.metadata().context(FileSnafu { what, path })?.len();
        ensure!(found == bytes, SnapshotDamagedSnafu { path, what: "its length is wrong" });
        Ok(Self { path: path.to_path_buf(), bytes, checksum, file: Arc::new(file) })
    }

    /// Opens and syncs the file in `path`, which was just made, and reads all of it for its checksum.
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

    /// Reads at most `bytes_max` bytes from `offset` on; none at the end.
    pub fn read_chunk(&self, offset: u64, bytes_max: usize) -> io::Result<Bytes> {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut chunk = vec![0; bytes_max.min(left)];
        self.file.read_exact_at(&mut chunk, offset)?;
        Ok(chunk.into())
    }

    /// Reads the whole content and compares it with the checksum.
    pub(crate) fn verify(&self) -> Result<(), StoreError> {
        let found = self.each_chunk(|_| Ok(()))?;
        self.expect(found)
    }

    /// Copies the content to a new file `to`, synced; the checksum must be right.
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

    /// Returns the same file under a new name.
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
            let chunk = self.read_chunk(offset, SNAPSHOT_CHUNK_BYTES);
            let chunk = chunk.context(FileSnafu { what: "reading", path: &self.path })?;
            hash.update(&chunk);
            take(&chunk).context(FileSnafu { what: "copying", path: &self.path })?;
            offset += chunk.len() as u64;
        }
        Ok(hash.finalize().into())
    }
}
