//! The mark of a replica that computed another state than a majority of its shard.
//!
//! ```text
//! found        mark written, synced --> the replica stops
//! next start   state set aside, tainted snapshot deleted --> mark says so
//!              state rebuilt and on disk (`recover.rs`)   --> mark deleted
//! ```
//!
//! Promises that after a crash at any point no state that was computed at or after the first
//! difference is used again. The log and the vote are not touched: the entries are not in doubt, only
//! the state that this replica computed from them. The kept snapshot is used only if it is of before the
//! difference; if the log is deleted too, another replica sends a snapshot on request.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use aspen_core::digest::Digest;
use aspen_core::ids::ShardId;
use serde::{Deserialize, Serialize};
use snafu::ResultExt;

use crate::error::{FileSnafu, StoreError};
use crate::files;
use crate::snapshot::Snapshots;

const MARK: &str = "diverged";

/// The place in the log where a replica parted from the others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// The first entry known after which the digests differ.
    pub index: u64,
    /// The last entry known after which they were equal. If it is the one before `index`, the replicas
    /// parted at `index`; else the digests in between were not kept any more.
    pub agreed: Option<u64>,
    /// This replica's digest at `index`.
    pub own: Digest,
    /// The digest of the other replicas at `index`.
    pub theirs: Digest,
    /// Number of voters that have the other digest.
    pub others: u64,
    /// Number of voters.
    pub voters: u64,
    /// Addresses of the shard's other members, which can give a snapshot.
    pub members: Vec<String>,
}

impl Divergence {
    /// Returns true if `index` is the very entry at which the replicas parted.
    pub fn is_exact(&self) -> bool {
        self.agreed.is_some_and(|agreed| agreed + 1 == self.index)
    }
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, own, theirs, others, voters, .. } = self;
        let at = if self.is_exact() { "at" } else { "at or before" };
        write!(
            f,
            "diverged {at} entry {index}: its digest is {own}, {others} of {voters} replicas have \
             {theirs}; find the cause, then restart the node to rebuild its state"
        )
    }
}

impl std::error::Error for Divergence {}

/// The content of the mark's file.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct DivergenceMark {
    divergence: Divergence,
    /// True when the tainted files are gone and the state is not rebuilt yet.
    cleansed: bool,
}

/// Notes, durably, that the replica in `dir` diverged.
pub fn mark(dir: &Path, divergence: &Divergence) -> Result<(), StoreError> {
    write(dir, &DivergenceMark { divergence: divergence.clone(), cleansed: false })
}

/// Returns the divergence of the replica in `dir`, until its state is rebuilt.
pub fn recorded_divergence(dir: &Path) -> Result<Option<Divergence>, StoreError> {
    Ok(read(dir)?.map(|mark| mark.divergence))
}

/// Takes the tainted files out of use: the state, by `set_aside`, and a snapshot after the last entry
/// at which the replica is known to have been right.
pub fn cleanse(
    dir: &Path,
    shard: ShardId,
    snapshots: &Snapshots,
    set_aside: impl FnOnce() -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let Some(mut mark) = read(dir)?.filter(|mark| !mark.cleansed) else { return Ok(()) };
    tracing::warn!("{shard} {}; its state is not used any more", mark.divergence);
    set_aside()?;
    let is_good = |index| mark.divergence.agreed.is_some_and(|agreed| index <= agreed);
    if snapshots.last().is_some_and(|last| !is_good(last.index)) {
        snapshots.discard()?;
    }
    mark.cleansed = true;
    write(dir, &mark)
}

/// Deletes the mark: the state is rebuilt and on disk.
pub fn unmark(dir: &Path) -> Result<(), StoreError> {
    let path = dir.join(MARK);
    if path.exists() {
        files::remove(&path)?;
        files::sync_folder(&path)?;
    }
    Ok(())
}

fn write(dir: &Path, mark: &DivergenceMark) -> Result<(), StoreError> {
    let path = dir.join(MARK);
    let new = files::with_suffix(&path, ".new");
    let bytes = aspen_core::codec::encode(mark);
    fs::write(&new, bytes).context(FileSnafu { what: "writing", path: &new })?;
    files::sync(&new)?;
    files::publish(&new, &path)
}

/// Reads the mark. A mark that cannot be read still marks: no entry is known to be good then.
fn read(dir: &Path) -> Result<Option<DivergenceMark>, StoreError> {
    let path: PathBuf = dir.join(MARK);
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs::read(&path).context(FileSnafu { what: "reading", path: &path })?;
    let unknown = || Divergence {
        index: 0,
        agreed: None,
        own: Digest::default(),
        theirs: Digest::default(),
        others: 0,
        voters: 0,
        members: vec![],
    };
    let damaged = |_| DivergenceMark { divergence: unknown(), cleansed: false };
    Ok(Some(aspen_core::codec::decode(&bytes).unwrap_or_else(damaged)))
}
