//! One replica computes otherwise: its clock leaks into the results of its functions.
//!
//! It must be found at the very entry, take itself out of service while the others go on, and
//! rejoin with their state once it is repaired.

use std::time::Duration;

use aspen_client::Client;
use aspen_core::ShardId;
use madsim::time::{sleep, timeout};

use super::cluster::SimCluster;
use super::invariants::liveness;
use super::trace::Trace;

/// Some rounds of comparing.
const FOUND_WAIT: Duration = Duration::from_secs(20);

/// Lets the clock of machine `number` leak, and sees what comes of it. Calls must be going on.
pub async fn diverge(cluster: &SimCluster, number: u8, client: &Client, trace: &Trace) {
    sleep(Duration::from_secs(1)).await;
    trace.event(format_args!("the clock of n{number} leaks into results"));
    cluster.leak_clock(number, true);
    cluster.crash(number);
    cluster.restart(number);
    let found = timeout(FOUND_WAIT, found(cluster, number)).await;
    let (shard, reason) = found.expect("divergence: the replica is found");
    trace.event(format_args!("n{number} {shard}: {reason}"));
    let (equal, differs) = cluster.parted(shard);
    let at = reason.strip_prefix("diverged at entry ").and_then(|rest| rest.split(':').next());
    let at: u64 = at.and_then(|at| at.parse().ok()).expect("divergence: the entry is named");
    let first = differs.map_or(u64::MAX, |first| first.get());
    assert!(equal.get() < at && at <= first, "divergence: {at} named, seen {equal} to {first}");
    liveness::check(client, cluster.shards).await;
    trace.event(format_args!("n{number} is repaired"));
    cluster.leak_clock(number, false);
    cluster.crash(number);
    cluster.restart(number);
}

/// Waits until a replica has taken itself out of service; which one, and why.
async fn found(cluster: &SimCluster, number: u8) -> (ShardId, String) {
    loop {
        for status in cluster.replicas(number) {
            if let Some(reason) = status.failed {
                return (status.shard, reason);
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
}
