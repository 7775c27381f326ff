//! Changes of the placement map, and the first map of a cluster.
//!
//! A change (add a node, remove one, move a replica, rebalance) sets targets, in one step. The replicas
//! then move in the background. A crash does not interrupt the move: the next leader of the shard goes
//! on from the map.
//!
//! Promises that a change is refused if it would leave a shard without a working majority, that after
//! `initial` and `rebalance` the numbers of replicas per node differ by one at most, that each decision
//! depends only on the map and on the nodes that answer, and that no node id is given twice.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use snafu::{OptionExt, Snafu, ensure};

use crate::ids::{NodeId, ShardId};
use crate::limits::{NODES_MAX, REPLICATION_FACTORS};
use crate::placement::map::{PlacedNode, Placement, Replicas};

/// A change of the placement map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlacementChange {
    /// Add a node. Each shard with fewer replicas than the factor gets one there.
    AddNode {
        /// The key and address of the node, `hex@ip:port`.
        address: String,
    },
    /// Move a node's replicas to other nodes, as far as there are any, then remove the node.
    RemoveNode { node: NodeId },
    /// Move a replica of a shard.
    Move {
        shard: ShardId,
        /// The node that loses the replica; `None`: the one with the most replicas.
        from: Option<NodeId>,
        /// The node that gets the replica.
        to: NodeId,
    },
    /// Even out the number of replicas per node.
    Rebalance,
}

/// The reasons for which a change of the placement map is refused.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
pub enum PlacementError {
    #[snafu(display("node {node}"))]
    NoNode { node: NodeId },
    #[snafu(display("shard {shard}"))]
    NoShard { shard: ShardId },
    /// The cluster has as many nodes as it can have.
    #[snafu(display("the cluster has {NODES_MAX} nodes, no more fit"))]
    Full,
    /// A text that is not `hex@ip:port`.
    #[snafu(display("{address:?} is no node address (hex@ip:port)"))]
    BadAddress { address: String },
    /// The key is that of another node: one key is one node.
    #[snafu(display("that key is node {node} at {address}; remove it first"))]
    KnownKey {
        /// The node with that key.
        node: NodeId,
        /// The address of that node.
        address: String,
    },
    /// The node is the last one.
    #[snafu(display("{node} is the only node; removing it would end the cluster"))]
    OnlyNode { node: NodeId },
    /// Too few nodes answer.
    #[snafu(display(
        "without {node} only {working} of {of} replicas of {shard} would answer: no majority"
    ))]
    NoMajority {
        /// The node that would go.
        node: NodeId,
        shard: ShardId,
        /// Replicas on nodes that answer.
        working: usize,
        /// All replicas.
        of: usize,
    },
    /// The shard's replicas move already: one change of a shard at a time.
    #[snafu(display("{shard} is on its way already: wait until its replicas have arrived"))]
    OnItsWay { shard: ShardId },
    /// The node has a replica already.
    #[snafu(display("{shard} has a replica on {node} already"))]
    Already { shard: ShardId, node: NodeId },
    /// The node has no replica to move.
    #[snafu(display("{shard} has no replica on {node}"))]
    NotThere { shard: ShardId, node: NodeId },
    /// A node that is being removed gets no replica.
    #[snafu(display("{node} is being removed"))]
    Leaves { node: NodeId },
    /// A shard cannot have this many replicas.
    #[snafu(display("a shard has 1, 3 or 5 replicas, not {factor}"))]
    Factor { factor: u8 },
}

/// Returns the key in a node's address; `None` if the text is no address. `aspen-net` parses
/// addresses, but is above this crate: only the key matters here, for one key is one node.
fn key_of(address: &str) -> Option<&str> {
    let (key, at) = address.split_once('@')?;
    let is_key = key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_key && at.parse::<std::net::SocketAddr>().is_ok()).then_some(key)
}

impl Placement {
    /// Makes the map of a new cluster: `factor` replicas of each shard, or as many as there are
    /// nodes.
    pub fn initial(
        nodes: impl IntoIterator<Item = (NodeId, String)>,
        shards: u16,
        factor: u8,
    ) -> Result<Placement, PlacementError> {
        ensure!(REPLICATION_FACTORS.contains(&factor), FactorSnafu { factor });
        let place = |(node, address)| (node, PlacedNode { address, leaves: false });
        let nodes: BTreeMap<NodeId, PlacedNode> = nodes.into_iter().map(place).collect();
        let ids: Vec<NodeId> = nodes.keys().copied().collect();
        let each = usize::from(factor).min(ids.len());
        // One row of all replicas, dealt to the nodes in turn.
        let deal = |shard: usize| {
            let mut on: Vec<NodeId> =
                (0..each).map(|at| ids[(shard * each + at) % ids.len()]).collect();
            on.sort();
            Replicas { now: on.clone(), target: on, changes: 0 }
        };
        let shards = (0..usize::from(shards)).map(deal).collect();
        let last_node = ids.last().copied().unwrap_or_default();
        Ok(Placement { factor, last_node, nodes, shards })
    }

    /// Makes a change; `alive` are the nodes that answer. A repeat of a change that is done, or
    /// under way, changes nothing. Returns the node that the change adds.
    pub fn change(
        &mut self,
        change: &PlacementChange,
        alive: &BTreeSet<NodeId>,
    ) -> Result<Option<NodeId>, PlacementError> {
        match change {
            PlacementChange::AddNode { address } => self.add_node(address).map(Some),
            PlacementChange::RemoveNode { node } => self.remove_node(*node, alive).map(|()| None),
            PlacementChange::Move { shard, from, to } => {
                self.move_replica(*shard, *from, *to, alive).map(|()| None)
            }
            PlacementChange::Rebalance => {
                self.rebalance(alive);
                Ok(None)
            }
        }
    }

    fn add_node(&mut self, address: &str) -> Result<NodeId, PlacementError> {
        let key = key_of(address).context(BadAddressSnafu { address })?;
        let known = self.nodes.iter().find(|(_, node)| key_of(&node.address) == Some(key));
        if let Some((node, known)) = known {
            let is_same = known.address == address && !known.leaves;
            ensure!(is_same, KnownKeySnafu { node: *node, address: &known.address });
            return Ok(*node);
        }
        ensure!(self.nodes.len() < NODES_MAX, FullSnafu);
        let node = self.last_node.next();
        self.last_node = node;
        self.nodes.insert(node, PlacedNode { address: address.into(), leaves: false });
        for shard in &mut self.shards {
            if shard.target.len() < usize::from(self.factor) {
                shard.target.push(node);
            }
        }
        Ok(node)
    }

    fn remove_node(
        &mut self,
        node: NodeId,
        alive: &BTreeSet<NodeId>,
    ) -> Result<(), PlacementError> {
        let placed = self.nodes.get(&node).context(NoNodeSnafu { node })?;
        if placed.leaves {
            return Ok(());
        }
        let stay = self.nodes.iter().filter(|(id, it)| **id != node && !it.leaves);
        ensure!(stay.count() > 0, OnlyNodeSnafu { node });
        let mut next = self.clone();
        for (shard, at) in (0..).map(ShardId::new).zip(0..self.shards.len()) {
            if !self.shards[at].all().contains(&node) {
                continue;
            }
            let replacement = next.emptiest(at, alive);
            let target = &mut next.shards[at].target;
            target.retain(|other| *other != node);
            if let Some(replacement) = replacement.filter(|_| target.len() < self.factor.into()) {
                target.push(replacement);
                target.sort();
            }
            majority(node, shard, &self.shards[at].now, alive)?;
            majority(node, shard, &next.shards[at].target, alive)?;
        }
        if let Some(placed) = next.nodes.get_mut(&node) {
            placed.leaves = true;
        }
        *self = next;
        Ok(())
    }

    /// Returns the node with the fewest replicas, of those that could take one more replica of the
    /// shard at `at`.
    fn emptiest(&self, at: usize, alive: &BTreeSet<NodeId>) -> Option<NodeId> {
        let (counts, has) = (self.counts(), self.shards[at].all());
        let can = |(id, node): &(&NodeId, &PlacedNode)| {
            !node.leaves && alive.contains(id) && !has.contains(id)
        };
        self.nodes.iter().filter(can).map(|(id, _)| *id).min_by_key(|id| (counts[id], *id))
    }

    fn move_replica(
        &mut self,
        shard: ShardId,
        from: Option<NodeId>,
        to: NodeId,
        alive: &BTreeSet<NodeId>,
    ) -> Result<(), PlacementError> {
        let replicas = self.replicas(shard).context(NoShardSnafu { shard })?;
        let placed = self.nodes.get(&to).context(NoNodeSnafu { node: to })?;
        ensure!(!placed.leaves, LeavesSnafu { node: to });
        let Replicas { now, target, .. } = replicas;
        if target.contains(&to) && from.is_none_or(|from| !target.contains(&from)) {
            // The same move again, after an interruption, or the replica is on that node already.
            return Ok(());
        }
        ensure!(replicas.is_settled(), OnItsWaySnafu { shard });
        ensure!(!target.contains(&to), AlreadySnafu { shard, node: to });
        let counts = self.counts();
        let fullest = || target.iter().copied().max_by_key(|node| (counts.get(node), *node));
        let from = from.or_else(fullest).context(NoShardSnafu { shard })?;
        ensure!(target.contains(&from), NotThereSnafu { shard, node: from });
        let mut next: Vec<NodeId> = target.iter().copied().filter(|node| *node != from).collect();
        next.push(to);
        next.sort();
        majority(from, shard, now, alive)?;
        majority(from, shard, &next, alive)?;
        self.shards[usize::from(shard.get())].target = next;
        Ok(())
    }

    /// Sets targets that even out the numbers, with as few moves as possible.
    fn rebalance(&mut self, alive: &BTreeSet<NodeId>) {
        // A shard that is on its way is left alone.
        let settled: Vec<bool> = self.shards.iter().map(Replicas::is_settled).collect();
        loop {
            let mut counts = self.counts();
            counts.retain(|node, _| !self.nodes[node].leaves && alive.contains(node));
            let step = |(at, shard): (usize, &Replicas)| {
                let can_lose = |node: &&NodeId| settled[at] && counts.contains_key(*node);
                let from = shard.target.iter().filter(can_lose).max_by_key(|node| counts[*node])?;
                let others = counts.iter().filter(|(node, _)| !shard.target.contains(node));
                let (to, fewest) = others.min_by_key(|(_, count)| **count)?;
                let gain = counts[from].checked_sub(*fewest).filter(|gain| *gain >= 2)?;
                Some((gain, at, *from, *to))
            };
            let steps = self.shards.iter().enumerate().filter_map(step);
            // The largest difference first; of equal ones the first shard.
            let best = steps.max_by_key(|(gain, at, ..)| (*gain, std::cmp::Reverse(*at)));
            let Some((_, at, from, to)) = best else { return };
            let target = &mut self.shards[at].target;
            target.retain(|node| *node != from);
            target.push(to);
            target.sort();
        }
    }
}

/// Refuses if `node` goes and fewer than a majority of `replicas` answer.
fn majority(
    node: NodeId,
    shard: ShardId,
    replicas: &[NodeId],
    alive: &BTreeSet<NodeId>,
) -> Result<(), PlacementError> {
    let (of, working) = (replicas.len(), replicas.iter().filter(|it| alive.contains(it)).count());
    ensure!(2 * working > of, NoMajoritySnafu { node, shard, working, of });
    Ok(())
}
