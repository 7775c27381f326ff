//! Simulated machines, each running the product's node, and machines for clients.
//!
//! Promises what a machine room does: a machine stops in the middle of anything, starts again with
//! what its disk kept, and messages are late or lost. A node that refuses to start has halted: that
//! is noted with its reason, and is no failure of the run. While the cluster runs it is watched: see
//! `invariants.rs`.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aspen_client::{Client, Options};
use aspen_core::ids::{NodeId, ShardId};
use aspen_core::protocol::ReplicaStatus;
use aspen_net::{PeerAddr, PeerId};
use aspen_node::{Clock, Identity, ShardedRaftNode};
use aspen_store::sim_files;
use madsim::net::NetSim;
use madsim::runtime::{Handle, NodeHandle};
use madsim::task::JoinHandle;
use madsim::time::{sleep, timeout};

use super::boot::Boot;
use super::disk::{SimDisk, Trouble};
use super::invariants::Watch;
use super::network::Network;
use super::plan::Plan;
use super::running_nodes::RunningNodes;
use super::trace::Trace;
use super::transport::SimTransport;

/// Clients that the nodes admit.
pub const CLIENTS: u8 = 24;

const CLUSTER: u128 = 0xa59e;

/// The pause between two looks at the replicas: several looks between two elections.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The time that replicas may take to become equal once nobody writes: an election and a snapshot, of which
/// several pieces' answers may get lost, each noticed after 10 s (`SNAPSHOT_CHUNK_WAIT`).
pub const CONVERGE_WAIT: Duration = Duration::from_secs(120);

/// The time that a node may take to stop.
const STOP_WAIT: Duration = Duration::from_secs(20);

/// The time that a node may take to end while others are in trouble.
const END_WAIT: Duration = Duration::from_secs(3);

/// The time for which a power failure waits for the operations of a disk that it is to interrupt.
const CUT_WAIT: Duration = Duration::from_millis(300);

/// The cluster, seen from outside of it. Machines are named by number, from 1 on.
pub struct SimCluster {
    /// The number of nodes that founded the cluster; one machine more waits.
    pub founders: u8,
    pub shards: u16,
    /// The network beyond madsim's.
    pub network: Network,
    machines: BTreeMap<u8, Machine>,
    running: RunningNodes,
    trace: Trace,
    watch: Arc<Mutex<Watch>>,
    looker: JoinHandle<()>,
}

struct Machine {
    handle: NodeHandle,
    states: PathBuf,
    disk: SimDisk,
    clock: Clock,
    /// The identity of the machine's node, if the machine has one.
    seat: Arc<Mutex<Option<Identity>>>,
    /// True if the machine has power and was not killed.
    is_up: AtomicBool,
    leaks_clock: Arc<AtomicBool>,
    is_newer: Arc<AtomicBool>,
}

/// Returns the address of a machine's node.
pub fn node_address(number: u8) -> PeerAddr {
    let addr = SocketAddr::from(([10, 0, 0, number], 4000));
    PeerAddr { id: PeerId::from_bytes([number; 32]), addr }
}

fn client_address(number: u8) -> PeerAddr {
    let addr = SocketAddr::from(([10, 0, 1, number], 4000));
    PeerAddr { id: PeerId::from_bytes([0xc0 + number; 32]), addr }
}

impl SimCluster {
    /// Starts the nodes with empty disks, their states in files under `states`; what they synced
    /// is kept under `synced`.
    pub fn start(plan: &Plan, states: &Path, synced: &Path, trace: &Trace) -> SimCluster {
        sim_files::keep_synced(states, synced);
        let (running, network) = (RunningNodes::default(), Network::new(plan.duplicates));
        let numbers = 1..=plan.nodes;
        let founder = |number| (NodeId::new(u64::from(number)), node_address(number));
        let founders: Vec<_> = numbers.map(founder).collect();
        let mut machines = BTreeMap::new();
        for number in 1..=plan.nodes + 1 {
            let address = node_address(number);
            let mut identity =
                Identity::new(CLUSTER, NodeId::new(number.into()), plan.shards, address);
            identity.peers = founders.iter().map(|(_, address)| *address).collect();
            identity.clients = (1..=CLIENTS).map(|number| client_address(number).id).collect();
            let is_founder = number <= plan.nodes;
            let boot = Boot {
                number,
                seat: Arc::new(Mutex::new(is_founder.then_some(identity))),
                founders: founders.clone(),
                states: states.join(format!("n{number}")),
                disk: SimDisk::default(),
                clock: Clock::system(),
                timing: plan.timing,
                leaks_clock: Arc::default(),
                is_newer: Arc::default(),
                network: network.clone(),
                running: running.clone(),
                trace: trace.clone(),
            };
            boot.clock.set_ahead(rand::random_range(-plan.skew_ms..=plan.skew_ms));
            let (states, disk, clock) =
                (boot.states.clone(), boot.disk.clone(), boot.clock.clone());
            let (seat, leaks_clock) = (boot.seat.clone(), boot.leaks_clock.clone());
            let is_newer = boot.is_newer.clone();
            let simulator = Handle::current();
            let machine = simulator.create_node().name(format!("n{number}"));
            let machine = machine.ip(address.addr.ip());
            let handle = machine.init(move || boot.clone().run()).build();
            let is_up = AtomicBool::new(is_founder);
            let machine =
                Machine { handle, states, disk, clock, seat, is_up, leaks_clock, is_newer };
            machines.insert(number, machine);
        }
        let watch = Arc::new(Mutex::new(Watch::new(trace.clone())));
        let looks = look_on(running.clone(), watch.clone(), trace.clone());
        let looker = madsim::task::spawn(looks);
        let (founders, shards) = (plan.nodes, plan.shards);
        let trace = trace.clone();
        SimCluster { founders, shards, network, machines, running, trace, watch, looker }
    }

    /// Runs `work` with a client of its own on a machine of its own.
    pub fn run_client<W, F>(&self, number: u8, options: Options, work: W) -> JoinHandle<F::Output>
    where
        W: FnOnce(Client) -> F + Send + 'static,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        assert!((1..=CLIENTS).contains(&number), "the nodes admit {CLIENTS} clients");
        let address = client_address(number);
        let handle = Handle::current();
        let machine = handle.create_node().name(format!("c{number}")).ip(address.addr.ip()).build();
        let nodes: Vec<_> = (1..=self.founders).map(node_address).collect();
        let (network, trace) = (self.network.clone(), self.trace.clone());
        machine.spawn(async move {
            let transport = SimTransport::bind(address, network, trace).await;
            let transport = transport.expect("the address is free");
            loop {
                match Client::over(transport.clone(), nodes.clone(), options).await {
                    Ok(client) => return work(client).await,
                    Err(_) => sleep(Duration::from_millis(100)).await,
                }
            }
        })
    }

    /// Returns the machines that have a node.
    pub fn seated(&self) -> Vec<u8> {
        let has_node = |machine: &&u8| lock(&self.machines[*machine].seat).is_some();
        self.machines.keys().filter(has_node).copied().collect()
    }

    /// Returns the machines that have power.
    pub fn up(&self) -> Vec<u8> {
        let is_up = |number: &u8| self.machines[number].is_up.load(Ordering::Relaxed);
        self.seated().into_iter().filter(is_up).collect()
    }

    /// Returns the machine that leads `shard`, as the newest term says; none if nobody leads.
    pub fn leader(&self, shard: ShardId) -> Option<u8> {
        let status = self.running.status().into_iter().map(|(_, status)| status);
        let of_shard = status.filter(|status| status.shard == shard);
        let newest = of_shard.max_by_key(|status| (status.term, status.leader.is_some()))?;
        let running = self.running.lock();
        let leads = |(_, node): &(&u8, &Arc<ShardedRaftNode>)| Some(node.id()) == newest.leader;
        running.nodes.iter().find(leads).map(|(number, _)| *number)
    }

    /// Returns true if every shard has committed: before, the founder's log may be the only one.
    pub fn is_founded(&self) -> bool {
        let all = self.running.status();
        let has_committed = |shard: u16| {
            all.iter().any(|(_, of)| of.shard == ShardId::new(shard) && of.applied.get() > 0)
        };
        (0..self.shards).all(has_committed)
    }

    /// Returns the reasons why nodes do not start, by machine.
    pub fn halted(&self) -> BTreeMap<u8, String> {
        self.running.lock().halted.clone()
    }

    /// Kills the process of a machine's node. The operating system keeps all writes.
    pub fn crash(&self, number: u8) {
        self.machines[&number].disk.detach();
        self.take_down(number);
    }

    /// Ends a node in good order, if it can: without a majority it may take too long.
    pub async fn end(&self, number: u8) -> bool {
        let node = self.running.lock().nodes.get(&number).cloned();
        let is_ended = match node {
            Some(node) => timeout(END_WAIT, node.stop()).await.is_ok(),
            None => false,
        };
        self.crash(number);
        is_ended
    }

    /// The power of a machine fails after `operations` more of its log's disk. Waits for it.
    pub async fn fail_power(&self, number: u8, operations: u32) {
        let Machine { handle, states, disk, .. } = &self.machines[&number];
        disk.fail_power(handle.id(), operations, CUT_WAIT).await;
        self.take_down(number);
        let (kept, lost) = disk.settle();
        let states_lost = rand::random_bool(0.5);
        if states_lost {
            sim_files::lose_unsynced(states).expect("files can be copied");
        }
        let states = if states_lost { "lost" } else { "kept" };
        self.trace.event(format_args!(
            "  n{number} without power: sectors kept {kept} lost {lost}, unsynced states {states}"
        ));
    }

    fn take_down(&self, number: u8) {
        let machine = &self.machines[&number];
        machine.is_up.store(false, Ordering::Relaxed);
        Handle::current().kill(machine.handle.id());
        let mut running = self.running.lock();
        let (node, log) = (running.nodes.remove(&number), running.logs.remove(&number));
        running.halted.remove(&number);
        drop(running);
        drop((node, log));
    }

    /// Starts a machine again.
    pub fn restart(&self, number: u8) {
        self.trace.event(format_args!("  n{number} restarts"));
        let machine = &self.machines[&number];
        machine.is_up.store(true, Ordering::Relaxed);
        NetSim::current().unclog_node(machine.handle.id());
        Handle::current().restart(machine.handle.id());
    }

    /// Lets a machine do nothing, and go on.
    pub fn pause(&self, number: u8, is_paused: bool) {
        let machine = self.machines[&number].handle.id();
        match is_paused {
            true => Handle::current().pause(machine),
            false => Handle::current().resume(machine),
        }
    }

    /// Cuts or mends the way of messages from one machine to another.
    pub fn cut(&self, from: u8, to: u8, is_cut: bool) {
        let (from, to) = (self.machines[&from].handle.id(), self.machines[&to].handle.id());
        match is_cut {
            true => NetSim::current().clog_link(from, to),
            false => NetSim::current().unclog_link(from, to),
        }
    }

    /// Lets messages from one machine to another take this much longer.
    pub fn slow_link(&self, from: u8, to: u8, delay: Duration) {
        let ip = |number| node_address(number).addr.ip();
        self.network.slow_down(ip(from), ip(to), delay);
    }

    /// Sets how far a machine's clock is ahead of true time.
    pub fn set_clock(&self, number: u8, ahead_ms: i64) {
        self.machines[&number].clock.set_ahead(ahead_ms);
    }

    /// Lets each commit on this machine's disk take this long from now on.
    pub fn slow_disk(&self, number: u8, commit: Duration) {
        if let Some(log) = self.running.lock().logs.get(&number) {
            log.slow_down(commit);
        }
    }

    /// Gives the disk of a machine's log a trouble, or takes it away.
    pub fn trouble(&self, number: u8, trouble: Option<Trouble>) {
        self.machines[&number].disk.trouble(trouble);
    }

    /// Changes bits of the log of a machine that is down.
    pub fn rot_log(&self, number: u8, sectors: u32) {
        self.machines[&number].disk.rot(sectors);
    }

    /// The folder with the states of a machine.
    pub fn states(&self, number: u8) -> &Path {
        &self.machines[&number].states
    }

    /// From its next start on, the results of a machine's functions depend on its clock, or do not.
    pub fn leak_clock(&self, number: u8, leaks: bool) {
        self.machines[&number].leaks_clock.store(leaks, Ordering::Relaxed);
        self.running.lock().diverging = if leaks { self.node_id(number) } else { None };
    }

    /// Lets a machine start a newer program from its next start on, or the older one again.
    pub fn make_newer(&self, number: u8, is_newer: bool) {
        self.machines[&number].is_newer.store(is_newer, Ordering::Relaxed);
    }

    /// Returns the status of a machine's replicas.
    pub fn replicas(&self, number: u8) -> Vec<ReplicaStatus> {
        let id = self.node_id(number);
        let status = self.running.status().into_iter().filter(|(node, _)| Some(*node) == id);
        status.map(|(_, status)| status).collect()
    }

    /// Returns the point at which the diverging replica parted from the others: the last entry at which
    /// they were seen equal, and the first at which they were seen different.
    pub fn parted(
        &self,
        shard: ShardId,
    ) -> (aspen_core::ids::LogIndex, Option<aspen_core::ids::LogIndex>) {
        lock(&self.watch).parted(shard)
    }

    /// The node of a machine.
    pub fn node_id(&self, number: u8) -> Option<NodeId> {
        lock(&self.machines[&number].seat).as_ref().map(|identity| identity.node)
    }

    /// Gives machine `number`, which must be down or unused, new disks and the seat of a new node.
    pub fn seat(&self, number: u8, node: NodeId, peers: Vec<PeerAddr>) {
        let machine = &self.machines[&number];
        let mut identity = Identity::new(CLUSTER, node, self.shards, node_address(number));
        identity.peers = peers;
        identity.clients = (1..=CLIENTS).map(|number| client_address(number).id).collect();
        machine.disk.replace();
        if machine.states.exists() {
            fs::remove_dir_all(&machine.states).expect("the folder can be deleted");
        }
        sim_files::lose_all(&machine.states).expect("the copies can be deleted");
        *lock(&machine.seat) = Some(identity);
    }

    /// Returns the newest placement map that a running node knows.
    pub fn map(&self) -> Arc<aspen_node::PlacementMap> {
        let maps = self.nodes().into_iter().map(|node| node.map());
        maps.max_by_key(|map| map.epoch).unwrap_or_default()
    }

    /// Waits until every node has applied the same entries; all must have computed the same.
    pub async fn converge(&self) {
        let equal = async {
            loop {
                let (status, map) = (self.running.status(), self.map());
                let placed: usize = map.placement.shards.iter().map(|it| it.now.len()).sum();
                let is_whole = map.epoch > 0 && map.placement.is_settled();
                if is_whole && status.len() == placed && is_equal(&status) {
                    return status;
                }
                sleep(LOOK_EVERY).await;
            }
        };
        let Ok(equal) = timeout(CONVERGE_WAIT, equal).await else {
            let (status, map, halted) = (self.running.status(), self.map(), self.halted());
            panic!("replicas stay apart: {status:#?} {map:?} {halted:?}");
        };
        for (id, status) in equal {
            let ReplicaStatus { shard, applied, snapshot, revision, digest, keys, .. } = status;
            self.trace.event(format_args!(
                "{id} {shard} {applied} {revision} {keys} keys, snapshot {snapshot}, digest {digest}"
            ));
        }
    }

    /// Returns the nodes that run.
    pub fn nodes(&self) -> Vec<Arc<ShardedRaftNode>> {
        self.running.lock().nodes.values().cloned().collect()
    }

    /// Stops every node gracefully, then its machine.
    pub async fn stop(self) {
        self.looker.abort();
        for number in self.seated() {
            let node = self.running.lock().nodes.remove(&number);
            let node = node.unwrap_or_else(|| panic!("n{number} runs at the end"));
            let stopped = timeout(STOP_WAIT, node.stop()).await;
            stopped.unwrap_or_else(|_| panic!("n{number} does not stop"));
            self.running.lock().logs.remove(&number);
            Handle::current().kill(self.machines[&number].handle.id());
        }
        // The tasks of a killed machine end, and close their files, at their next turn.
        sleep(LOOK_EVERY).await;
        self.trace.event("all nodes are stopped");
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_equal(status: &[(NodeId, ReplicaStatus)]) -> bool {
    status.iter().all(|(_, a)| {
        let mut others = status.iter().map(|(_, b)| b).filter(|b| b.shard == a.shard);
        a.last == a.applied && others.all(|b| (b.applied, b.digest) == (a.applied, a.digest))
    })
}

/// Looks at the replicas until it is aborted.
async fn look_on(running: RunningNodes, watch: Arc<Mutex<Watch>>, trace: Trace) {
    for look in 0u64.. {
        let known = running.lock().diverging;
        for (id, status) in running.status() {
            lock(&watch).look(id, &status, known == Some(id));
        }
        if look % 50 == 0 {
            trace.checkpoint();
        }
        sleep(LOOK_EVERY).await;
    }
}
