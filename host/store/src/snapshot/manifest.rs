//! The manifest of the current snapshot: its file, the checksum, the last entry and the members.
//!
//! Promises that the manifest changes in one step, by a rename.

use std::path::Path;

use serde::{Deserialize, Serialize};
use snafu::ResultExt;

use super::file::{Snapshot, SnapshotFile};
use crate::error::{FileSnafu, StoreError};
use crate::files;
use crate::types::SnapshotMeta;

/// Name of the manifest's file.
pub const NAME: &str = "snapshot.meta";
/// Name of a manifest that is not yet complete.
pub const NEW_NAME: &str = "snapshot.meta.new";

/// The content of the file.
#[derive(Serialize, Deserialize)]
struct SnapshotManifest {
    file: String,
    bytes: u64,
    checksum: [u8; 32],
    meta: SnapshotMeta,
}

/// Returns the snapshot in folder `dir`, which stays as it is. A damaged manifest counts as none.
pub fn current(dir: &Path) -> Option<Snapshot> {
    read(dir).unwrap_or_else(|error| {
        tracing::warn!("ignoring the snapshot in {}: {error}", dir.display());
        None
    })
}

/// Makes `snapshot` the one that the manifest in folder `dir` names, durably.
pub fn write(dir: &Path, snapshot: &Snapshot) -> Result<(), StoreError> {
    let SnapshotFile { path, bytes, checksum, .. } = &snapshot.snapshot;
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (bytes, checksum, meta) = (*bytes, *checksum, snapshot.meta.clone());
    let manifest = aspen_core::codec::encode(&SnapshotManifest { file, bytes, checksum, meta });
    let new = dir.join(NEW_NAME);
    std::fs::write(&new, manifest).context(FileSnafu { what: "writing", path: &new })?;
    files::sync(&new)?;
    files::publish(&new, &dir.join(NAME))
}

fn read(dir: &Path) -> Result<Option<Snapshot>, String> {
    let path = dir.join(NAME);
    if !path.exists() {
        return Ok(None);
    }
    let manifest = std::fs::read(&path).map_err(|error| error.to_string())?;
    let manifest: SnapshotManifest =
        aspen_core::codec::decode(&manifest).map_err(|error| error.to_string())?;
    let SnapshotManifest { file, bytes, checksum, meta } = manifest;
    let file = SnapshotFile::open(&dir.join(file), bytes, checksum);
    let file = file.map_err(|error| error.to_string())?;
    Ok(Some(Snapshot { meta, snapshot: file }))
}
