//! A node's data folder: the node's identity and its files.
//!
//! ```text
//! DIR/node.json     identity: cluster, node, shards, address, clients that may connect
//! DIR/node.key      the secret key, 64 hex digits, mode 0600
//! DIR/lock          held while a process uses the folder
//! DIR/log.redb      the Raft log of all shards
//! DIR/system/       state and snapshots of the system group, which holds the placement map
//! DIR/shard-N/      the same of one shard
//! DIR/modules/      compiled functions; may be deleted
//! ```
//!
//! Promises that files are replaced whole (temporary file, fsync, rename), that one process at a
//! time uses a folder, and that nothing is created in a folder that holds a node already.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use aspen_core::ids::NodeId;
use aspen_core::limits::REPLICATION_FACTOR_DEFAULT;
use aspen_net::{PeerAddr, PeerId, Secret};
use serde::{Deserialize, Serialize};
use snafu::{IntoError, OptionExt, ResultExt, ensure};

use crate::error::{
    BadKeySnafu, DamagedSnafu, EmptySnafu, FolderError, FormSnafu, InUseSnafu, IoSnafu,
    LogLostSnafu, OccupiedSnafu,
};

const FORM: u32 = 1;

/// The identity of a node. Written once; the members of the cluster are replicated data and not in
/// here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Version of this file's form.
    pub form: u32,
    /// The cluster, as 32 hex digits.
    #[serde(with = "hex_cluster")]
    pub cluster: u128,
    /// The node's id.
    pub node: NodeId,
    /// Number of shards, fixed at creation.
    pub shards: u16,
    /// Replicas of each shard, as the cluster was founded; later the placement map counts.
    pub factor: u8,
    /// The node's own key and address.
    pub address: PeerAddr,
    /// Nodes known when this one was made: the node believes them before it has a log.
    pub peers: Vec<PeerAddr>,
    /// Keys of clients that may connect.
    pub clients: Vec<PeerId>,
}

/// The one field of the file that every version of the program reads.
#[derive(Deserialize)]
struct Form {
    form: u32,
}

mod hex_cluster {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(cluster: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{cluster:032x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)
    }
}

impl Identity {
    /// The identity of a new node.
    pub fn new(cluster: u128, node: NodeId, shards: u16, address: PeerAddr) -> Self {
        let (factor, peers, clients) = (REPLICATION_FACTOR_DEFAULT, vec![], vec![]);
        Self { form: FORM, cluster, node, shards, factor, address, peers, clients }
    }

    /// Returns the identity as the storage's files carry it.
    pub fn store(&self) -> aspen_store::Identity {
        aspen_store::Identity { cluster: self.cluster, node: self.node }
    }
}

/// A data folder, locked for this process until it is dropped.
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Opens a folder, creating it if it does not exist, and locks it.
    pub fn open(path: impl Into<PathBuf>) -> Result<Folder, FolderError> {
        let path = path.into();
        std::fs::create_dir_all(&path).context(IoSnafu { what: "create", path: &path })?;
        let lock = path.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&lock);
        let file = file.context(IoSnafu { what: "create", path: &lock })?;
        match file.try_lock() {
            Ok(()) => Ok(Folder { path, _lock: file }),
            Err(std::fs::TryLockError::WouldBlock) => InUseSnafu { path }.fail(),
            Err(std::fs::TryLockError::Error(source)) => {
                Err(IoSnafu { what: "lock", path: lock }.into_error(source))
            }
        }
    }

    /// Opens the folder of a node, which must exist, and locks it.
    pub fn open_existing(path: impl Into<PathBuf>) -> Result<Folder, FolderError> {
        let path = path.into();
        ensure!(path.join("node.json").exists(), EmptySnafu { path });
        Self::open(path)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns true if the folder holds a node.
    pub fn is_occupied(&self) -> bool {
        self.path.join("node.json").exists()
    }

    /// Makes this the folder of a new node. Its key must be written first: an identity without its
    /// key would be a node that no other node knows.
    pub fn create(&self, identity: &Identity) -> Result<(), FolderError> {
        ensure!(!self.is_occupied(), OccupiedSnafu { path: &self.path });
        self.save(identity)
    }

    /// Replaces the identity.
    pub fn save(&self, identity: &Identity) -> Result<(), FolderError> {
        let text = serde_json::to_vec_pretty(identity).expect("an identity has a JSON form");
        replace(&self.path.join("node.json"), &text)
    }

    /// Reads the identity.
    pub fn identity(&self) -> Result<Identity, FolderError> {
        let path = self.path.join("node.json");
        ensure!(path.exists(), EmptySnafu { path: &self.path });
        let text = std::fs::read(&path).context(IoSnafu { what: "read", path: &path })?;
        // Alone first: a file of another form may have other fields.
        let Form { form } = serde_json::from_slice(&text).context(DamagedSnafu { path: &path })?;
        ensure!(form == FORM, FormSnafu { path, form, expected: FORM });
        serde_json::from_slice(&text).context(DamagedSnafu { path })
    }

    /// Returns the file of the Raft log. A folder with states but without their log is damaged: a
    /// new log would let the node vote twice in one term.
    pub fn log_file(&self) -> Result<PathBuf, FolderError> {
        let log = self.path.join("log.redb");
        let lost = !log.exists() && self.path.join("system").exists();
        ensure!(!lost, LogLostSnafu { path: &log });
        Ok(log)
    }

    /// Returns the folder's secret key, made at the first use.
    pub fn secret(&self) -> Result<Secret, FolderError> {
        secret_file(&self.path.join("node.key"))
    }
}

/// Reads a secret key file, or makes one that only its owner may read.
pub fn secret_file(path: &Path) -> Result<Secret, FolderError> {
    if !path.exists() {
        let secret = Secret::generate();
        let text: String = secret.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        replace(path, text.as_bytes())?;
        return Ok(secret);
    }
    let text = std::fs::read_to_string(path).context(IoSnafu { what: "read", path })?;
    let id: PeerId = text.trim().parse().ok().context(BadKeySnafu { path })?;
    Ok(Secret::from_bytes(*id.as_bytes()))
}

/// Replaces a file whole: readers see the old or the new one, also after a power failure.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let temporary = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || {
        let mut file = options.open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
    };
    write().context(IoSnafu { what: "write", path })
}
