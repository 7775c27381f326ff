//! The answers of a node about itself and its cluster.
//!
//! Promises an answer at once, from the knowledge of this node: it may be old. Leaves out the
//! status of one replica (`replica/status.rs`).

use aspen_core::protocol::{ClusterInfo, NodeStatus};

use crate::context::NodeContext;

/// Returns the cluster as this node knows it.
pub fn cluster(node: &NodeContext) -> ClusterInfo {
    let map = node.map();
    let leader = |shard| node.replica(shard).and_then(|replica| replica.leader());
    ClusterInfo {
        cluster: node.cluster(),
        shards: node.router().shards(),
        node: node.id(),
        epoch: map.epoch,
        placement: map.placement.clone(),
        leaders: node.router().all().map(leader).collect(),
    }
}

/// Returns the status of this node's replicas.
pub fn status(node: &NodeContext) -> NodeStatus {
    let shards = node.router().all().filter_map(|shard| node.shard_status(shard)).collect();
    NodeStatus { node: node.id(), shards, profiles: node.functions().profiles() }
}
