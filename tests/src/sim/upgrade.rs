//! A cluster goes over to a newer program, node by node, and then to that program's profile of functions.
//!
//! While clients work: the profile must not be switched before every node knows it, and after that a node
//! that goes back to the older program must take itself out of service, or not start, and nothing else.

use std::time::Duration;

use aspen_client::{Client, RequestError};
use aspen_core::ids::ProfileId;
use aspen_core::protocol::ErrorReply;
use aspen_functions::planted::NEXT_PROFILE;
use madsim::time::{sleep, timeout};

use super::cluster::SimCluster;
use super::invariants::liveness;
use super::site::insist;
use super::trace::Trace;

/// For a node that starts, catches up and meets the first entry that it cannot apply.
const WAIT: Duration = Duration::from_secs(30);

/// Upgrades machines 1 to `machines`, and lets one of them try to go back.
pub async fn upgrade(cluster: &SimCluster, machines: u8, client: &Client, trace: &Trace) {
    for number in 1..=machines {
        sleep(Duration::from_millis(700)).await;
        refused(client).await;
        replace(cluster, number, true, trace);
        liveness::check(client, cluster.shards).await;
    }
    insist(|| client.switch_profile(NEXT_PROFILE)).await;
    trace.event(format_args!("functions run with {NEXT_PROFILE}"));
    let all = || (1..=machines).flat_map(|number| cluster.replicas(number));
    until("every replica follows", || all().all(|replica| replica.profile == NEXT_PROFILE)).await;
    sleep(Duration::from_secs(1)).await;
    replace(cluster, 1, false, trace);
    // Entries for every shard.
    liveness::check(client, cluster.shards).await;
    // As soon as it starts, or when it comes to the entry.
    let gives_up = || {
        let replicas = cluster.replicas(1).into_iter().filter_map(|replica| replica.failed);
        let mut told = replicas.chain(cluster.halted().remove(&1));
        told.any(|why| why.contains("install a newer version of Aspen"))
    };
    until("the older program gives up", gives_up).await;
    replace(cluster, 1, true, trace);
    liveness::check(client, cluster.shards).await;
}

/// Starts another program on a machine.
fn replace(cluster: &SimCluster, number: u8, is_newer: bool, trace: &Trace) {
    let which = if is_newer { "newer" } else { "older" };
    trace.event(format_args!("n{number} gets the {which} program"));
    cluster.make_newer(number, is_newer);
    cluster.crash(number);
    cluster.restart(number);
}

/// Some node does not know the profile, or does not answer.
async fn refused(client: &Client) {
    match client.switch_profile(NEXT_PROFILE).await {
        Err(RequestError::Refused { refused: ErrorReply::Invalid { .. } }) => {}
        // A node is still starting.
        Err(RequestError::Unreachable { .. }) => {}
        other => panic!("upgrade: nodes that do not know a profile were switched to it: {other:?}"),
    }
    let Some(present) = client.profiles().await.present.pop() else { return };
    assert_eq!(present, ProfileId::FIRST, "upgrade: switched too early");
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let wait = async {
        while !is_so() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(timeout(WAIT, wait).await.is_ok(), "upgrade: {what} does not happen");
}
