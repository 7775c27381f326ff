//! What can go wrong on a node's disk, each with the file and what to do about it.
//!
//! An error while opening is one of these; later ones reach openraft as `std::io::Error` with the
//! same text, and stop the replica: going on with a disk that lies would be worse.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use aspen_core::{FORM_REMEDY, NodeId, ShardId};
use serde::{Deserialize, Serialize};
use snafu::Snafu;

use crate::types::LogId;

/// Whose files these are; written at creation and compared at every open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster, a random number drawn when it was created.
    pub cluster: u128,
    /// The node.
    pub node: NodeId,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of cluster {:032x}", self.node, self.cluster)
    }
}

/// The disk failed, or holds what it should not.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum StoreError {
    /// The log is another node's: the data folders were mixed up.
    #[snafu(display(
        "raft log {} belongs to {found}, this is {expected}: give this node its own data folder",
        path.display()
    ))]
    ForeignLog {
        /// The log's file.
        path: PathBuf,
        /// Who opens it.
        expected: Identity,
        /// Who wrote it.
        found: Identity,
    },
    /// The state is another node's or another shard's: the data folders were mixed up.
    #[snafu(display(
        "state {} belongs to {found_shard} on {found}, this is {expected_shard} on {expected}: \
         give this node its own data folder",
        path.display()
    ))]
    ForeignState {
        /// The state's file.
        path: PathBuf,
        /// Who opens it.
        expected: Identity,
        /// For which shard.
        expected_shard: ShardId,
        /// Who wrote it.
        found: Identity,
        /// Of which shard.
        found_shard: ShardId,
    },
    /// The log cannot be trusted. It holds promises to other nodes, so it is never repaired by
    /// dropping parts of it.
    #[snafu(display(
        "raft log {} is damaged ({source}): remove this node from the cluster, delete its data \
         folder and join it anew",
        path.display()
    ))]
    LogDamaged {
        /// The log's file.
        path: PathBuf,
        /// What is wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The log is of another version of the program.
    #[snafu(display(
        "raft log {} cannot be read by this program ({source}): {FORM_REMEDY}",
        path.display()
    ))]
    LogForm {
        /// The log's file.
        path: PathBuf,
        /// The form found, and the form that this program reads.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The log could not be read or written: a full or failing disk, or another process has it.
    #[snafu(display("raft log {}: {what} failed", path.display()))]
    LogStorage {
        /// What was tried.
        what: &'static str,
        /// The log's file.
        path: PathBuf,
        /// Why not.
        source: Box<redb::Error>,
    },
    /// A file could not be read or written, or a worker not be started.
    #[snafu(display("{what} {} failed", path.display()))]
    File {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// SQLite could not read or write: a full or failing disk.
    #[snafu(display("state {}: {what} failed", path.display()))]
    StateStorage {
        /// What was tried.
        what: &'static str,
        /// The database.
        path: PathBuf,
        /// Why not.
        source: rusqlite::Error,
    },
    /// The state is gone and cannot be rebuilt here: the log before it was already deleted and no
    /// good snapshot is left.
    #[snafu(display(
        "state of {shard} in {} reaches {}, but its log begins after entry {}, and no good \
         snapshot fills the gap: remove this node from the cluster, delete its data folder and \
         join it anew",
        dir.display(),
        applied.map_or("no entry".to_string(), |log_id| format!("entry {}", log_id.index)),
        purged.index
    ))]
    StateLost {
        /// The shard.
        shard: ShardId,
        /// The state's folder.
        dir: PathBuf,
        /// How far the state got.
        applied: Option<LogId>,
        /// Up to where the log is deleted.
        purged: LogId,
    },
    /// A snapshot is not what its checksum or its meta says.
    #[snafu(display("snapshot {} is damaged: {what}", path.display()))]
    SnapshotDamaged {
        /// The snapshot's file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

/// With the whole chain of causes in its text: openraft keeps nothing but the text.
impl From<StoreError> for std::io::Error {
    fn from(error: StoreError) -> std::io::Error {
        std::io::Error::other(chain(&error))
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some errors already show their cause.
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
