//! The errors of a node that does not start, and of a data folder that cannot be used.
//!
//! Leaves out the refusals of requests (`replica/error.rs`).

use std::path::PathBuf;

use aspen_core::codec::FORM_REMEDY;
use aspen_store::StoreError;
use snafu::Snafu;

/// A data folder cannot be used.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum FolderError {
    /// Reading or writing failed.
    #[snafu(display("cannot {what} {}", path.display()))]
    Io {
        /// The action that failed.
        what: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    /// The folder holds no node.
    #[snafu(display("{} holds no Aspen node; create one with `aspen node --data {} --init`", path.display(), path.display()))]
    Empty { path: PathBuf },
    /// The folder holds a node already.
    #[snafu(display("{} holds an Aspen node already", path.display()))]
    Occupied { path: PathBuf },
    /// The identity file is damaged.
    #[snafu(display("{} is damaged: restore it from a backup, or remove the node and join anew", path.display()))]
    Damaged { path: PathBuf, source: serde_json::Error },
    /// The key file is damaged.
    #[snafu(display("{} does not hold 64 hex digits", path.display()))]
    BadKey { path: PathBuf },
    /// Another version of the program wrote the file.
    #[snafu(display(
        "{} has form {form}, this program reads form {expected}: {FORM_REMEDY}",
        path.display()
    ))]
    Form { path: PathBuf, form: u32, expected: u32 },
    /// The Raft log is gone.
    #[snafu(display("{} is missing: remove the node from the cluster and join anew with an empty folder", path.display()))]
    LogLost { path: PathBuf },
    /// Another process has the folder open.
    #[snafu(display("{} is in use by another process", path.display()))]
    InUse { path: PathBuf },
}

/// A node does not start, or an action on it failed.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum NodeError {
    /// The node's folder cannot be used.
    #[snafu(display("{source}"), context(false))]
    Folder { source: FolderError },
    /// The node's storage failed.
    #[snafu(display("{source}"), context(false))]
    Store { source: StoreError },
    /// The engine for functions does not start.
    #[snafu(display("the function engine does not start"))]
    Engine { source: aspen_functions::EngineError },
    /// Raft refused an action.
    #[snafu(display("{what}"))]
    Raft { what: &'static str, source: Box<dyn std::error::Error + Send + Sync> },
    /// A cluster cannot have that number of shards.
    #[snafu(display("a cluster has 1 to 256 shards, not {shards}"))]
    Shards { shards: u16 },
    /// The embedded store did not become ready.
    #[snafu(display("the store does not answer"))]
    NotReady { source: aspen_client::ConnectError },
    /// A cluster cannot have those nodes and replicas.
    #[snafu(display("{source}"))]
    Placement { source: aspen_core::placement::PlacementError },
}
