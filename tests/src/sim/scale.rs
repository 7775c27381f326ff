//! The growth of throughput with the number of shards, when every replica has a core of its own.
//!
//! One machine cannot show it: its cores are what more shards share. Here some simulated nodes run
//! the product's code, and what takes simulated time is stated ([`COSTS`]): applying, one entry
//! after the other on the core of its replica; the log, one writer and one disk per node for all of
//! its shards; the network. So this shows what of the system is shared between shards and would
//! stand in their way: the log's writer, connections, the client's routing. Consensus, encoding and
//! the network's CPU time cost nothing here; what they cost is `aspen-bench shards`. No claim about
//! operations per second of any machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use aspen_client::{Client, Options};
use aspen_node::Timing;
use aspen_store::sim_cost;
use madsim::net::NetSim;
use madsim::time::sleep;

use super::cluster::SimCluster;
use super::plan::Plan;
use super::trace::Trace;

/// The parts that take simulated time.
pub struct Costs {
    /// One entry in apply.
    pub apply: Duration,
    /// A commit of a log, whatever is in it.
    pub commit: Duration,
    /// One entry of it.
    pub log: Duration,
    pub latency: (Duration, Duration),
}

/// The costs that were measured on two real cores, a hundred times as long, because the simulator's
/// clock counts in milliseconds: 32 us of a leader's CPU per call of a two-key transfer, apply,
/// consensus and network together (docs/performance.md); 0.31 ms per commit of the log and 2 us per entry (redb,
/// fdatasync).
pub const COSTS: Costs = Costs {
    apply: Duration::from_micros(3_200),
    commit: Duration::from_millis(31),
    log: Duration::from_micros(200),
    latency: (Duration::from_millis(10), Duration::from_millis(30)),
};

/// A hundred times as long, too, as far as it waits for a message or a commit. Otherwise what is
/// sent to a follower, or by a client, would be given up and sent again while it is still being
/// written.
fn timing() -> Timing {
    let Timing { heartbeat, election, .. } = Timing::default();
    Timing { heartbeat: heartbeat * 100, election: election * 100, ..Timing::default() }
}

/// Requests in flight for each shard: enough that its core never waits for work.
pub const CLIENTS: usize = 512;

/// Until leaders are spread, then until clients know them, and how long is measured then.
const SETTLING: Duration = Duration::from_secs(600);
const WARM_UP: Duration = Duration::from_secs(30);
const MEASURED: Duration = Duration::from_secs(20);

/// Machines that the clients are on.
const MACHINES: u8 = 16;

/// Returns the puts per simulated second with this many shards on this many nodes.
pub async fn measure(
    seed: u64,
    nodes: u8,
    shards: u16,
    folder: &std::path::Path,
    trace: Trace,
) -> f64 {
    NetSim::current().update_config(|config| {
        config.packet_loss_rate = 0.0;
        config.send_latency = COSTS.latency.0..COSTS.latency.1;
    });
    let mut plan = Plan::registers(seed);
    (plan.nodes, plan.shards, plan.loss) = (nodes, shards, 0.0);
    plan.timing = timing();
    let cluster = SimCluster::start(&plan, &folder.join("states"), &folder.join("synced"), &trace);
    while !cluster.is_founded() {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(SETTLING).await;
    sim_cost::set(COSTS.apply, COSTS.log);
    for number in cluster.seated() {
        cluster.slow_disk(number, COSTS.commit);
    }
    let (done, counter) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let each = CLIENTS * usize::from(shards) / usize::from(MACHINES);
    let Options { limit, attempt } = Options::default();
    let options = Options { limit: limit * 100, attempt: attempt * 100 };
    for machine in 1..=MACHINES {
        let (done, counter) = (done.clone(), counter.clone());
        cluster.run_client(machine, options, move |client: Client| async move {
            let put = |client: Client, done: Arc<AtomicU64>, counter: Arc<AtomicU64>| async move {
                loop {
                    let n = counter.fetch_add(1, Ordering::Relaxed);
                    let put = client.put(format!("key-{}", n % 100_000), [b'v'; 16]).await;
                    done.fetch_add(u64::from(put.is_ok()), Ordering::Relaxed);
                }
            };
            let all: Vec<_> = (0..each)
                .map(|_| madsim::task::spawn(put(client.clone(), done.clone(), counter.clone())))
                .collect();
            for one in all {
                // They never end by themselves.
                let _: Result<(), _> = one.await;
            }
        });
    }
    sleep(WARM_UP).await;
    let before = done.load(Ordering::Relaxed);
    sleep(MEASURED).await;
    let count = done.load(Ordering::Relaxed) - before;
    sim_cost::set(Duration::ZERO, Duration::ZERO);
    count as f64 / MEASURED.as_secs_f64()
}

/// The chart: measured throughput over linear growth, as SVG that reads on light and dark ground.
pub fn chart(nodes: u8, points: &[(u16, f64)]) -> String {
    let (left, right, top, bottom) = (64.0, 560.0, 28.0, 320.0);
    let most = points.last().map_or(1.0, |(shards, _)| f64::from(*shards));
    let one = points.first().map_or(1.0, |(shards, rate)| rate / f64::from(*shards));
    let x = |shards: f64| left + (right - left) * shards / most;
    let y = |times: f64| bottom - (bottom - top) * times / most;
    let mut svg = String::from(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 600 380\" font-family=\"sans-serif\" \
         font-size=\"12\" fill=\"#777\">\n",
    );
    let mut add = |line: String| svg.push_str(&format!("  {line}\n"));
    add(format!(
        "<title>Throughput by shards on {nodes} nodes, one simulated core per replica</title>"
    ));
    for (shards, _) in points {
        let (at, number) = (f64::from(*shards), shards);
        let (x, y) = (x(at), y(at));
        add(format!("<path d=\"M{left} {y:.1}H{right}\" stroke=\"#7773\"/>"));
        add(format!("<text x=\"{x:.1}\" y=\"338\" text-anchor=\"middle\">{number}</text>"));
        add(format!("<text x=\"56\" y=\"{:.1}\" text-anchor=\"end\">{number}x</text>", y + 4.0));
    }
    let line = |at: &dyn Fn(&(u16, f64)) -> f64| {
        let point = |it: &(u16, f64)| format!("{:.1},{:.1}", x(f64::from(it.0)), y(at(it)));
        points.iter().map(point).collect::<Vec<_>>().join(" ")
    };
    let linear = line(&|(shards, _)| f64::from(*shards));
    let measured = line(&|(_, rate)| rate / one);
    add(format!(
        "<polyline points=\"{linear}\" fill=\"none\" stroke=\"#999\" stroke-dasharray=\"5 4\"/>"
    ));
    add(format!(
        "<polyline points=\"{measured}\" fill=\"none\" stroke=\"#2a7fd4\" stroke-width=\"2.5\"/>"
    ));
    for (shards, rate) in points {
        let (x, y) = (x(f64::from(*shards)), y(rate / one));
        add(format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"#2a7fd4\"/>"));
    }
    add("<text x=\"312\" y=\"362\" text-anchor=\"middle\">shards</text>".into());
    add(format!(
        "<text x=\"64\" y=\"16\">puts per simulated second on {nodes} nodes, times those of one \
         shard</text>"
    ));
    add("<text x=\"330\" y=\"250\" fill=\"#2a7fd4\">measured</text>".into());
    add("<text x=\"330\" y=\"268\">dashed: linear</text>".into());
    svg.push_str("</svg>\n");
    svg
}
