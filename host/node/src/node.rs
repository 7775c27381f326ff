//! The node itself: started from a folder, answering as a [`Handler`], stopped gracefully.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aspen_core::{NodeId, ShardId, ShardRouter};
use aspen_functions::WasmFunctions;
use aspen_net::{BoxFuture, Handler, PeerAddr, PeerId, Purpose, Transport};
use aspen_store::{Log, StateConfig, StateMachine};
use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use openraft::{Config, SnapshotPolicy};
use snafu::ResultExt;
use tokio::sync::Mutex;

use crate::access::Access;
use crate::error::{NodeError, RaftSnafu, ShardsSnafu};
use crate::folder::Identity;
use crate::limits::{APPEND_ENTRIES_MAX, EXPIRY_CHECK, HANDOVER_WAIT, LOG_KEEP, SNAPSHOT_EVERY};
use crate::raft_net::RaftNet;
use crate::raft_serve;
use crate::requests;
use crate::shard::{Shard, parse_address};

/// How fast a node notices that a leader is gone, and how often it makes snapshots.
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
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(200),
            election: Duration::from_millis(1000),
            snapshot_every: SNAPSHOT_EVERY,
            log_keep: LOG_KEEP,
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
    identity: Identity,
    router: ShardRouter,
    shards: BTreeMap<ShardId, Shard>,
    functions: Arc<WasmFunctions>,
    access: Access,
    log: Log,
    stopping: AtomicBool,
    clock: Clock,
    pub(crate) changing: Mutex<()>,
    watchers: std::sync::Mutex<Vec<tokio::task::JoinHandle<()>>>,
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
        let raft_config = Arc::new(raft_config(&timing, identity.cluster)?);
        let mut replicas = BTreeMap::new();
        for shard in router.all() {
            let shard_log = log.shard(shard);
            let state = StateConfig {
                dir: states.join(format!("shard-{}", shard.get())),
                shard,
                router,
                identity: identity.store(),
                purged: shard_log.purged(),
                stack_bytes: aspen_functions::STACK_BYTES,
            };
            let (machine, reader) = StateMachine::open(state, functions.clone())?;
            let (transport, cluster) = (transport.clone(), identity.cluster);
            let net = RaftNet { transport, cluster, shard };
            let id = identity.node.get();
            let made =
                openraft::Raft::new(id, raft_config.clone(), net.clone(), shard_log, machine);
            let raft = made.await.boxed().context(RaftSnafu { what: "Raft does not start" })?;
            let (incoming, fresh) = Default::default();
            replicas.insert(shard, Shard { id: shard, raft, reader, incoming, net, fresh });
        }
        let access = Access::new(&identity);
        let node = Arc::new(Node {
            identity,
            router,
            shards: replicas,
            functions,
            access,
            log,
            stopping: AtomicBool::new(false),
            clock,
            changing: Mutex::new(()),
            watchers: std::sync::Mutex::default(),
        });
        node.watch_members();
        node.watch_leases();
        Ok(node)
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
        }
        Ok(())
    }

    /// Stops gracefully: refuses new requests, hands the lead over, finishes what is under way and
    /// closes the storage. Nothing acknowledged depends on it.
    pub async fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        for shard in self.shards() {
            shard.hand_over(HANDOVER_WAIT).await;
        }
        for shard in self.shards() {
            // Fails only when the group has stopped already.
            let _ = shard.raft.shutdown().await;
            shard.reader.closed().await;
        }
        // What was acknowledged is on disk already; a failing disk has stopped the shards.
        let _ = self.log.clone().close().await;
        let watchers = std::mem::take(&mut *self.watchers.lock().expect("no panic under the lock"));
        for watcher in watchers {
            watcher.abort();
            // Aborted: the result says just that.
            let _ = watcher.await;
        }
    }

    /// The node's id.
    pub fn id(&self) -> NodeId {
        self.identity.node
    }

    /// The cluster's id.
    pub fn cluster(&self) -> u128 {
        self.identity.cluster
    }

    /// Which key lives where.
    pub fn router(&self) -> ShardRouter {
        self.router
    }

    /// Whether this node leads `shard`, as it knows.
    pub fn leads(&self, shard: ShardId) -> bool {
        self.shard(shard).is_some_and(|shard| shard.leader() == Some(self.id()))
    }

    /// How the replica of `shard` is.
    pub fn shard_status(&self, shard: ShardId) -> Option<aspen_core::ShardStatus> {
        self.shard(shard).map(Shard::status)
    }

    /// How many sessions and leases the replica of `shard` holds: for whoever looks for leaks.
    pub async fn held(&self, shard: ShardId) -> Option<(usize, usize)> {
        let reader = &self.shard(shard)?.reader;
        let held =
            reader.inspect(|_, resident, _| Ok((resident.sessions.len(), resident.leases.len())));
        held.await.ok()
    }

    pub(crate) fn shard(&self, shard: ShardId) -> Option<&Shard> {
        self.shards.get(&shard)
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.values()
    }

    pub(crate) fn functions(&self) -> &Arc<WasmFunctions> {
        &self.functions
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
        let watcher = tokio::spawn(async move {
            let mut last = None;
            loop {
                let membership = metrics.borrow_watched().membership_config.clone();
                if last.as_ref() != Some(&membership) {
                    let Some(node) = node.upgrade() else { return };
                    node.access.set_members(member_keys(&membership));
                    last = Some(membership);
                }
                if metrics.changed().await.is_err() {
                    return;
                }
            }
        });
        self.watchers.lock().expect("no panic under the lock").push(watcher);
    }
}

impl Node {
    /// Where this node leads and a lease is over by its clock, lets it expire: by an entry, because
    /// only entries end leases.
    fn watch_leases(self: &Arc<Self>) {
        let node = Arc::downgrade(self);
        let watcher = tokio::spawn(async move {
            loop {
                tokio::time::sleep(EXPIRY_CHECK).await;
                let Some(node) = node.upgrade() else { return };
                for shard in node.shards().filter(|shard| node.leads(shard.id)) {
                    let due = shard.reader.status().next_due;
                    if due.is_some_and(|due| due.get() <= node.clock_ms()) {
                        requests::tick(&node, shard).await;
                    }
                }
            }
        });
        self.watchers.lock().expect("no panic under the lock").push(watcher);
    }
}

fn member_keys(membership: &aspen_store::StoredMembership) -> std::collections::BTreeSet<PeerId> {
    let nodes = membership.membership().nodes();
    nodes.filter_map(|(_, node)| Some(parse_address(&node.addr)?.id)).collect()
}

fn raft_config(timing: &Timing, cluster: u128) -> Result<Config, NodeError> {
    let election = timing.election.as_millis() as u64;
    let config = Config {
        cluster_name: format!("{cluster:032x}"),
        heartbeat_interval: timing.heartbeat.as_millis() as u64,
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
