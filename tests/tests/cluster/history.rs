//! A real cluster under concurrent clients, and whether what they saw is strictly serializable.
//!
//! Nodes stop gracefully here, in this process; `host/aspen/tests/attacks` kills real ones.

use std::time::Duration;

use aspen_tests::cluster::Cluster;
use aspen_tests::load::{Load, must_be_good};

const CLIENTS: u64 = 6;
/// Steps of all clients together between two events.
const STEPS: usize = 180;
/// Steps that are waited for while nothing can commit: only those who give up soon make any.
const STEPS_WITHOUT_MAJORITY: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn cluster_history_is_strictly_serializable_while_nodes_restart() {
    let mut cluster = Cluster::start(3).await;
    let ticket = cluster.ticket().parse().unwrap();
    let load = Load::start(ticket, CLIENTS, Duration::ZERO).await;
    load.steps(STEPS).await;
    let leader = cluster.leader().await;
    cluster.stop_node(leader).await;
    load.steps(STEPS).await;
    cluster.start_node(leader).await;
    load.steps(STEPS).await;
    // The leader and one more: what is under way now, nobody is told of.
    let leader = cluster.leader().await;
    let other = (leader + 1) % 3;
    cluster.stop_node(other).await;
    cluster.stop_node(leader).await;
    load.steps(STEPS_WITHOUT_MAJORITY).await;
    cluster.start_node(other).await;
    cluster.start_node(leader).await;
    load.steps(STEPS).await;
    let history = load.finish().await;
    cluster.equal_digests().await;
    cluster.stop().await;
    let report = must_be_good(env!("CARGO_TARGET_TMPDIR"), "nodes_restart", &history);
    assert!(report.committed > STEPS, "clients with patience got something done: {report}");
}
