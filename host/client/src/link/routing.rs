//! The routing table of a client: nodes, replicas and leaders as last heard, and the node to ask next.
//!
//! Promises that an older placement map never replaces a newer one, and that a node which failed to
//! answer is not taken for a leader for [`SHUNNED`], for any node that names it. A node without a replica
//! answers `NotHere` with its epoch and the nodes that have one; an answer older than the client's own map
//! does not count. Leaves out asking (`link.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use aspen_core::ids::{NodeId, ShardId};
use aspen_core::protocol::ClusterInfo;
use aspen_net::PeerAddr;
use tokio::time::Instant;

/// The time for which a node that did not answer is not taken for a leader: followers name a dead leader
/// until they elect another, and dialling the dead takes seconds.
const SHUNNED: Duration = Duration::from_secs(1);

/// The nodes that can answer a request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Target {
    AnyNode,
    /// Any node with a replica of the shard.
    Replica(ShardId),
    /// The leader of the shard.
    Leader(ShardId),
}

impl Target {
    /// Returns the shard that the request is about, if it is about one.
    pub fn shard(self) -> Option<ShardId> {
        match self {
            Target::AnyNode => None,
            Target::Replica(shard) | Target::Leader(shard) => Some(shard),
        }
    }
}

/// The routing table. Invariant: `nodes` is never empty.
pub struct RoutingTable {
    /// The epoch of the placement map that `nodes` and `replicas` are of; 0 before the first map.
    epoch: u64,
    /// The epoch of a map that was announced and not seen yet.
    announced: u64,
    nodes: Vec<PeerAddr>,
    /// The nodes with a replica of each shard, by the map of that epoch; empty before the first map.
    replicas: BTreeMap<ShardId, Vec<PeerAddr>>,
    leaders: BTreeMap<ShardId, PeerAddr>,
    /// The moment at which a node last failed to answer.
    failed: BTreeMap<PeerAddr, Instant>,
    /// The node that is asked questions which any node can answer.
    current: PeerAddr,
    /// The place, modulo the number of nodes, of the node that comes next if `current` fails.
    turn: usize,
}

impl RoutingTable {
    /// Begins with `nodes`, and with one of them by chance.
    pub fn new(nodes: Vec<PeerAddr>) -> Self {
        assert!(!nodes.is_empty(), "a client is given at least one node");
        let turn = rand::random_range(0..nodes.len());
        let current = nodes[turn % nodes.len()];
        let (replicas, leaders, failed) = Default::default();
        Self { epoch: 0, announced: 0, nodes, replicas, leaders, failed, current, turn }
    }

    /// Returns the nodes as last heard.
    pub fn nodes(&self) -> &[PeerAddr] {
        &self.nodes
    }

    /// Returns true if a leader of the shard is known.
    pub fn has_leader(&self, shard: ShardId) -> bool {
        self.leaders.contains_key(&shard)
    }

    /// Notes that a map of this epoch exists: an older map is of the past.
    pub fn announce(&mut self, epoch: u64) {
        self.announced = self.announced.max(epoch);
    }

    /// Returns the newest epoch that was heard of.
    pub fn known_epoch(&self) -> u64 {
        self.epoch.max(self.announced)
    }

    /// Returns the node to ask: the shard's leader if known, else the current node or the one whose turn
    /// it is, of those with a replica.
    pub fn node_for(&self, target: Target) -> PeerAddr {
        let leader = match target {
            Target::Leader(shard) => self.leaders.get(&shard).copied(),
            Target::AnyNode | Target::Replica(_) => None,
        };
        let replicas = target.shard().and_then(|shard| self.replicas.get(&shard));
        let nodes = replicas.filter(|replicas| !replicas.is_empty()).unwrap_or(&self.nodes);
        leader.unwrap_or_else(|| {
            // The client stays with one node as long as that node answers.
            let current = nodes.iter().position(|node| *node == self.current);
            nodes[current.unwrap_or(self.turn) % nodes.len()]
        })
    }

    /// Passes the turn to the next node; `node` no longer counts as the shard's leader.
    pub fn forget(&mut self, target: Target, node: &PeerAddr) {
        if let Some(shard) = target.shard()
            && self.leaders.get(&shard) == Some(node)
        {
            self.leaders.remove(&shard);
        }
        self.turn = self.turn.wrapping_add(1);
        if self.current == *node {
            self.current = self.nodes[self.turn % self.nodes.len()];
        }
    }

    /// Notes that `node` did not answer.
    pub fn note_failure(&mut self, target: Target, node: &PeerAddr) {
        self.forget(target, node);
        self.failed.insert(*node, Instant::now());
    }

    /// Takes in that `node` named `leader`. Returns true if the leader is news that can be asked at once.
    pub fn note_leader(
        &mut self,
        target: Target,
        node: &PeerAddr,
        leader: Option<PeerAddr>,
    ) -> bool {
        let leader = leader.filter(|leader| leader != node && !self.is_shunned(leader));
        match (target.shard(), leader) {
            // The node named may be the one that failed just now: then it is no news.
            (Some(shard), Some(leader)) => self.leaders.insert(shard, leader) != Some(leader),
            _ => {
                self.forget(target, node);
                false
            }
        }
    }

    /// Takes in that a node has no replica of the shard: by its map of `epoch`, `replicas` have one.
    /// Returns true if that map is newer than the one known.
    ///
    /// Between two nodes that name each other, the newer map counts. With equal maps a move is under way,
    /// which takes a moment.
    pub fn note_replicas(&mut self, shard: ShardId, epoch: u64, replicas: Vec<PeerAddr>) -> bool {
        let is_news = epoch > self.epoch && !replicas.is_empty();
        if epoch >= self.epoch && !replicas.is_empty() {
            self.replicas.insert(shard, replicas);
        }
        is_news
    }

    /// Takes in a node's view of the cluster, unless its map is older than the one known.
    pub fn learn(&mut self, info: &ClusterInfo) {
        let nodes = info.placement.nodes.iter();
        let parsed = nodes.filter_map(|(id, node)| Some((*id, node.address.parse().ok()?)));
        let members: BTreeMap<NodeId, PeerAddr> = parsed.collect();
        if members.is_empty() || info.epoch < self.epoch {
            return;
        }
        self.epoch = info.epoch;
        self.nodes = members.values().copied().collect();
        let placed = (0..).map(ShardId::new).zip(&info.placement.shards);
        let at = |ids: &[NodeId]| ids.iter().filter_map(|id| members.get(id).copied()).collect();
        self.replicas = placed.map(|(shard, replicas)| (shard, at(&replicas.now))).collect();
        self.failed.retain(|_, failed| failed.elapsed() < SHUNNED);
        for (shard, leader) in info.leaders.iter().enumerate() {
            let leader = leader.and_then(|leader| members.get(&leader));
            if let Some(leader) = leader.filter(|leader| !self.failed.contains_key(leader)) {
                self.leaders.insert(ShardId::new(shard as u16), *leader);
            }
        }
    }

    /// Makes another node the current one: the next that did not fail to answer, if one did not.
    pub fn turn_to_another(&mut self) {
        let all = self.nodes.len();
        let mut next = (1..=all).map(|ahead| self.turn.wrapping_add(ahead));
        let answers = next.find(|turn| !self.is_shunned(&self.nodes[turn % all]));
        self.turn = answers.unwrap_or(self.turn.wrapping_add(1));
        self.current = self.nodes[self.turn % all];
    }

    fn is_shunned(&self, node: &PeerAddr) -> bool {
        self.failed.get(node).is_some_and(|failed| failed.elapsed() < SHUNNED)
    }
}
