//! Three simulated machines, each running the product's node, and machines for clients.
//!
//! Promises what a machine room does: a machine stops in the middle of anything, starts again with
//! what its disk kept, and messages are late or lost. While the cluster runs it is watched: every
//! change of a leader goes into the trace, and two replicas that applied the same entries must have
//! the same digest at once, not only at the end.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aspen_client::{Client, Options};
use aspen_core::{Digest, LogIndex, NodeId, ShardId, ShardStatus};
use aspen_functions::WasmFunctions;
use aspen_net::{PeerAddr, PeerId, Transport};
use aspen_node::{Identity, Node, NodeConfig, NodeHandler, Timing};
use aspen_store::Log;
use madsim::net::NetSim;
use madsim::runtime::{Handle, NodeHandle};
use madsim::task::JoinHandle;
use madsim::time::{sleep, timeout};

use super::disk::SimDisk;
use super::trace::Trace;
use super::transport::SimTransport;

/// Nodes of the cluster.
pub const NODES: u8 = 3;

/// Shards: two, so that leaders differ and one log serves both.
const SHARDS: u16 = 2;

/// Clients that the nodes admit.
const CLIENTS: u8 = 8;

const CLUSTER: u128 = 0xa59e;

/// How often the replicas are looked at: several times between two elections.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long replicas may take to become equal once nobody writes: an election and a snapshot.
const CONVERGE_WAIT: Duration = Duration::from_secs(30);

/// How long a node may take to stop.
const STOP_WAIT: Duration = Duration::from_secs(20);

/// The cluster, seen from outside of it.
pub struct SimCluster {
    machines: BTreeMap<NodeId, Machine>,
    running: Running,
    trace: Trace,
    watch: JoinHandle<()>,
}

struct Machine {
    handle: NodeHandle,
    disk: SimDisk,
}

/// The nodes that run now.
#[derive(Clone, Default)]
struct Running(Arc<Mutex<BTreeMap<NodeId, Arc<Node>>>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Arc<Node>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> Vec<(NodeId, ShardStatus)> {
        let running = self.lock();
        let shards = (0..SHARDS).map(ShardId::new);
        let all = shards.flat_map(|shard| running.iter().map(move |(id, node)| (id, node, shard)));
        all.filter_map(|(id, node, shard)| Some((*id, node.shard_status(shard)?))).collect()
    }
}

/// What one start of a node needs.
#[derive(Clone)]
struct Boot {
    identity: Identity,
    founders: Vec<(NodeId, PeerAddr)>,
    states: PathBuf,
    disk: SimDisk,
    running: Running,
    trace: Trace,
}

fn node_address(number: u8) -> PeerAddr {
    let addr = SocketAddr::from(([10, 0, 0, number], 4000));
    PeerAddr { id: PeerId::from_bytes([number; 32]), addr }
}

fn client_address(number: u8) -> PeerAddr {
    let addr = SocketAddr::from(([10, 0, 1, number], 4000));
    PeerAddr { id: PeerId::from_bytes([0xc0 + number; 32]), addr }
}

impl SimCluster {
    /// Starts the nodes with empty disks, their states in files under `states`.
    pub fn start(states: &Path, trace: &Trace) -> SimCluster {
        let running = Running::default();
        let numbers = 1..=NODES;
        let founder = |number| (NodeId::new(u64::from(number)), node_address(number));
        let founders: Vec<_> = numbers.clone().map(founder).collect();
        let mut machines = BTreeMap::new();
        for number in numbers {
            let (id, address) = founder(number);
            let disk = SimDisk::default();
            let mut identity = Identity::new(CLUSTER, id, SHARDS, address);
            identity.peers = founders.iter().map(|(_, address)| *address).collect();
            identity.clients = (1..=CLIENTS).map(|number| client_address(number).id).collect();
            let boot = Boot {
                identity,
                founders: founders.clone(),
                states: states.join(format!("n{number}")),
                disk: disk.clone(),
                running: running.clone(),
                trace: trace.clone(),
            };
            let handle = Handle::current();
            let machine = handle.create_node().name(format!("n{number}")).ip(address.addr.ip());
            let handle = machine.init(move || boot.clone().run()).build();
            machines.insert(id, Machine { handle, disk });
        }
        let watch = madsim::task::spawn(watch(running.clone(), trace.clone()));
        SimCluster { machines, running, trace: trace.clone(), watch }
    }

    /// Runs `work` with a client of its own on a machine of its own.
    pub fn run_client<W, F>(&self, number: u8, work: W) -> JoinHandle<F::Output>
    where
        W: FnOnce(Client) -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        assert!((1..=CLIENTS).contains(&number), "the nodes admit {CLIENTS} clients");
        let address = client_address(number);
        let handle = Handle::current();
        let machine = handle.create_node().name(format!("c{number}")).ip(address.addr.ip()).build();
        let (nodes, trace) = ((1..=NODES).map(node_address).collect(), self.trace.clone());
        machine.spawn(async move {
            let transport = SimTransport::bind(address, trace).await.expect("the address is free");
            let options = Options { attempt: Duration::from_secs(1), ..Options::default() };
            let client = Client::over(transport, nodes, options).await;
            work(client.expect("two of three nodes are always there")).await
        })
    }

    /// The node that leads `shard`, as most recently heard by any; waits until there is one.
    pub async fn leader(&self, shard: ShardId) -> NodeId {
        loop {
            let status = self.running.status().into_iter().map(|(_, status)| status);
            let of_shard = status.filter(|status| status.shard == shard);
            let newest = of_shard.max_by_key(|status| (status.term, status.leader.is_some()));
            if let Some(leader) = newest.and_then(|status| status.leader) {
                return leader;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// The power of node `id` fails after `operations` more of its log's disk. Waits for it.
    pub async fn fail_power(&self, id: NodeId, operations: u32) {
        let Machine { handle, disk } = &self.machines[&id];
        disk.fail_power(handle.id(), operations).await;
        Handle::current().kill(handle.id());
        let node = self.running.lock().remove(&id);
        assert!(node.is_some(), "{id} ran until now");
        drop(node);
        let (kept, lost) = disk.settle();
        self.trace.event(format_args!("{id} loses power, sectors kept {kept} lost {lost}"));
    }

    /// Starts node `id` again.
    pub fn restart(&self, id: NodeId) {
        self.trace.event(format_args!("{id} restarts"));
        let machine = self.machines[&id].handle.id();
        NetSim::current().unclog_node(machine);
        Handle::current().restart(machine);
    }

    /// Waits until every node has applied the same entries; all must have computed the same.
    pub async fn converge(&self) {
        let equal = async {
            loop {
                let status = self.running.status();
                if status.len() == usize::from(NODES) * usize::from(SHARDS) && is_equal(&status) {
                    return status;
                }
                sleep(LOOK_EVERY).await;
            }
        };
        let Ok(equal) = timeout(CONVERGE_WAIT, equal).await else {
            panic!("replicas stay apart: {:#?}", self.running.status());
        };
        for (id, status) in equal {
            let ShardStatus { shard, applied, snapshot, revision, digest, keys, .. } = status;
            self.trace.event(format_args!(
                "{id} {shard} {applied} {revision} {keys} keys, snapshot {snapshot}, digest {digest}"
            ));
        }
    }

    /// Stops every node gracefully, then its machine.
    pub async fn stop(self) {
        self.watch.abort();
        for (id, machine) in &self.machines {
            let node = self.running.lock().remove(id).expect("every node runs at the end");
            let stopped = timeout(STOP_WAIT, node.stop()).await;
            stopped.unwrap_or_else(|_| panic!("{id} does not stop"));
            Handle::current().kill(machine.handle.id());
        }
        // The tasks of a killed machine end, and close their files, at their next turn.
        sleep(LOOK_EVERY).await;
        self.trace.event("all nodes are stopped");
    }
}

impl Boot {
    async fn run(self) {
        let Boot { identity, founders, states, disk, running, trace } = self;
        let (id, address) = (identity.node, identity.address);
        let transport =
            SimTransport::bind(address, trace.clone()).await.expect("the address is free");
        let options = aspen_functions::Options {
            cache: Some(states.join("modules")),
            ..aspen_functions::Options::default()
        };
        let functions = Arc::new(WasmFunctions::new(options).expect("the engine starts"));
        let log = Log::with_backend(disk.attach(), identity.store()).expect("the log opens");
        // Few entries are kept, so that a node that was away needs a snapshot.
        let timing = Timing {
            heartbeat: Duration::from_millis(100),
            election: Duration::from_millis(500),
            snapshot_every: 50,
            log_keep: 10,
            ..Timing::default()
        };
        let config = NodeConfig { identity, states, timing };
        let network: Arc<dyn Transport> = transport.clone();
        let node = Node::start(config, log, network, functions).await.expect("the node starts");
        transport.serve(Arc::new(NodeHandler(node.clone())));
        running.lock().insert(id, node.clone());
        trace.event(format_args!("{id} runs"));
        if founders[0].0 == id {
            node.initialize(&founders).await.expect("the cluster is created");
        }
        // madsim stops a machine whose first task ends.
        std::future::pending().await
    }
}

fn is_equal(status: &[(NodeId, ShardStatus)]) -> bool {
    status.iter().all(|(_, a)| {
        let mut others = status.iter().map(|(_, b)| b).filter(|b| b.shard == a.shard);
        assert_eq!(a.failed, None, "no replica stops by itself");
        a.last == a.applied && others.all(|b| (b.applied, b.digest) == (a.applied, a.digest))
    })
}

/// Looks at the replicas until it is aborted.
async fn watch(running: Running, trace: Trace) {
    let mut leaders: BTreeMap<(NodeId, ShardId), (u64, Option<NodeId>)> = BTreeMap::new();
    let mut digests: BTreeMap<(ShardId, LogIndex), Digest> = BTreeMap::new();
    for look in 0u64.. {
        for (id, status) in running.status() {
            let ShardStatus { shard, term, leader, applied, digest, .. } = status;
            if leaders.insert((id, shard), (term, leader)) != Some((term, leader)) {
                let leader = leader.map_or("nobody".into(), |leader| leader.to_string());
                trace.event(format_args!("{id} {shard} term {term} led by {leader}"));
            }
            let first = *digests.entry((shard, applied)).or_insert(digest);
            assert_eq!(first, digest, "{id} computed otherwise than another at {shard} {applied}");
        }
        if look % 50 == 0 {
            trace.checkpoint();
        }
        sleep(LOOK_EVERY).await;
    }
}
