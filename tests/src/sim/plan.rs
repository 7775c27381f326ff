//! The plan of a run: the cluster, its network, the clients' work and the faults.
//!
//! Promises that the plan follows from the seed alone. Not everything happens in every run: a run with a
//! few kinds of faults and workloads goes deeper than one with all of them ("swarm testing": Groce
//! et al., ISSTA 2012).

use std::time::Duration;

use aspen_core::defect::Defect;
use aspen_node::Timing;

use crate::history::Choices;
use crate::sim::fault_kind::FaultKind;
use crate::sim::workload::Workload;

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed it follows from, and that decides everything else that happens.
    pub seed: u64,
    /// Nodes that found the cluster: 3, sometimes 5. One more machine waits to join.
    pub nodes: u8,
    pub shards: u16,
    /// Share of messages that get lost.
    pub loss: f64,
    /// Share of requests that arrive twice.
    pub duplicates: f64,
    /// The time that a message takes.
    pub latency: (Duration, Duration),
    /// The largest difference between clocks, in milliseconds.
    pub skew_ms: i64,
    /// The work of the clients.
    pub workloads: Vec<Workload>,
    /// The faults that may happen.
    pub faults: Vec<FaultKind>,
    /// Longest pause between two faults.
    pub calm: Duration,
    /// The time during which things go wrong.
    pub work: Duration,
    /// Longest pause of a client between two operations.
    pub pause: Duration,
    /// The mistake that is planted, if any.
    pub defect: Option<Defect>,
    /// The times after which nodes notice that a leader is gone, and make snapshots.
    pub timing: Timing,
    /// True if the clock of one node leaks into the results of its functions for a while.
    pub diverges: bool,
    /// True if the nodes get a newer program, one by one.
    pub upgrades: bool,
}

/// Shorter than by default, for simulated time costs too; and few entries are kept, so that a node
/// that was away needs a snapshot.
fn timing() -> Timing {
    Timing {
        heartbeat: Duration::from_millis(100),
        election: Duration::from_millis(500),
        snapshot_every: 50,
        log_keep: 10,
        ..Timing::default()
    }
}

impl Plan {
    /// The plan of a seed.
    pub fn new(seed: u64) -> Plan {
        let mut choices = Choices::new(seed ^ 0x5eed);
        let millis = Duration::from_millis;
        let latency = match choices.below(3) {
            0 => (Duration::from_micros(200), millis(2)),
            1 => (millis(1), millis(10)),
            _ => (millis(1), millis(40)),
        };
        let mut plan = Plan {
            seed,
            nodes: if choices.below(8) == 0 { 5 } else { 3 },
            shards: [1, 1, 2, 3, 4][choices.below(5) as usize],
            loss: [0.0, 0.002, 0.01, 0.05][choices.below(4) as usize],
            duplicates: [0.0, 0.01, 0.1][choices.below(3) as usize],
            latency,
            skew_ms: [0, 50, 3_000][choices.below(3) as usize],
            workloads: some_of(&Workload::ALL, 3, &mut choices),
            faults: some_of(&FaultKind::ALL, 5, &mut choices),
            calm: millis([400, 1_500][choices.below(2) as usize]),
            work: millis(6_000 + choices.below(6_000)),
            pause: millis([20, 60, 150][choices.below(3) as usize]),
            defect: None,
            timing: timing(),
            diverges: false,
            upgrades: false,
        };
        if plan.faults.contains(&FaultKind::Move) {
            plan.nodes = 5;
        }
        if plan.nodes == 5 {
            // Three replicas of each, so every node lacks some.
            plan.shards = [1, 2, 4, 6, 8][choices.below(5) as usize];
        }
        if choices.below(10) == 0 {
            plan.faults.clear();
        }
        plan
    }

    /// A quiet cluster of three nodes with one shard and clients that read and write registers: what
    /// the simulator's speed is measured with.
    pub fn registers(seed: u64) -> Plan {
        Plan {
            seed,
            nodes: 3,
            shards: 1,
            loss: 0.01,
            duplicates: 0.0,
            latency: (Duration::from_micros(500), Duration::from_millis(5)),
            skew_ms: 0,
            workloads: vec![Workload::Registers],
            faults: vec![],
            calm: Duration::from_secs(1),
            work: Duration::from_secs(60),
            pause: Duration::from_millis(100),
            defect: None,
            timing: timing(),
            diverges: false,
            upgrades: false,
        }
    }
}

/// One to `most` of `all`, in the order of `all`.
fn some_of<T: Copy>(all: &[T], most: u64, choices: &mut Choices) -> Vec<T> {
    let wanted = 1 + choices.below(most);
    let (mut left, mut taken) = (all.len() as u64, vec![]);
    for one in all {
        // Knuth, TAOCP 3.4.2, algorithm S.
        if choices.below(left) < wanted - taken.len() as u64 {
            taken.push(*one);
        }
        left -= 1;
    }
    taken
}
