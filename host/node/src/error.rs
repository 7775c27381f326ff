//! Why a node does not start, or its folder cannot be used.

use std::path::PathBuf;

use aspen_core::FORM_REMEDY;
use aspen_store::StoreError;
use snafu::Snafu;

/// A data folder cannot be used.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum FolderError {
    /// Reading or writing failed.
    #[snafu(display("cannot {what} {}", path.display()))]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no node in the folder.
    #[snafu(display("{} holds no Aspen node; create one with `aspen node --data {} --init`", path.display(), path.display()))]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// There is a node in the folder already.
    #[snafu(display("{} holds an Aspen node already", path.display()))]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// The identity file is damaged.
    #[snafu(display("{} is damaged: restore it from a backup, or remove the node and join anew", path.display()))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The key file is damaged.
    #[snafu(display("{} does not hold 64 hex digits", path.display()))]
    BadKey {
        /// The file.
        path: PathBuf,
    },
    /// Written by another version of the program.
    #[snafu(display(
        "{} has form {form}, this program reads form {expected}: {FORM_REMEDY}",
        path.display()
    ))]
    Form {
        /// The file.
        path: PathBuf,
        /// Its form.
        form: u32,
        /// Ours.
        expected: u32,
    },
    /// The Raft log is gone.
    #[snafu(display("{} is missing: remove the node from the cluster and join anew with an empty folder", path.display()))]
    LogLost {
        /// The file.
        path: PathBuf,
    },
    /// Another process has the folder open.
    #[snafu(display("{} is in use by another process", path.display()))]
    InUse {
        /// The folder.
        path: PathBuf,
    },
}

/// A node does not start, or an action on it failed.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum NodeError {
    /// Its folder.
    #[snafu(display("{source}"), context(false))]
    Folder {
        /// What is wrong.
        source: FolderError,
    },
    /// Its storage.
    #[snafu(display("{source}"), context(false))]
    Store {
        /// What is wrong.
        source: StoreError,
    },
    /// Its functions' engine.
    #[snafu(display("the function engine does not start"))]
    Engine {
        /// Why.
        source: aspen_functions::EngineError,
    },
    /// Raft.
    #[snafu(display("{what}"))]
    Raft {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A cluster cannot be so.
    #[snafu(display("a cluster has 1 to 256 shards, not {shards}"))]
    Shards {
        /// The number asked for.
        shards: u16,
    },
    /// The embedded store did not become ready.
    #[snafu(display("the store does not answer"))]
    NotReady {
        /// Why.
        source: aspen_client::ConnectError,
    },
    /// A cluster cannot be so.
    #[snafu(display("{source}"))]
    Placement {
        /// Why.
        source: aspen_core::PlacementError,
    },
}
