//! The nodes that run in a simulated cluster, shared by the machines and the watchers.
//!
//! Leaves out how nodes start (`boot.rs`) and stop (`cluster.rs`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aspen_core::ids::NodeId;
use aspen_core::protocol::ReplicaStatus;
use aspen_node::ShardedRaftNode;

/// The nodes that run now, and the reasons why others do not. A clone is another handle.
#[derive(Clone, Default)]
pub struct RunningNodes(Arc<Mutex<Nodes>>);

/// See [`RunningNodes`].
#[derive(Default)]
pub struct Nodes {
    /// By number of the machine.
    pub nodes: BTreeMap<u8, Arc<ShardedRaftNode>>,
    pub logs: BTreeMap<u8, aspen_store::Log>,
    /// The reasons of nodes that refuse to start.
    pub halted: BTreeMap<u8, String>,
    /// The node whose clock leaks into its results, if any: it diverges on purpose.
    pub diverging: Option<NodeId>,
}

impl RunningNodes {
    /// Locks the nodes. Nobody may wait for anything while the lock is held.
    pub fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a node runs on machine `number`.
    pub fn started(&self, number: u8, node: Arc<ShardedRaftNode>, log: aspen_store::Log) {
        let mut running = self.lock();
        running.nodes.insert(number, node);
        running.logs.insert(number, log);
    }

    /// Notes that the node of machine `number` refuses to start.
    pub fn halted(&self, number: u8, reason: String) {
        self.lock().halted.insert(number, reason);
    }

    /// Returns the status of every replica.
    pub fn status(&self) -> Vec<(NodeId, ReplicaStatus)> {
        let running = self.lock();
        let of_node = |node: &Arc<ShardedRaftNode>| {
            let shards = node.router().all();
            let status = shards.filter_map(|shard| Some((node.id(), node.shard_status(shard)?)));
            status.collect::<Vec<_>>()
        };
        running.nodes.values().flat_map(of_node).collect()
    }
}
