//! The placement map: the nodes of the cluster, and the nodes of each shard's replicas.
//!
//! ```text
//! shard   replicas now   target                         the leader of the shard changes the
//! s0      n1 n2 n3       n1 n2 n3    at rest            replicas to the target, by learners
//! s1      n1 n2 n3       n2 n3 n4    n1 moves to n4     and joint membership changes
//! ```
//!
//! The map is the value of one key of the system group, which has a replica on every node. The version of
//! that key is the epoch of the map. The members of a shard are those of its Raft group: the map says
//! which members the shard shall have, and where a client looks for them.
//!
//! Leaves out how the map changes (`change.rs`).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::defect::{Defect, is_planted};
use crate::ids::{NodeId, ShardId};

/// The key of the placement map in the system group.
pub const PLACEMENT_KEY: &str = "placement";

/// The placement map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Replicas that each shard shall have, as far as there are nodes.
    pub factor: u8,
    /// The highest id that a node ever got.
    pub last_node: NodeId,
    pub nodes: BTreeMap<NodeId, PlacedNode>,
    /// The replicas of each shard, in order of shards.
    pub shards: Vec<Replicas>,
}

/// A node of the placement map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedNode {
    /// The key and address of the node, `hex@ip:port`.
    pub address: String,
    /// True while the node is being removed: it gets no replica, and goes when it has none left.
    pub leaves: bool,
}

/// The nodes of a shard's replicas, in order of ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// The nodes that have a replica now, as the shard's leader reported last.
    pub now: Vec<NodeId>,
    /// The nodes that shall have a replica.
    pub target: Vec<NodeId>,
    /// The number of changes of `now`; 0: the replicas are those of the cluster's founding.
    pub changes: u64,
}

impl Replicas {
    /// True if the replicas are on their target nodes.
    pub fn is_settled(&self) -> bool {
        self.now == self.target
    }

    /// Returns every node that has or gets a replica.
    pub fn all(&self) -> BTreeSet<NodeId> {
        self.now.iter().chain(&self.target).copied().collect()
    }
}

impl Placement {
    pub fn replicas(&self, shard: ShardId) -> Option<&Replicas> {
        self.shards.get(usize::from(shard.get()))
    }

    /// True if `node` has or gets a replica of `shard`.
    pub fn hosts(&self, node: NodeId, shard: ShardId) -> bool {
        if is_planted(Defect::DeleteUnasked) {
            return self.replicas(shard).is_some_and(|replicas| replicas.target.contains(&node));
        }
        let has = |it: &Replicas| it.now.contains(&node) || it.target.contains(&node);
        self.replicas(shard).is_some_and(has)
    }

    /// True if all replicas are on their target nodes and no node is being removed.
    pub fn is_settled(&self) -> bool {
        self.shards.iter().all(Replicas::is_settled) && !self.nodes.values().any(|it| it.leaves)
    }

    pub fn address(&self, node: NodeId) -> Option<&str> {
        Some(&self.nodes.get(&node)?.address)
    }

    /// True if `node` is in the map and has every replica that it shall have.
    pub fn has_arrived(&self, node: NodeId) -> bool {
        let waits = |shard: &Replicas| shard.target.contains(&node) && !shard.now.contains(&node);
        self.nodes.contains_key(&node) && !self.shards.iter().any(waits)
    }

    /// Returns the number of replicas that each node shall have.
    pub fn counts(&self) -> BTreeMap<NodeId, usize> {
        let mut counts: BTreeMap<NodeId, usize> = self.nodes.keys().map(|id| (*id, 0)).collect();
        for node in self.shards.iter().flat_map(|shard| &shard.target) {
            *counts.entry(*node).or_default() += 1;
        }
        counts
    }

    /// Stores the nodes that have a replica of the shard now. Returns true if they changed.
    pub fn arrived(&mut self, shard: ShardId, members: &BTreeSet<NodeId>) -> bool {
        let Some(replicas) = self.shards.get_mut(usize::from(shard.get())) else { return false };
        let members: Vec<NodeId> = members.iter().copied().collect();
        if replicas.now == members {
            return false;
        }
        replicas.now = members;
        replicas.changes += 1;
        true
    }

    /// Removes the nodes that leave and have no replica left. Returns true if there was one.
    pub fn let_go(&mut self) -> bool {
        let busy: BTreeSet<NodeId> = self.shards.iter().flat_map(Replicas::all).collect();
        let before = self.nodes.len();
        self.nodes.retain(|id, node| !node.leaves || busy.contains(id));
        self.nodes.len() < before
    }
}
