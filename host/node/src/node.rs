//! The node itself: started from a folder, answering as a [`Handler`], stopped gracefully.
//!
//! Promises that a stopped node leaves no task behind, and that nothing acknowledged depends on a
//! graceful stop. The state that the other rooms share is [`NodeContext`]; the node starts and
//! stops it.

use std::sync::Arc;
use std::time::Duration;

use aspen_client::Client;
use aspen_core::ids::{NodeId, ShardId};
use aspen_core::placement::{Placement, ShardRouter};
use aspen_core::protocol::ReplicaStatus;
use aspen_functions::WasmFunctions;
use aspen_net::{BoxFuture, Handler, PeerAddr, PeerId, Purpose, Transport};
use aspen_store::Log;
use bytes::Bytes;
use futures::future::join_all;
use futures::stream::{self, StreamExt};
use snafu::ResultExt;
use tokio::sync::{OnceCell, Semaphore};

use crate::across;
use crate::config::{NodeConfig, Timing, raft_config};
use crate::context::{NodeContext, ReplicaOpener};
use crate::error::{NodeError, PlacementSnafu, ShardsSnafu};
use crate::folder::Identity;
use crate::limits::{FOUNDING_WAIT, HANDOVER_WAIT, OPEN_AT_ONCE};
use crate::peer::PlacementMap;
use crate::peer_requests;
use crate::periodic;
use crate::placement;
use crate::replica::{HeldResources, Replica};
use crate::requests;

/// A running node: replicas of many shards, each a member of its shard's Raft group, behind one
/// interface ([`aspen_client::KeyValueStore`]).
///
/// Costs that grow with the number of shards, though no client asks for anything, are paid once for
/// all shards: one log with one writer, one clock for heartbeats, one clock for digest checks (a
/// shard with nothing new since all voters agreed is not asked), a few threads for apply and flush, a
/// small memory for each SQLite connection (`.cargo/config.toml`). Several shards are opened at a
/// time, and all leads are handed over at once when the node stops.
pub struct ShardedRaftNode {
    context: Arc<NodeContext>,
    own_client: OnceCell<Client>,
}

impl ShardedRaftNode {
    /// Opens the storage and joins the Raft groups. Serving starts when the caller gives a
    /// [`NodeHandler`] of the node to its transport.
    pub async fn start(
        config: NodeConfig,
        log: Log,
        transport: Arc<dyn Transport>,
        functions: Arc<WasmFunctions>,
    ) -> Result<Arc<ShardedRaftNode>, NodeError> {
        let NodeConfig { identity, states, timing, clock } = config;
        let shards = identity.shards;
        let router = ShardRouter::new(shards).ok();
        let Some(router) = router else { return ShardsSnafu { shards }.fail() };
        let raft = Arc::new(raft_config(&timing, shards, identity.cluster)?);
        let heartbeat = Duration::from_millis(raft.heartbeat_interval);
        let opener = ReplicaOpener {
            identity,
            router,
            states,
            log,
            raft,
            transport,
            functions,
            admission: Arc::default(),
            at_once: Semaphore::new(OPEN_AT_ONCE),
        };
        let context = NodeContext::new(opener, clock, peer_requests::serve_leader);
        let context = Arc::new(context);
        open_replicas(&context).await?;
        spawn_tasks(&context, &timing, heartbeat);
        Ok(Arc::new(ShardedRaftNode { context, own_client: OnceCell::new() }))
    }

    /// Creates the cluster: this node and `members` are its nodes from the start. Once per cluster;
    /// doing it again changes nothing. Returns before the cluster is complete: the others must run
    /// too.
    pub async fn initialize(&self, members: &[(NodeId, PeerAddr)]) -> Result<(), NodeError> {
        let node = &self.context;
        let members = || members.iter().map(|(id, address)| (*id, address.to_string()));
        let Identity { shards, factor, .. } = node.opener().identity;
        let placement = Placement::initial(members(), shards, factor);
        let placement = placement.context(PlacementSnafu)?;
        if let Some(system) = node.replica(ShardId::SYSTEM) {
            placement::create_group(node, &system, members().collect()).await?;
        }
        node.tasks().spawn(placement::found_map(Arc::downgrade(node), placement));
        Ok(())
    }

    /// Waits until a new cluster answers requests for the shards on this node, or some seconds.
    pub async fn founded(&self) {
        // If not, requests wait.
        let _ = placement::is_served(&self.context, FOUNDING_WAIT).await;
    }

    /// Stops gracefully: refuses new requests, hands the lead over, finishes what is under way and
    /// closes the storage. Nothing acknowledged depends on it.
    pub async fn stop(&self) {
        let node = &self.context;
        node.begin_stop();
        node.tasks().stop().await;
        let replicas: Vec<Arc<Replica>> = node.replicas().collect();
        join_all(replicas.iter().map(|replica| replica.hand_over(HANDOVER_WAIT))).await;
        join_all(replicas.iter().map(|replica| replica.close())).await;
        // Acknowledged writes are on disk already; a failing disk has stopped the replicas.
        let _ = node.opener().log.clone().close().await;
    }

    /// Returns the node's id.
    pub fn id(&self) -> NodeId {
        self.context.id()
    }

    /// Returns the cluster's id.
    pub fn cluster(&self) -> u128 {
        self.context.cluster()
    }

    /// Returns the router: which shard has which key.
    pub fn router(&self) -> ShardRouter {
        self.context.router()
    }

    /// Returns the placement map, as this node knows it.
    pub fn map(&self) -> Arc<PlacementMap> {
        self.context.map()
    }

    /// Returns true if this node leads `shard`, as far as it knows.
    pub fn leads(&self, shard: ShardId) -> bool {
        self.context.leads(shard)
    }

    /// Returns the status of the replica of `shard`, if there is one or shall be one.
    pub fn shard_status(&self, shard: ShardId) -> Option<ReplicaStatus> {
        self.context.shard_status(shard)
    }

    /// Returns the resources of the replica of `shard` that must not stay: for a search for leaks.
    pub async fn held(&self, shard: ShardId) -> Option<HeldResources> {
        self.context.replica(shard)?.held().await
    }

    /// Waits until this node, which was a member of its cluster, is none any more.
    pub async fn removed(&self) {
        self.context.removed().await;
    }

    pub(crate) fn context(&self) -> &Arc<NodeContext> {
        &self.context
    }

    pub(crate) fn own_client(&self) -> &OnceCell<Client> {
        &self.own_client
    }
}

/// Opens the system group's replica, then the others.
async fn open_replicas(node: &Arc<NodeContext>) -> Result<(), NodeError> {
    placement::open_replica(node, ShardId::SYSTEM).await?;
    placement::look_at_map(node);
    // A replica with files here is a member until its group says otherwise, whatever the map says.
    let is_here = |shard: &ShardId| {
        let has_log = || node.opener().log.shard(*shard).last().is_some();
        let is_placed = || node.map().placement.hosts(node.id(), *shard);
        node.opener().dir(*shard).exists() || has_log() || is_placed()
    };
    let here: Vec<ShardId> = node.router().all().filter(is_here).collect();
    let mut opened = stream::iter(here)
        .map(|shard| {
            let node = node.clone();
            async move { placement::open_replica(&node, shard).await }
        })
        .buffered(OPEN_AT_ONCE);
    while let Some(opened) = opened.next().await {
        opened?;
    }
    Ok(())
}

/// Starts the tasks that end with the node.
fn spawn_tasks(node: &Arc<NodeContext>, timing: &Timing, heartbeat: Duration) {
    let (tasks, weak) = (node.tasks(), || Arc::downgrade(node));
    tasks.spawn(placement::follow(weak()));
    tasks.spawn(placement::carry_out(weak()));
    tasks.spawn(periodic::send_heartbeats(weak(), heartbeat));
    tasks.spawn(periodic::tick(weak()));
    tasks.spawn(node.admission().clone().run());
    tasks.spawn(across::sweep(weak()));
    tasks.spawn(periodic::check_digests(weak(), timing.digest_check));
    tasks.spawn(periodic::note_rates(weak()));
    tasks.spawn(periodic::balance_leaders(weak()));
    tasks.spawn(placement::learn(weak(), node.access().refused()));
}

/// Answers a request of `from` to a node.
pub(crate) fn handle(
    node: Arc<NodeContext>,
    from: PeerId,
    purpose: Purpose,
    body: Bytes,
) -> BoxFuture<Bytes> {
    match purpose {
        Purpose::Raft | Purpose::Snapshot => {
            Box::pin(async move { peer_requests::serve(&node, body).await })
        }
        Purpose::Client => Box::pin(async move { requests::serve(&node, from, body).await }),
    }
}

/// A node as its transport sees it.
pub struct NodeHandler(pub Arc<ShardedRaftNode>);

impl Handler for NodeHandler {
    fn admit(&self, from: PeerId, purpose: Purpose) -> Result<(), String> {
        self.0.context.access().admit(from, purpose)
    }

    fn handle(&self, from: PeerId, purpose: Purpose, body: Bytes) -> BoxFuture<Bytes> {
        handle(self.0.context.clone(), from, purpose, body)
    }
}
