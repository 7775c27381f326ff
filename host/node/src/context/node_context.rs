//! The state of a running node that its parts share: its identity, its replicas, its knowledge.
//!
//! Tasks hold a [`Weak`](std::sync::Weak) of the context, so a node that is dropped ends its tasks.
//! Leaves out how the state changes: replicas are opened in `placement/host.rs`, the map is copied
//! in `placement/map.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aspen_core::ids::{NodeId, ShardId};
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::ReplicaStatus;
use aspen_functions::WasmFunctions;
use futures::future::BoxFuture;
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use super::access::{Access, Members};
use super::attempts::Attempts;
use super::opener::ReplicaOpener;
use super::slot::ReplicaSlot;
use crate::admission::AdmissionControl;
use crate::config::Clock;
use crate::peer::{LeaderReply, LeaderRequest, PlacementMap};
use crate::replica::Replica;
use crate::tasks::NodeTasks;

/// Answers a request to the leader of a shard, on this node. The answers stand in a higher room
/// (`peer_requests`); a node that asks the leader of a shard, and is that leader, uses this.
pub type LeaderServer =
    for<'a> fn(&'a NodeContext, ShardId, LeaderRequest) -> BoxFuture<'a, LeaderReply>;

/// The shared state of a node.
pub struct NodeContext {
    opener: ReplicaOpener,
    slots: BTreeMap<ShardId, ReplicaSlot>,
    map: watch::Sender<Arc<PlacementMap>>,
    access: Access,
    attempts: Arc<Attempts>,
    leader_server: LeaderServer,
    stopping: AtomicBool,
    clock: Clock,
    tasks: NodeTasks,
}

impl NodeContext {
    /// The state of a node without a replica and without a map.
    pub fn new(opener: ReplicaOpener, clock: Clock, leader_server: LeaderServer) -> NodeContext {
        let shards = opener.router.all().chain([ShardId::SYSTEM]);
        NodeContext {
            slots: shards.map(|shard| (shard, ReplicaSlot::default())).collect(),
            map: watch::Sender::default(),
            access: Access::new(&opener.identity),
            attempts: Arc::default(),
            leader_server,
            stopping: AtomicBool::new(false),
            clock,
            tasks: NodeTasks::default(),
            opener,
        }
    }

    /// Returns the node's id.
    pub fn id(&self) -> NodeId {
        self.opener.identity.node
    }

    /// Returns the cluster's id.
    pub fn cluster(&self) -> u128 {
        self.opener.identity.cluster
    }

    /// Returns the router: which shard has which key.
    pub fn router(&self) -> ShardRouter {
        self.opener.router
    }

    /// Returns true if this node leads `shard`, as far as it knows.
    pub fn leads(&self, shard: ShardId) -> bool {
        self.replica(shard).is_some_and(|replica| replica.leader() == Some(self.id()))
    }

    /// Returns how many shards this node leads, the system group aside.
    pub fn lead_count(&self) -> usize {
        self.router().all().filter(|shard| self.leads(*shard)).count()
    }

    /// Returns the status of the replica of `shard`, if there is one or shall be one.
    pub fn shard_status(&self, shard: ShardId) -> Option<ReplicaStatus> {
        let waiting = || Some(Replica::status_of_waiting(shard, self.waiting(shard)?));
        self.replica(shard).map(|replica| replica.status()).or_else(waiting)
    }

    /// Returns the replica of `shard`, if it runs here.
    pub fn replica(&self, shard: ShardId) -> Option<Arc<Replica>> {
        self.slots.get(&shard)?.replica()
    }

    /// Returns the reason why the replica of `shard` does not run yet.
    pub fn waiting(&self, shard: ShardId) -> Option<String> {
        self.slots.get(&shard)?.waiting()
    }

    /// Notes why the replica of `shard` does not run yet, for the status.
    pub fn set_waiting(&self, shard: ShardId, why: &str) {
        tracing::warn!("{shard} is {why}");
        self.slot(shard).set_waiting(Some(why.to_string()));
    }

    /// Returns the lock that is held while the replica of `shard` is opened or deleted.
    pub fn changing(&self, shard: ShardId) -> &Mutex<()> {
        &self.slot(shard).changing
    }

    /// Returns the place of the replica of `shard`, which the cluster must have.
    pub fn slot(&self, shard: ShardId) -> &ReplicaSlot {
        &self.slots[&shard]
    }

    /// Returns the replicas that run here, that of the system group last.
    pub fn replicas(&self) -> impl Iterator<Item = Arc<Replica>> {
        self.slots.values().filter_map(ReplicaSlot::replica)
    }

    /// Returns this node's copy of the placement map.
    pub fn map(&self) -> Arc<PlacementMap> {
        self.map.borrow().clone()
    }

    /// Returns a receiver of each new copy of the map.
    pub fn map_changes(&self) -> watch::Receiver<Arc<PlacementMap>> {
        self.map.subscribe()
    }

    /// Replaces the copy of the map, and with it the members that may talk to this node.
    pub fn set_map(&self, map: PlacementMap) {
        self.access.set_members(Members::from(&map));
        self.map.send_replace(Arc::new(map));
    }

    /// Waits, at most for `limit`, until the copy of the map is of `epoch` or later; returns the
    /// copy.
    pub async fn map_of(&self, epoch: u64, limit: Duration) -> Arc<PlacementMap> {
        let mut changes = self.map_changes();
        // With or without that epoch, the caller looks at the copy.
        let _ = timeout(limit, changes.wait_for(|map| map.epoch >= epoch)).await;
        self.map()
    }

    /// Waits until this node, which was a member, is none any more.
    pub async fn removed(&self) {
        let mut changes = self.map_changes();
        let is_member = |map: &Arc<PlacementMap>| map.placement.nodes.contains_key(&self.id());
        // Neither fails while the node is there.
        let _ = changes.wait_for(is_member).await;
        let _ = changes.wait_for(|map| !is_member(map)).await;
    }

    /// Returns the opener of replicas.
    pub fn opener(&self) -> &ReplicaOpener {
        &self.opener
    }

    /// Returns the lists of the nodes and clients that may talk to this node.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Returns the transactions across shards that this node drives.
    pub fn attempts(&self) -> &Arc<Attempts> {
        &self.attempts
    }

    /// Returns the engine for functions.
    pub fn functions(&self) -> &Arc<WasmFunctions> {
        &self.opener.functions
    }

    /// Returns the admission control.
    pub fn admission(&self) -> &Arc<AdmissionControl> {
        &self.opener.admission
    }

    /// Answers a request to the leader of `shard`, as that leader.
    pub fn serve_leader(
        &self,
        shard: ShardId,
        request: LeaderRequest,
    ) -> BoxFuture<'_, LeaderReply> {
        (self.leader_server)(self, shard, request)
    }

    /// Returns true once the node stops.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Refuses requests from now on.
    pub fn begin_stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Returns this machine's time, in milliseconds since 1970. Read for the stamp of a proposal
    /// alone.
    pub fn clock_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Returns the tasks that end with the node.
    pub fn tasks(&self) -> &NodeTasks {
        &self.tasks
    }
}
