//! The map: which nodes the cluster has, and on which of them each shard's replicas are.
//!
//! ```text
//! shard   replicas       target                         the leader of the shard makes the
//! s0      n1 n2 n3       n1 n2 n3    at rest            replicas what the target says, by
//! s1      n1 n2 n3       n2 n3 n4    n1 moves to n4     learners and joint membership changes
//! ```
//!
//! The map lives under one key of the system group, whose replicas are on every node; its epoch is
//! that key's version. A change (`add_node`, `remove_node`, `move_replica`, `rebalance`) only writes
//! targets, in one step; what follows may be interrupted at any point, for whoever leads a shard
//! goes on from what the map says. The source of a shard's members is its own Raft group: the map
//! says what they shall be, and where to look.
//!
//! Promises that a change which would leave a shard without a working majority is refused, that the
//! numbers of replicas per node differ by one at most after `initial` and `rebalance`, that every
//! decision depends on the map and the nodes that answer alone, and that no node id is given twice.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use snafu::{OptionExt, Snafu, ensure};

use crate::defect::{Defect, is_planted};
use crate::ids::{NodeId, ShardId};
use crate::limits::{NODES_MAX, REPLICATION_FACTORS};

/// The key that the map is stored under, in the system group.
pub const PLACEMENT_KEY: &str = "placement";

/// The map.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// How many replicas a shard shall have, if there are so many nodes.
    pub factor: u8,
    /// The highest id that was ever given.
    pub last_node: NodeId,
    /// The nodes.
    pub nodes: BTreeMap<NodeId, PlacedNode>,
    /// The replicas of each shard, by shard.
    pub shards: Vec<Replicas>,
}

/// A node of the map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacedNode {
    /// Its key and address, `hex@ip:port`.
    pub address: String,
    /// It is being removed: it gets no replica, and goes when it has none left.
    pub leaves: bool,
}

/// Where a shard's replicas are. Node ids rise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicas {
    /// Where they are, as the shard's leader said last.
    pub now: Vec<NodeId>,
    /// Where they shall be.
    pub target: Vec<NodeId>,
    /// How often `now` has changed; 0: they are those of the cluster's founding.
    pub changes: u64,
}

/// A change of the map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlacementChange {
    /// Let a node in. Shards with fewer replicas than the factor get one there.
    AddNode {
        /// Its key and address, `hex@ip:port`.
        address: String,
    },
    /// Move a node's replicas to others, as far as there are others, then let it go.
    RemoveNode {
        /// The node.
        node: NodeId,
    },
    /// Move a replica of a shard.
    Move {
        /// The shard.
        shard: ShardId,
        /// From this node; if none is named, from the one with the most replicas.
        from: Option<NodeId>,
        /// To this one.
        to: NodeId,
    },
    /// Even out the number of replicas per node.
    Rebalance,
}

/// A change of the map is refused.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
pub enum PlacementError {
    /// No such node.
    #[snafu(display("node {node}"))]
    NoNode {
        /// The one asked for.
        node: NodeId,
    },
    /// No such shard.
    #[snafu(display("shard {shard}"))]
    NoShard {
        /// The one asked for.
        shard: ShardId,
    },
    /// There are as many nodes as a cluster can have.
    #[snafu(display("the cluster has {NODES_MAX} nodes, no more fit"))]
    Full,
    /// Not `hex@ip:port`.
    #[snafu(display("{address:?} is no node address (hex@ip:port)"))]
    BadAddress {
        /// What was given.
        address: String,
    },
    /// The key is that of another node: one key is one node.
    #[snafu(display("that key is node {node} at {address}; remove it first"))]
    KnownKey {
        /// Who has it.
        node: NodeId,
        /// Where it is.
        address: String,
    },
    /// The last node.
    #[snafu(display("{node} is the only node; removing it would end the cluster"))]
    OnlyNode {
        /// It.
        node: NodeId,
    },
    /// Too few nodes answer.
    #[snafu(display(
        "without {node} only {working} of {of} replicas of {shard} would answer: no majority"
    ))]
    NoMajority {
        /// Whoever would go.
        node: NodeId,
        /// The shard.
        shard: ShardId,
        /// Replicas on nodes that answer.
        working: usize,
        /// All replicas.
        of: usize,
    },
    /// One change of a shard at a time.
    #[snafu(display("{shard} is on its way already: wait until its replicas have arrived"))]
    OnItsWay {
        /// The shard.
        shard: ShardId,
    },
    /// It is there already.
    #[snafu(display("{shard} has a replica on {node} already"))]
    Already {
        /// The shard.
        shard: ShardId,
        /// The node.
        node: NodeId,
    },
    /// There is no replica to move.
    #[snafu(display("{shard} has no replica on {node}"))]
    NotThere {
        /// The shard.
        shard: ShardId,
        /// The node.
        node: NodeId,
    },
    /// A node that is being removed takes nothing.
    #[snafu(display("{node} is being removed"))]
    Leaves {
        /// The node.
        node: NodeId,
    },
    /// A cluster cannot have this many replicas of a shard.
    #[snafu(display("a shard has 1, 3 or 5 replicas, not {factor}"))]
    Factor {
        /// What was asked for.
        factor: u8,
    },
}

/// The key of a node's address; none if it is no address. Not parsed by `aspen-net`, which is above: only what makes two nodes one is looked at.
fn key_of(address: &str) -> Option<&str> {
    let (key, at) = address.split_once('@')?;
    let is_key = key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_key && at.parse::<std::net::SocketAddr>().is_ok()).then_some(key)
}

impl Replicas {
    /// Whether they are where they shall be.
    pub fn is_settled(&self) -> bool {
        self.now == self.target
    }

    /// Every node that has or gets a replica.
    pub fn all(&self) -> BTreeSet<NodeId> {
        self.now.iter().chain(&self.target).copied().collect()
    }
}

impl Placement {
    /// The map of a new cluster: `factor` replicas of each shard, or as many as there are nodes.
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

    /// The replicas of a shard.
    pub fn replicas(&self, shard: ShardId) -> Option<&Replicas> {
        self.shards.get(usize::from(shard.get()))
    }

    /// Whether `node` has or gets a replica of `shard`.
    pub fn hosts(&self, node: NodeId, shard: ShardId) -> bool {
        if is_planted(Defect::DeleteUnasked) {
            return self.replicas(shard).is_some_and(|replicas| replicas.target.contains(&node));
        }
        let has = |it: &Replicas| it.now.contains(&node) || it.target.contains(&node);
        self.replicas(shard).is_some_and(has)
    }

    /// Whether every replica is where it shall be, and nobody leaves.
    pub fn is_settled(&self) -> bool {
        self.shards.iter().all(Replicas::is_settled) && !self.nodes.values().any(|it| it.leaves)
    }

    /// The address of a node.
    pub fn address(&self, node: NodeId) -> Option<&str> {
        Some(&self.nodes.get(&node)?.address)
    }

    /// Whether `node` is there with every replica that it shall have.
    pub fn has_arrived(&self, node: NodeId) -> bool {
        let waits = |shard: &Replicas| shard.target.contains(&node) && !shard.now.contains(&node);
        self.nodes.contains_key(&node) && !self.shards.iter().any(waits)
    }

    /// How many replicas each node shall have.
    pub fn counts(&self) -> BTreeMap<NodeId, usize> {
        let mut counts: BTreeMap<NodeId, usize> = self.nodes.keys().map(|id| (*id, 0)).collect();
        for node in self.shards.iter().flat_map(|shard| &shard.target) {
            *counts.entry(*node).or_default() += 1;
        }
        counts
    }

    /// Makes a change; `alive` are the nodes that answer. Asking again for what is done, or on its
    /// way, changes nothing. Returns the node it is about, if it is about one.
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

    /// Of the nodes that could take one more replica of the shard at `at`, that with the fewest.
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
            // The same move again, after an interruption, or it is there.
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

    /// Sets the targets that even the numbers out, with as few moves as that takes.
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

    /// Notes where a shard's replicas are now. Returns whether that is new.
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

    /// Lets go of the nodes that leave and have no replica left. Returns whether there was one.
    pub fn let_go(&mut self) -> bool {
        let busy: BTreeSet<NodeId> = self.shards.iter().flat_map(Replicas::all).collect();
        let before = self.nodes.len();
        self.nodes.retain(|id, node| !node.leaves || busy.contains(id));
        self.nodes.len() < before
    }
}

/// Refuses if `node` goes and a majority of `replicas` would not answer.
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
