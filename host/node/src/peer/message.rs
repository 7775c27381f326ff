//! The messages from node to node.
//!
//! Promises that variants keep their order: the order is the byte form. Leaves out the messages
//! that only the leader of a shard answers (`leader_message.rs`), and the content of snapshot
//! messages (`snapshot_message.rs`).

use aspen_core::digest::Digest;
use aspen_core::ids::{ComponentHash, ShardId};
use aspen_store::TypeConfig;
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use serde::{Deserialize, Serialize};
use snafu::Snafu;

use super::compile_message::ComponentSource;
use super::leader_message::LeaderRequest;
use super::snapshot_message::{SnapshotChunk, SnapshotPartRequest};

/// A message to the replica of one shard on another node.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope {
    pub cluster: u128,
    pub shard: ShardId,
    pub message: PeerMessage,
}

/// The messages. The answer to each is a `Result<T, PeerError>` with a `T` of its own.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub enum PeerMessage {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    TransferLeader(TransferLeaderRequest<TypeConfig>),
    /// One piece of a snapshot: the answer is a `SnapshotProgress`.
    Snapshot(SnapshotChunk),
    /// Asks for a piece of a snapshot: the answer is a `SnapshotPart`, `None` if there is none yet.
    SnapshotPart(SnapshotPartRequest),
    /// Asks the leader how far a read has to wait: the answer is a [`ReadIndex`].
    ReadIndex,
    /// Asks for the digests after some entries: the answer is a [`DigestReply`].
    Digests(Vec<u64>),
    /// Asks the node for its placement map: the answer is a `PlacementMap`.
    Map,
    /// Says that the node shall have a replica by the map of this epoch, and asks if the node has
    /// one.
    Host {
        epoch: u64,
    },
    /// Asks how many shards the node leads: the answer is a number.
    LeadCount,
    /// Asks the leader of the shard: the answer is a `LeaderReply`.
    Leader(LeaderRequest),
    /// Asks the node to compile a component: the answer is a `CompileReply`.
    Compile {
        component: ComponentHash,
        source: ComponentSource,
    },
    /// Asks with which profiles the node can run functions.
    Profiles,
}

/// The digests of a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestReply {
    /// The first and the last entry whose digests the replica keeps.
    pub window: Option<(u64, u64)>,
    /// The digests in the order asked for.
    pub at: Vec<Option<Digest>>,
}

/// The index up to which a linearizable read must have applied. `None`: the node does not lead, or
/// no majority confirms the lead.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ReadIndex(pub Option<u64>);

/// The reason why a node did not take a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Snafu)]
pub enum PeerError {
    #[snafu(display("the node belongs to cluster {cluster:032x}"))]
    OtherCluster { cluster: u128 },
    #[snafu(display("the node has no replica of {shard}"))]
    NoShard { shard: ShardId },
    #[snafu(display("the message was not understood: {reason}"))]
    Malformed { reason: String },
    #[snafu(display("the replica has stopped: {reason}"))]
    Stopped { reason: String },
    #[snafu(display("the replica was moved away and back, and has not yet all that it had"))]
    Promised,
}
