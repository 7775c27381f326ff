//! The placement map as a node knows it: which nodes there are, and where the replicas are.
//!
//! Leaves out how a node keeps its copy up to date and how the map changes (`placement/map.rs`).

use aspen_core::ids::{NodeId, ShardId};
use aspen_core::placement::Placement;
use serde::{Deserialize, Serialize};

/// A placement and its epoch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PlacementMap {
    /// The version of the map's key. 0: there is no map yet.
    pub epoch: u64,
    /// Nodes and replicas.
    pub placement: Placement,
}

impl PlacementMap {
    /// Returns the ids and addresses of the nodes that have a replica of `shard`.
    pub fn replicas(&self, shard: ShardId) -> Vec<(NodeId, String)> {
        let now: Vec<NodeId> = match shard {
            ShardId::SYSTEM => self.placement.nodes.keys().copied().collect(),
            shard => self.placement.replicas(shard).map(|it| it.now.clone()).unwrap_or_default(),
        };
        let address = |id: NodeId| Some((id, self.placement.address(id)?.to_string()));
        now.into_iter().filter_map(address).collect()
    }
}
