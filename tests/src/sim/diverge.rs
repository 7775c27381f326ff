//! One replica computes otherwise: its clock leaks into the results of its functions.
//!
//! It must be found at the very entry, take itself out of service while the others go on, and
//! rejoin with their state once it is repaired.

use std::time::Duration;

use aspen_client::Client;
use aspen_core::ids::LogIndex;
use madsim::time::{Instant, sleep, sleep_until, timeout};

use super::cluster::SimCluster;
use super::invariants::liveness;
use super::trace::Trace;

/// Some rounds of comparing.
const FOUND_WAIT: Duration = Duration::from_secs(20);

/// The time after the last call within which every shard that differs must be found.
const ALL_FOUND_WAIT: Duration = Duration::from_secs(6);

/// Lets the clock of machine `number` leak, and watches the effect. Calls go on until `calls_end`.
pub async fn diverge(
    cluster: &SimCluster,
    number: u8,
    client: &Client,
    calls_end: Instant,
    trace: &Trace,
) {
    sleep(Duration::from_secs(1)).await;
    trace.event(format_args!("the clock of n{number} leaks into results"));
    cluster.leak_clock(number, true);
    cluster.crash(number);
    cluster.restart(number);
    let found = timeout(FOUND_WAIT, found(cluster, number)).await;
    assert!(found.is_ok(), "divergence: nothing is found");
    liveness::check(client, cluster.shards).await;
    sleep_until(calls_end + ALL_FOUND_WAIT).await;
    for status in cluster.replicas(number) {
        let (equal, differs) = cluster.parted(status.shard);
        trace.event(format_args!("n{number} {}: {:?}", status.shard, status.failed));
        match (differs, status.failed) {
            (Some(first), None) => {
                panic!("divergence: {} differs from {first} on, unnoticed", status.shard)
            }
            (_, Some(reason)) => check_named(&reason, equal),
            (None, None) => {}
        }
    }
    trace.event(format_args!("n{number} is repaired"));
    cluster.leak_clock(number, false);
    cluster.crash(number);
    cluster.restart(number);
}

/// The entry that is named lies after the last one seen equal. (What was seen different may lie before
/// it: a snapshot that the replica was sent made it equal once more.) A replica that differs from its
/// start on, and so knows no equal entry, says "at or before".
fn check_named(reason: &str, equal: LogIndex) {
    let exact = reason.strip_prefix("diverged at entry ");
    let named = exact.or_else(|| reason.strip_prefix("diverged at or before entry "));
    let at = named.and_then(|rest| rest.split(':').next()?.parse::<u64>().ok());
    let at = at.unwrap_or_else(|| panic!("divergence: no entry is named: {reason}"));
    assert!(equal.get() < at, "divergence: seen equal at {equal}: {reason}");
}

/// Waits until a replica has taken itself out of service.
async fn found(cluster: &SimCluster, number: u8) {
    while cluster.replicas(number).iter().all(|status| status.failed.is_none()) {
        sleep(Duration::from_millis(100)).await;
    }
}
