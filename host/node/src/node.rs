//! The node itself: started from a folder, answering as a [`Handler`], stopped gracefully.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, Weak};
use std::time::Duration;

use aspen_client::Client;
use aspen_core::{NodeId, Placement, ShardId, ShardRouter};
use aspen_functions::WasmFunctions;
use aspen_net::{BoxFuture, Handler, PeerAddr, PeerId, Purpose, Transport};
use aspen_store::{Log, StoreError};
use bytes::Bytes;
use futures::future::join_all;
use futures::stream::{self, FuturesUnordered, StreamExt};
use openraft::async_runtime::WatchReceiver;
use snafu::ResultExt;
use tokio::sync::{Mutex, OnceCell, Semaphore};
use tokio::time::Instant;

use crate::access::{self, Access, Members};
use crate::balance;
use crate::config::{Clock, NodeConfig, raft_config};
use crate::divergence::DigestCheck;
use crate::driving::Driving;
use crate::error::{NodeError, PlacementSnafu, RaftSnafu, ShardsSnafu};
use crate::fairness::Fairness;
use crate::folder::Identity;
use crate::limits::{FOUNDING_WAIT, HANDOVER_WAIT, OPEN_AT_ONCE, RATE_EVERY};
use crate::map;
use crate::opening::Opening;
use crate::placement;
use crate::pulse;
use crate::raft_serve;
use crate::requests;
use crate::shard::{Shard, parse_address};
use crate::ticking;
use crate::two_phase;
use crate::waiting::{self, Lost};

/// A running node: replicas of many shards, each a member of its shard's Raft group, behind one
/// interface ([`aspen_client::KeyValueStore`]).
pub struct ShardedRaftNode {
    handle: Weak<ShardedRaftNode>,
    own_client: OnceCell<Client>,
    opening: Opening,
    places: BTreeMap<ShardId, Place>,
    map: map::Copy,
    access: Access,
    driving: Driving,
    digest_check: Duration,
    stopping: AtomicBool,
    clock: Clock,
    watchers: std::sync::Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

/// Where a replica is, or may be one day.
#[derive(Default)]
struct Place {
    /// While the replica runs here.
    replica: RwLock<Option<Arc<Shard>>>,
    /// Why it does not yet.
    waits: std::sync::Mutex<Option<String>>,
    /// Held by whoever opens or deletes the replica.
    changing: Mutex<()>,
}

impl Place {
    fn replica(&self) -> Option<Arc<Shard>> {
        self.replica.read().expect("no panic under the lock").clone()
    }
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
        let access = Access::new(&identity);
        let heartbeat = Duration::from_millis(raft.heartbeat_interval);
        let fairness = Arc::<Fairness>::default();
        let at_once = Semaphore::new(OPEN_AT_ONCE);
        let opening = Opening {
            identity,
            router,
            states,
            log,
            raft,
            transport,
            functions,
            fairness,
            at_once,
        };
        let places = router.all().chain([ShardId::SYSTEM]);
        let node = Arc::new_cyclic(|handle| ShardedRaftNode {
            handle: handle.clone(),
            own_client: OnceCell::new(),
            opening,
            places: places.map(|shard| (shard, Place::default())).collect(),
            map: map::Copy::default(),
            access,
            driving: Driving::default(),
            digest_check: timing.digest_check,
            stopping: AtomicBool::new(false),
            clock,
            watchers: std::sync::Mutex::default(),
        });
        node.open_replica(ShardId::SYSTEM).await?;
        node.look_at_map();
        // What has files here is a member until its group says otherwise, whatever the map says.
        let is_here = |shard: &ShardId| {
            let has_log = || node.opening.log.shard(*shard).last().is_some();
            let is_placed = || node.map().placement.hosts(node.id(), *shard);
            node.opening.dir(*shard).exists() || has_log() || is_placed()
        };
        let here: Vec<ShardId> = router.all().filter(is_here).collect();
        let mut opened = stream::iter(here)
            .map(|shard| {
                let node = node.clone();
                async move { node.open_replica(shard).await }
            })
            .buffered(OPEN_AT_ONCE);
        while let Some(opened) = opened.next().await {
            opened?;
        }
        drop(opened);
        node.watch(map::follow(Arc::downgrade(&node)));
        node.watch(placement::carry_out(Arc::downgrade(&node)));
        node.watch(pulse::pulse(Arc::downgrade(&node), heartbeat));
        node.watch(ticking::tick(Arc::downgrade(&node)));
        node.watch(node.fairness().clone().take_turns());
        node.watch(two_phase::sweep(Arc::downgrade(&node)));
        node.watch_digests();
        node.watch_rates();
        node.watch(balance::balance(Arc::downgrade(&node)));
        node.watch(access::learn(Arc::downgrade(&node), node.access.refused()));
        Ok(node)
    }

    /// Opens the replica of `shard`. If its state is lost and others have it, it waits for them.
    pub(crate) async fn open_replica(self: &Arc<Self>, shard: ShardId) -> Result<(), NodeError> {
        match self.opening.open(shard).await {
            Ok(replica) => self.runs(replica),
            Err(error) => self.lost(shard, error)?,
        }
        Ok(())
    }

    /// A replica is there.
    pub(crate) fn runs(&self, replica: Shard) {
        let place = &self.places[&replica.id];
        *place.replica.write().expect("no panic under the lock") = Some(Arc::new(replica));
        *place.waits.lock().expect("no panic under the lock") = None;
    }

    /// A replica is not there yet; `why` is for the status.
    pub(crate) fn waits(&self, shard: ShardId, why: &str) {
        tracing::warn!("{shard} is {why}");
        let mut waits = self.places[&shard].waits.lock().expect("no panic under the lock");
        *waits = Some(why.to_string());
    }

    /// If the state of `shard` is lost and there are others who have it, lets it wait for them.
    fn lost(self: &Arc<Self>, shard: ShardId, error: NodeError) -> Result<(), NodeError> {
        let NodeError::Store { source: StoreError::StateLost { purged, .. } } = error else {
            return Err(error);
        };
        let Some(lost) = Lost::of(self, shard, purged)? else { return Err(error) };
        self.waits(shard, "waiting for a snapshot from another replica");
        if shard == ShardId::SYSTEM {
            let members = lost.members.iter().filter_map(|address| parse_address(address));
            let members = members.chain([self.opening.identity.address]);
            self.access.set_members(Members::at(members));
        }
        let node = Arc::downgrade(self);
        self.watch(async move { waiting::wait(node, shard, lost).await });
        Ok(())
    }

    /// Deletes the replica of `shard`, all but its vote. It must be a member of its group no more.
    pub(crate) async fn delete_replica(&self, shard: ShardId) -> Result<(), NodeError> {
        let place = &self.places[&shard];
        let replica = place.replica.write().expect("no panic under the lock").take();
        if let Some(replica) = replica {
            replica.views.end();
            // Fails only when the group has stopped already.
            let _ = replica.raft.shutdown().await;
            replica.reader.closed().await;
        }
        let deleted = self.opening.delete(shard).await;
        *place.waits.lock().expect("no panic under the lock") = None;
        deleted
    }

    /// Creates the cluster: this node and `members` are its nodes from the start. Once per cluster;
    /// doing it again changes nothing. Returns before all of it is there: the others must run too.
    pub async fn initialize(
        self: &Arc<Self>,
        members: &[(NodeId, PeerAddr)],
    ) -> Result<(), NodeError> {
        let members = || members.iter().map(|(id, address)| (*id, address.to_string()));
        let Identity { shards, factor, .. } = self.opening.identity;
        let placement = Placement::initial(members(), shards, factor);
        let placement = placement.context(PlacementSnafu)?;
        if let Some(system) = self.shard(ShardId::SYSTEM) {
            self.create_group(&system, members().collect()).await?;
        }
        self.watch(placement::found_map(Arc::downgrade(self), placement));
        Ok(())
    }

    /// Waits until a new cluster answers requests for what is on this node, or some seconds.
    pub async fn founded(&self) {
        // If not, requests wait.
        let _ = placement::is_served(self, FOUNDING_WAIT).await;
    }

    /// Creates the Raft group of `shard`, unless there is one.
    pub(crate) async fn create_group(
        &self,
        shard: &Shard,
        members: Vec<(NodeId, String)>,
    ) -> Result<(), NodeError> {
        let what = "the cluster cannot be created";
        let started = shard.raft.is_initialized().await;
        if started.boxed().context(RaftSnafu { what })? {
            return Ok(());
        }
        let member =
            |(id, address): (NodeId, String)| (id.get(), openraft::BasicNode::new(address));
        let members: BTreeMap<u64, openraft::BasicNode> = members.into_iter().map(member).collect();
        shard.raft.initialize(members).await.boxed().context(RaftSnafu { what })?;
        self.watch(repeat_first_election(shard.raft.clone()));
        Ok(())
    }

    /// Stops gracefully: refuses new requests, hands the lead over, finishes what is under way and
    /// closes the storage. Nothing acknowledged depends on it.
    pub async fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        let watchers = std::mem::take(&mut *self.watchers.lock().expect("no panic under the lock"));
        for watcher in watchers {
            watcher.abort();
            // Aborted: the result says just that.
            let _ = watcher.await;
        }
        let shards: Vec<Arc<Shard>> = self.shards().collect();
        join_all(shards.iter().map(|shard| shard.hand_over(HANDOVER_WAIT))).await;
        let close = async |shard: &Arc<Shard>| {
            shard.views.end();
            // Fails only when the group has stopped already.
            let _ = shard.raft.shutdown().await;
            shard.reader.closed().await;
        };
        join_all(shards.iter().map(close)).await;
        // What was acknowledged is on disk already; a failing disk has stopped the shards.
        let _ = self.opening.log.clone().close().await;
    }

    /// The node's id.
    pub fn id(&self) -> NodeId {
        self.opening.identity.node
    }

    /// The cluster's id.
    pub fn cluster(&self) -> u128 {
        self.opening.identity.cluster
    }

    /// Which key lives where.
    pub fn router(&self) -> ShardRouter {
        self.opening.router
    }

    /// Whether this node leads `shard`, as it knows.
    pub fn leads(&self, shard: ShardId) -> bool {
        self.shard(shard).is_some_and(|shard| shard.leader() == Some(self.id()))
    }

    /// How many shards this node leads, the system group aside.
    pub(crate) fn leads_count(&self) -> usize {
        self.router().all().filter(|shard| self.leads(*shard)).count()
    }

    /// How the replica of `shard` is.
    pub fn shard_status(&self, shard: ShardId) -> Option<aspen_core::ShardStatus> {
        let waits = || Some(waiting::status(shard, self.waiting(shard)?));
        self.shard(shard).map(|shard| shard.status()).or_else(waits)
    }

    /// The replica of `shard`, if it is here.
    pub(crate) fn shard(&self, shard: ShardId) -> Option<Arc<Shard>> {
        self.places.get(&shard)?.replica()
    }

    /// Why there is no replica of `shard` yet.
    pub(crate) fn waiting(&self, shard: ShardId) -> Option<String> {
        self.places.get(&shard)?.waits.lock().expect("no panic under the lock").clone()
    }

    /// Held by whoever opens or deletes the replica of `shard`, which the cluster must have.
    pub(crate) fn changing(&self, shard: ShardId) -> &Mutex<()> {
        &self.places[&shard].changing
    }

    /// The replicas that are here, that of the system group last.
    pub(crate) fn shards(&self) -> impl Iterator<Item = Arc<Shard>> {
        self.places.values().filter_map(Place::replica)
    }

    pub(crate) fn handle(&self) -> &Weak<ShardedRaftNode> {
        &self.handle
    }

    pub(crate) fn own_client(&self) -> &OnceCell<Client> {
        &self.own_client
    }

    pub(crate) fn map_copy(&self) -> &map::Copy {
        &self.map
    }

    pub(crate) fn opening(&self) -> &Opening {
        &self.opening
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    pub(crate) fn driving(&self) -> &Driving {
        &self.driving
    }

    pub(crate) fn functions(&self) -> &Arc<WasmFunctions> {
        &self.opening.functions
    }

    pub(crate) fn fairness(&self) -> &Arc<Fairness> {
        &self.opening.fairness
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// This machine's clock, in milliseconds since 1970. Read for the stamp of a proposal alone.
    pub(crate) fn clock_ms(&self) -> u64 {
        self.clock.now_ms()
    }
}

impl ShardedRaftNode {
    /// Compares digests, for each shard by itself: one that is slow holds up no other. One clock
    /// wakes them all, and a shard at rest is not even asked.
    fn watch_digests(self: &Arc<Self>) {
        let (node, every) = (Arc::downgrade(self), self.digest_check);
        // Of those that are not being compared just now.
        let mut resting: BTreeMap<ShardId, DigestCheck> = BTreeMap::new();
        let mut compared: BTreeSet<ShardId> = BTreeSet::new();
        self.watch(async move {
            let mut running = FuturesUnordered::new();
            let mut next = Instant::now() + every;
            loop {
                tokio::select! {
                    biased;
                    Some((shard, check)) = running.next() => {
                        compared.remove(&shard);
                        resting.insert(shard, check);
                        continue;
                    }
                    () = tokio::time::sleep_until(next) => next = Instant::now() + every,
                }
                let Some(node) = node.upgrade() else { return };
                for shard in node.shards() {
                    shard.outgoing.expire();
                    let mut check = resting.remove(&shard.id).unwrap_or_default();
                    let is_due = !compared.contains(&shard.id)
                        && shard.reader.failed().is_none()
                        && !check.is_settled(&shard);
                    match is_due {
                        true => {
                            compared.insert(shard.id);
                            running.push(async move {
                                check.run(&shard).await;
                                (shard.id, check)
                            });
                        }
                        false => {
                            resting.insert(shard.id, check);
                        }
                    }
                }
            }
        });
    }

    /// Notes how far each replica has applied, and ends views that are over: by a clock that waits for
    /// no shard, for a view may keep one from applying.
    fn watch_rates(self: &Arc<Self>) {
        let node = Arc::downgrade(self);
        self.watch(async move {
            loop {
                tokio::time::sleep(RATE_EVERY).await;
                let Some(node) = node.upgrade() else { return };
                for shard in node.shards() {
                    shard.views.expire();
                    let applied = shard.reader.status().applied;
                    shard.rate.note(Instant::now(), applied.map_or(0, |log_id| log_id.index));
                }
            }
        });
    }

    /// Runs a task that ends with the node.
    fn watch(&self, task: impl Future<Output = ()> + Send + 'static) {
        let task = tokio::spawn(task);
        self.watchers.lock().expect("no panic under the lock").push(task);
    }
}

/// Elects until there is a leader. openraft (0.10.0-alpha.37) holds the first election at once and
/// counts itself as leader from then on, so should all votes get lost it would wait for ever.
async fn repeat_first_election(raft: aspen_store::Raft) {
    let patience = Duration::from_millis(raft.config().election_timeout_max);
    loop {
        tokio::time::sleep(patience).await;
        let has_leader = raft.metrics().borrow_watched().current_leader.is_some();
        // It fails only when the group has stopped.
        if has_leader || raft.trigger().elect(false).await.is_err() {
            return;
        }
    }
}

/// A node as its transport sees it.
pub struct NodeHandler(pub Arc<ShardedRaftNode>);

impl Handler for NodeHandler {
    fn admit(&self, from: PeerId, purpose: Purpose) -> Result<(), String> {
        self.0.access.admit(from, purpose)
    }

    fn handle(&self, from: PeerId, purpose: Purpose, body: Bytes) -> BoxFuture<Bytes> {
        let node = self.0.clone();
        match purpose {
            Purpose::Raft | Purpose::Snapshot => {
                Box::pin(async move { raft_serve::serve(&node, body).await })
            }
            Purpose::Client => Box::pin(async move { requests::serve(&node, from, body).await }),
        }
    }
}
