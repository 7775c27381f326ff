//! Snapshots between nodes, in pieces.
//!
//! A leader sends chunks to a follower that lags; a replica whose state is lost asks for parts.
//! Leaves out both sides (`raft_network.rs`, `replica/snapshots.rs`).

use aspen_store::{SnapshotMeta, TypeConfig, Vote};
use bytes::Bytes;
use openraft::raft::SnapshotResponse;
use serde::{Deserialize, Serialize};

/// One piece of a snapshot that a leader sends.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct SnapshotChunk {
    pub vote: Vote,
    pub meta: SnapshotMeta,
    /// Size of the whole.
    pub bytes: u64,
    /// SHA-256 of the whole.
    pub checksum: [u8; 32],
    pub offset: u64,
    pub data: Bytes,
}

/// The answer to a chunk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub enum SnapshotProgress {
    /// The next chunk may come.
    More,
    /// The chunk was the last, and the snapshot is installed.
    Installed(SnapshotResponse<TypeConfig>),
}

/// Names a piece of a snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SnapshotPartRequest {
    /// The snapshot must reach at least to this entry.
    pub at_least: u64,
    /// The checksum of the snapshot of which the asking replica has pieces already.
    pub checksum: Option<[u8; 32]>,
    pub offset: u64,
}

/// A piece of a snapshot that was asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct SnapshotPart {
    pub meta: SnapshotMeta,
    /// Size of the whole.
    pub bytes: u64,
    /// SHA-256 of the whole.
    pub checksum: [u8; 32],
    pub data: Bytes,
}
