//! Machines that join: a new node in the place of an old one, or of none.
//!
//! Promises that each step is asked for again until it is done, as an operator would; what is not done
//! in time is a failure of the run. Leaves out moves that nobody's machine is behind (`faults.rs`).

use std::time::Duration;

use aspen_client::{Client, RequestError};
use aspen_core::protocol::ClusterInfo;
use madsim::time::{sleep, timeout};

use super::cluster::{CONVERGE_WAIT, SimCluster, node_address};
use super::trace::Trace;

/// Lets machine `number`, which must be down or unused, join with new disks as a new node. Goes on
/// until it has every replica that it shall have.
pub async fn join(cluster: &SimCluster, number: u8, client: &Client, trace: &Trace) {
    if let Some(old) = cluster.node_id(number) {
        until_done("removing a node", || client.remove_node(old), is_gone).await;
        let is_out = move |info: &ClusterInfo| !info.placement.nodes.contains_key(&old);
        until_settled("a removed node", client, is_out).await;
    }
    let (address, none) = (node_address(number), |_: &RequestError| false);
    let node = until_done("adding a node", || client.add_node(&address), none).await;
    let node = node.expect("only a removal can be done before");
    let is_in = move |info: &ClusterInfo| info.placement.nodes.contains_key(&node);
    let info = until_settled("an added node that is not there", client, is_in).await;
    let nodes = info.placement.nodes.values();
    cluster.seat(number, node, nodes.filter_map(|node| node.address.parse().ok()).collect());
    trace.event(format_args!("  n{number} joins as {node}"));
    cluster.restart(number);
    let has_all = move |info: &ClusterInfo| info.placement.has_arrived(node);
    until_settled("a node without its replicas", client, has_all).await;
    trace.event(format_args!("  n{number} has its replicas"));
}

fn is_gone(error: &RequestError) -> bool {
    error.to_string().contains("not found")
}

/// Repeats a change of the map until it is done, or the error says that it was before.
pub async fn until_done<T, F>(
    what: &str,
    change: impl Fn() -> F,
    is_done: impl Fn(&RequestError) -> bool,
) -> Option<T>
where
    F: Future<Output = Result<T, RequestError>>,
{
    let mut last = None;
    let attempts = async {
        loop {
            match change().await {
                Ok(done) => return Some(done),
                Err(error) if is_done(&error) => return None,
                Err(error) => last = Some(error.to_string()),
            }
            sleep(Duration::from_millis(200)).await;
        }
    };
    let done = timeout(CONVERGE_WAIT, attempts).await;
    done.unwrap_or_else(|_| {
        panic!("liveness: {what} is not done within {CONVERGE_WAIT:?}: {last:?}")
    })
}

/// Waits until the map is as it shall be.
pub async fn until_settled(
    what: &str,
    client: &Client,
    is_there: impl Fn(&ClusterInfo) -> bool + Copy,
) -> ClusterInfo {
    let waits = async {
        loop {
            match client.settle(is_there).await {
                Ok(info) => return info,
                Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
    };
    let settled = timeout(CONVERGE_WAIT, waits).await;
    settled.unwrap_or_else(|_| panic!("liveness: there is {what} after {CONVERGE_WAIT:?}"))
}
