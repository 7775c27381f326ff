//! Answers that describe the cluster: its map, nodes, replicas, views, leases and components.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::ids::{
    ComponentHash, LeaseId, LogIndex, Name, NodeId, ProfileId, Revision, ShardId, Timestamp, ViewId,
};
use crate::key::Key;
use crate::placement::Placement;

/// The cluster as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    pub cluster: u128,
    /// The number of shards.
    pub shards: u16,
    /// The node that answers.
    pub node: NodeId,
    /// The epoch of the placement map; 0 while a new cluster has none.
    pub epoch: u64,
    /// The placement map.
    pub placement: Placement,
    /// The leader of each shard, in order of shards, as far as the answering node knows. The node
    /// does not know the leaders of shards of which it has no replica.
    pub leaders: Vec<Option<NodeId>>,
}

/// An open view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewInfo {
    pub view: ViewId,
    /// For each shard the address of the node that holds the view, `hex@ip:port`.
    pub parts: Vec<(ShardId, String)>,
}

/// The present state of a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseInfo {
    pub lease: LeaseId,
    /// The whole time to live, in milliseconds.
    pub ttl_ms: u64,
    /// The rest of the time to live by the leader's clock; 0: the lease ends with the next entry.
    pub left_ms: u64,
    /// The attached keys, in order.
    pub keys: Vec<Key>,
}

/// An alias and its component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentInfo {
    pub name: Name,
    pub component: ComponentHash,
    /// The size in bytes.
    pub bytes: u64,
    /// Entry time of the upload.
    pub uploaded: Timestamp,
    /// The component of the canary, and its share of a hundred.
    pub canary: Option<(ComponentHash, u8)>,
}

/// The present state of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    pub node: NodeId,
    /// The node's replicas, in order of shards.
    pub shards: Vec<ReplicaStatus>,
    /// The profiles that the node's program knows.
    pub profiles: Vec<ProfileId>,
}

/// The present state of one replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    pub shard: ShardId,
    /// Raft's term.
    pub term: u64,
    /// The leader, as far as this replica knows.
    pub leader: Option<NodeId>,
    /// The first entry that the log still has; earlier ones are only in a snapshot.
    pub first: LogIndex,
    /// Last entry in the log.
    pub last: LogIndex,
    /// Last entry applied.
    pub applied: LogIndex,
    /// Last entry in the latest snapshot.
    pub snapshot: LogIndex,
    /// Revision after `applied`.
    pub revision: Revision,
    /// Digest after `applied`.
    pub digest: Digest,
    /// Keys stored.
    pub keys: u64,
    /// The reason for which the replica has stopped, or does not run yet.
    pub failed: Option<String>,
    /// The reason for which the shard needs attention although the replica goes on: its state
    /// differs from another replica's.
    pub warning: Option<String>,
    /// The nodes with a replica, as far as this one knows, and whether each votes.
    pub replicas: Vec<(NodeId, bool)>,
    /// Bytes of the state's file and of the file with its latest batches; without memory and the
    /// log.
    pub bytes: u64,
    /// Entries applied per second, over the last few seconds; rounded down.
    pub rate: u64,
    /// The bytes received and the bytes in all of a snapshot that arrives here.
    pub receiving: Option<(u64, u64)>,
    /// The profile of the shard's functions after `applied`.
    pub profile: ProfileId,
}
