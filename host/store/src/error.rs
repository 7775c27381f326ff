//! Errors of a node's disk, each with the file and the remedy.
//!
//! An error while opening is one of these. A later error reaches openraft as `std::io::Error` with the
//! same text, and stops the replica: to go on with a disk that lies would be worse.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use aspen_core::codec::FORM_REMEDY;
use aspen_core::ids::{NodeId, ShardId};
use serde::{Deserialize, Serialize};
use snafu::Snafu;

use crate::types::LogId;

/// The owner of a file; written at creation and compared at every open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster: a random number that was drawn when the cluster was created.
    pub cluster: u128,
    /// The node that the file belongs to.
    pub node: NodeId,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of cluster {:032x}", self.node, self.cluster)
    }
}

/// The disk failed, or holds content that it should not hold.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum StoreError {
    /// The log belongs to another node: the data folders were mixed up.
    #[snafu(display(
        "raft log {} belongs to {found}, this is {expected}: give this node its own data folder",
        path.display()
    ))]
    ForeignLog {
        /// The log's file.
        path: PathBuf,
        /// The node that opens it.
        expected: Identity,
        /// The node that wrote it.
        found: Identity,
    },
    /// The state belongs to another node or another shard: the data folders were mixed up.
    #[snafu(display(
        "state {} belongs to {found_shard} on {found}, this is {expected_shard} on {expected}: \
         give this node its own data folder",
        path.display()
    ))]
    ForeignState {
        /// The state's file.
        path: PathBuf,
        /// The node that opens it.
        expected: Identity,
        /// The shard that it is opened for.
        expected_shard: ShardId,
        /// The node that wrote it.
        found: Identity,
        /// The shard that it was written for.
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
        /// The reason.
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
        /// The operation.
        what: &'static str,
        /// The log's file.
        path: PathBuf,
        /// The reason.
        source: Box<redb::Error>,
    },
    /// A file could not be read or written, or a worker could not be started.
    #[snafu(display("{what} {} failed", path.display()))]
    File {
        /// The operation.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// SQLite could not read or write: a full or failing disk.
    #[snafu(display("state {}: {what} failed", path.display()))]
    StateStorage {
        /// The operation.
        what: &'static str,
        /// The database.
        path: PathBuf,
        /// The reason.
        source: rusqlite::Error,
    },
    /// The state is gone and cannot be rebuilt here: the log up to the state was already deleted and no
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
        /// The shard without a state.
        shard: ShardId,
        /// The state's folder.
        dir: PathBuf,
        /// The last entry in the state.
        applied: Option<LogId>,
        /// The last deleted entry of the log.
        purged: LogId,
    },
    /// A snapshot differs from its checksum or its meta.
    #[snafu(display("snapshot {} is damaged: {what}", path.display()))]
    SnapshotDamaged {
        /// The snapshot's file.
        path: PathBuf,
        /// The difference.
        what: &'static str,
    },
}

/// Puts the whole chain of causes into the text: openraft keeps nothing but the text.
impl From<StoreError> for std::io::Error {
    fn from(error: StoreError) -> std::io::Error {
        std::io::Error::other(chain(&error))
    }
}

/// Returns an error and its causes in one line.
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
