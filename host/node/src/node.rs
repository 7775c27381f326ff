//! The node itself: started from a folder, answering as a [`Handler`], stopped gracefully.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use aspen_core::{NodeId, ShardId, ShardRouter};
use aspen_functions::WasmFunctions;
use aspen_net::{BoxFuture, Handler, PeerAddr, PeerId, Purpose, Transport};
use aspen_store::{Log, StoreError};
use bytes::Bytes;
use futures::future::join_all;
use futures::stream::{self, FuturesUnordered, StreamExt};
use openraft::async_runtime::WatchReceiver;
use openraft::{Config, SnapshotPolicy};
use snafu::ResultExt;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::access::{self, Access, Members};
use crate::balance;
use crate::divergence::DigestCheck;
use crate::driving::Driving;
use crate::error::{NodeError, RaftSnafu, ShardsSnafu};
use crate::folder::Identity;
use crate::limits::{
    APPEND_ENTRIES_MAX, DIGEST_CHECK, EXPIRY_CHECK, HANDOVER_WAIT, HEARTBEAT_SHARE, LOG_KEEP,
    OPEN_AT_ONCE, RATE_EVERY, SNAPSHOT_EVERY,
};
use crate::opening::Opening;
use crate::pulse;
use crate::raft_serve;
use crate::requests;
use crate::shard::{Shard, parse_address};
use crate::two_phase;
use crate::waiting::{self, Lost};

/// How fast a node notices that a leader is gone, and how often it makes snapshots.
///
/// With many shards heartbeats are rarer than this, and elections later, so that an idle shard costs
/// next to nothing: from 50 shards on each has a heartbeat every 4 ms times the number of shards.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Between two heartbeats of a leader.
    pub heartbeat: Duration,
    /// A follower waits between this and twice this for a leader before it stands for election.
    pub election: Duration,
    /// Entries between two snapshots.
    pub snapshot_every: u64,
    /// Entries kept behind a snapshot.
    pub log_keep: u64,
    /// Between two comparisons of digests with the other voters.
    pub digest_check: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(200),
            election: Duration::from_millis(1000),
            snapshot_every: SNAPSHOT_EVERY,
            log_keep: LOG_KEEP,
            digest_check: DIGEST_CHECK,
        }
    }
}

/// What a node starts from.
pub struct NodeConfig {
    /// Who it is.
    pub identity: Identity,
    /// Folder of the shards' states.
    pub states: PathBuf,
    /// Its timing.
    pub timing: Timing,
    /// Its clock.
    pub clock: Clock,
}

/// A machine's clock: what stamps the entries that its node proposes. Nothing else reads it.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead_ms: Arc<AtomicI64>,
}

impl Clock {
    /// The system's.
    pub fn system() -> Clock {
        Clock::default()
    }

    /// Lets it differ from the system's by so many milliseconds: machines' clocks never agree.
    pub fn set_ahead(&self, ahead_ms: i64) {
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
    }

    /// Milliseconds since 1970.
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = since.map_or(0, |since| since.as_millis() as u64);
        now.saturating_add_signed(self.ahead_ms.load(Ordering::Relaxed))
    }
}

/// A running node.
pub struct Node {
    opening: Opening,
    places: BTreeMap<ShardId, Place>,
    access: Access,
    driving: Driving,
    digest_check: Duration,
    stopping: AtomicBool,
    clock: Clock,
    pub(crate) changing: Mutex<()>,
    watchers: std::sync::Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

/// Where a replica is, or will be.
#[derive(Default)]
struct Place {
    /// Set once, when the replica runs.
    replica: OnceLock<Shard>,
    /// Why it does not yet.
    waits: std::sync::Mutex<Option<String>>,
}

impl Node {
    /// Opens the storage and joins the Raft groups. Serving starts when the caller gives a
    /// [`NodeHandler`] of the node to its transport.
    pub async fn start(
        config: NodeConfig,
        log: Log,
        transport: Arc<dyn Transport>,
        functions: Arc<WasmFunctions>,
    ) -> Result<Arc<Node>, NodeError> {
        let NodeConfig { identity, states, timing, clock } = config;
        let shards = identity.shards;
        let router = ShardRouter::new(shards).ok();
        let Some(router) = router else { return ShardsSnafu { shards }.fail() };
        let raft = Arc::new(raft_config(&timing, shards, identity.cluster)?);
        let access = Access::new(&identity);
        let heartbeat = Duration::from_millis(raft.heartbeat_interval);
        let opening = Opening { identity, router, states, log, raft, transport, functions };
        let node = Arc::new(Node {
            opening,
            places: router.all().map(|shard| (shard, Place::default())).collect(),
            access,
            driving: Driving::default(),
            digest_check: timing.digest_check,
            stopping: AtomicBool::new(false),
            clock,
            changing: Mutex::new(()),
            watchers: std::sync::Mutex::default(),
        });
        let open = |shard| {
            let node = node.clone();
            async move { (shard, node.opening.open(shard).await) }
        };
        let mut opened = stream::iter(router.all()).map(open).buffered(OPEN_AT_ONCE);
        while let Some((shard, opened)) = opened.next().await {
            match opened {
                Ok(replica) => node.runs(replica),
                Err(error) => node.lost(shard, error)?,
            }
        }
        drop(opened);
        node.watch(pulse::pulse(Arc::downgrade(&node), heartbeat));
        node.watch_leases();
        node.watch(two_phase::sweep(Arc::downgrade(&node)));
        node.watch_digests();
        node.watch_rates();
        node.watch(balance::balance(Arc::downgrade(&node)));
        node.watch(access::learn(Arc::downgrade(&node), node.access.refused()));
        Ok(node)
    }

    /// A replica is there.
    pub(crate) fn runs(self: &Arc<Self>, replica: Shard) {
        let shard = replica.id;
        // Set once: a replica that runs is not opened again.
        let _ = self.places[&shard].replica.set(replica);
        if shard == ShardId::new(0) {
            self.watch_members();
        }
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
        if shard == ShardId::new(0) {
            let members = lost.members.iter().filter_map(|address| parse_address(address));
            let members = members.chain([self.opening.identity.address]);
            self.access.set_members(Members::at(members));
        }
        let node = Arc::downgrade(self);
        self.watch(async move { waiting::wait(node, shard, lost).await });
        Ok(())
    }

    /// Creates the cluster: this node and `members` vote from the start. Once per cluster; doing it
    /// again changes nothing.
    pub async fn initialize(&self, members: &[(NodeId, PeerAddr)]) -> Result<(), NodeError> {
        let what = "the cluster cannot be created";
        for shard in self.shards() {
            let started = shard.raft.is_initialized().await;
            if started.boxed().context(RaftSnafu { what })? {
                continue;
            }
            let member =
                |(id, peer): &(NodeId, PeerAddr)| (id.get(), openraft::BasicNode::new(peer));
            let members: BTreeMap<u64, openraft::BasicNode> = members.iter().map(member).collect();
            shard.raft.initialize(members).await.boxed().context(RaftSnafu { what })?;
            let watcher = tokio::spawn(repeat_first_election(shard.raft.clone()));
            self.watchers.lock().expect("no panic under the lock").push(watcher);
        }
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
        join_all(self.shards().map(|shard| shard.hand_over(HANDOVER_WAIT))).await;
        let close = async |shard: &Shard| {
            shard.views.end();
            // Fails only when the group has stopped already.
            let _ = shard.raft.shutdown().await;
            shard.reader.closed().await;
        };
        join_all(self.shards().map(close)).await;
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

    /// How the replica of `shard` is.
    pub fn shard_status(&self, shard: ShardId) -> Option<aspen_core::ShardStatus> {
        let waits = || Some(waiting::status(shard, self.waiting(shard)?));
        self.shard(shard).map(Shard::status).or_else(waits)
    }

    /// The replica of `shard`, if it runs or ran here.
    pub(crate) fn shard(&self, shard: ShardId) -> Option<&Shard> {
        self.places.get(&shard)?.replica.get()
    }

    /// Why there is no replica of `shard` yet.
    pub(crate) fn waiting(&self, shard: ShardId) -> Option<String> {
        self.places.get(&shard)?.waits.lock().expect("no panic under the lock").clone()
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.places.values().filter_map(|place| place.replica.get())
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

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// This machine's clock, in milliseconds since 1970. Read for the stamp of a proposal alone.
    pub(crate) fn clock_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Keeps the access list equal to the membership of the first shard.
    fn watch_members(self: &Arc<Self>) {
        let Some(first) = self.shard(ShardId::new(0)) else { return };
        // These change with the members and the leader, all of them with every batch.
        let mut metrics = first.raft.server_metrics();
        let node = Arc::downgrade(self);
        self.watch(async move {
            let mut last = None;
            loop {
                let membership = metrics.borrow_watched().membership_config.clone();
                if last.as_ref() != Some(&membership) {
                    let Some(node) = node.upgrade() else { return };
                    node.access.set_members(Members::from(&*membership));
                    last = Some(membership);
                }
                if metrics.changed().await.is_err() {
                    return;
                }
            }
        });
    }
}

impl Node {
    /// Where this node leads and a lease is over by its clock, lets it expire: by an entry, because
    /// only entries end leases.
    fn watch_leases(self: &Arc<Self>) {
        let node = Arc::downgrade(self);
        self.watch(async move {
            loop {
                tokio::time::sleep(EXPIRY_CHECK).await;
                let Some(node) = node.upgrade() else { return };
                for shard in node.shards() {
                    let due = shard.reader.next_due();
                    if due.is_some_and(|due| due.get() <= node.clock_ms()) && node.leads(shard.id) {
                        requests::tick(&node, shard).await;
                    }
                }
            }
        });
    }
}

impl Node {
    /// Compares digests, for each shard by itself: one that is slow holds up no other. One clock
    /// wakes them all, and a shard at rest is not even asked.
    fn watch_digests(self: &Arc<Self>) {
        let (node, every) = (Arc::downgrade(self), self.digest_check);
        let mut resting: BTreeMap<_, _> =
            self.router().all().map(|shard| (shard, DigestCheck::default())).collect();
        self.watch(async move {
            let mut running = FuturesUnordered::new();
            let mut next = Instant::now() + every;
            loop {
                tokio::select! {
                    biased;
                    // One that took its replica out of service was the last for it.
                    Some((shard, check, false)) = running.next() => {
                        resting.insert(shard, check);
                        continue;
                    }
                    () = tokio::time::sleep_until(next) => next = Instant::now() + every,
                }
                let Some(node) = node.upgrade() else { return };
                for shard in node.shards() {
                    shard.outgoing.expire();
                    let is_due = |check: &DigestCheck| !check.is_settled(shard);
                    if resting.get(&shard.id).is_some_and(is_due)
                        && let Some(check) = resting.remove(&shard.id)
                    {
                        running.push(compare(node.clone(), shard.id, check));
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

/// Compares the digests of one shard; returns whether its replica took itself out of service.
async fn compare(
    node: Arc<Node>,
    shard: ShardId,
    mut check: DigestCheck,
) -> (ShardId, DigestCheck, bool) {
    let stopped = match node.shard(shard) {
        Some(shard) => check.run(shard).await,
        None => false,
    };
    (shard, check, stopped)
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

fn raft_config(timing: &Timing, shards: u16, cluster: u128) -> Result<Config, NodeError> {
    let heartbeat = timing.heartbeat.max(HEARTBEAT_SHARE * u32::from(shards));
    // A heartbeat that is lost or late must not cost the lead.
    let election = timing.election.max(heartbeat * 3 / 2);
    let (heartbeat, election) = (heartbeat.as_millis() as u64, election.as_millis() as u64);
    let config = Config {
        cluster_name: format!("{cluster:032x}"),
        heartbeat_interval: heartbeat,
        election_timeout_min: election,
        election_timeout_max: 2 * election,
        max_payload_entries: APPEND_ENTRIES_MAX,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(timing.snapshot_every),
        max_in_snapshot_log_to_keep: timing.log_keep,
        // A restarted leader must not lead its old term without an election.
        enable_leader_restore: Some(false),
        // A node that was cut off must not depose a working leader when it comes back.
        enable_pre_vote: Some(true),
        ..Config::default()
    };
    config.validate().boxed().context(RaftSnafu { what: "the timing makes no sense" })
}

/// A node as its transport sees it.
pub struct NodeHandler(pub Arc<Node>);

impl Handler for NodeHandler {
    fn admit(&self, from: PeerId, purpose: Purpose) -> Result<(), String> {
        self.0.access.admit(from, purpose)
    }

    fn handle(&self, from: PeerId, purpose: Purpose, body: Bytes) -> BoxFuture<Bytes> {
        let node = self.0.clone();
        Box::pin(async move {
            match purpose {
                Purpose::Raft | Purpose::Snapshot => raft_serve::serve(&node, body).await,
                Purpose::Client => requests::serve(&node, from, body).await,
            }
        })
    }
}
