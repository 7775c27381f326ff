//! The members that a group shall have by the placement map, and how far the group is from that.
//!
//! Promises that the system group changes as few voters as possible. Leaves out the changes
//! themselves (`steer.rs`).

use std::collections::BTreeSet;

use aspen_core::ids::{NodeId, ShardId};
use openraft::async_runtime::WatchReceiver;

use crate::context::NodeContext;
use crate::limits::SYSTEM_VOTERS_MAX;
use crate::peer::PlacementMap;
use crate::replica::Replica;

/// The members that a group shall have.
#[derive(Debug, PartialEq, Eq)]
pub struct WantedMembers {
    pub voters: BTreeSet<NodeId>,
    pub learners: BTreeSet<NodeId>,
}

impl WantedMembers {
    /// Returns the members that the group of `replica` shall have by the map.
    pub fn of(map: &PlacementMap, replica: &Replica) -> WantedMembers {
        let placement = &map.placement;
        if let Some(replicas) = placement.replicas(replica.id) {
            let voters = replicas.target.iter().copied().collect();
            return WantedMembers { voters, learners: BTreeSet::new() };
        }
        // The system group: every node, of them a few voters, as far as possible the present
        // voters.
        let members = replica.members();
        let stays = |id: &NodeId| placement.nodes.get(id).is_some_and(|node| !node.leaves);
        let votes = |id: &NodeId| members.get(id).is_some_and(|(_, votes)| *votes);
        let now = placement.nodes.keys().copied().filter(|id| stays(id) && votes(id));
        let heard = replica.heard_from();
        let others = placement.nodes.keys().copied();
        let others = others.filter(|id| stays(id) && !votes(id) && heard.contains(id));
        let voters: BTreeSet<NodeId> = now.chain(others).take(SYSTEM_VOTERS_MAX).collect();
        let learners = placement.nodes.keys().copied().filter(|id| !voters.contains(id)).collect();
        WantedMembers { voters, learners }
    }

    /// Returns true if the node shall be a voter or a learner.
    pub fn contains(&self, id: NodeId) -> bool {
        self.voters.contains(&id) || self.learners.contains(&id)
    }

    /// Returns true if the group has these members, and no change is under way.
    pub fn are_reached(&self, replica: &Replica) -> bool {
        let metrics = replica.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let all = self.voters.iter().chain(&self.learners);
        let all: BTreeSet<u64> = all.map(|id| id.get()).collect();
        membership.get_joint_config().len() == 1
            && membership.voter_ids().eq(self.voters.iter().map(|id| id.get()))
            && membership.nodes().map(|(id, _)| *id).eq(all)
    }

    /// Returns true if the map does not know yet that the group of `shard` has these members.
    pub fn are_news(&self, map: &PlacementMap, shard: ShardId) -> bool {
        match map.placement.replicas(shard) {
            Some(replicas) => !replicas.now.iter().eq(&self.voters),
            None => map.placement.clone().let_go(),
        }
    }
}

/// Returns the node that creates the Raft group of a shard that never was. The shards take turns,
/// for the node that creates a group leads the group first.
pub fn founder(map: &PlacementMap, shard: ShardId) -> Option<NodeId> {
    let replicas = map.placement.replicas(shard).filter(|replicas| replicas.changes == 0)?;
    replicas.now.get(usize::from(shard.get()) % replicas.now.len().max(1)).copied()
}

/// Returns true if a replica that this node leads is being copied to another node.
pub fn is_copied(node: &NodeContext, replica: &Replica) -> bool {
    let has_learner = || {
        let metrics = replica.raft.server_metrics();
        metrics.borrow_watched().membership_config.membership().learner_ids().next().is_some()
    };
    replica.id != ShardId::SYSTEM && node.leads(replica.id) && has_learner()
}
