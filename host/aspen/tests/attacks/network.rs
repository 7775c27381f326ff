//! Bad weather between real nodes, and leaders that are cut off from the others but not from clients.
//!
//! Through the relay of `relay`, which does to datagrams whatever a network does, between the
//! namespaces of `namespaces`, so that there is no other way.

use std::net::SocketAddr;
use std::time::Duration;

use aspen_client::Client;
use aspen_tests::load::{Load, must_be_good};
use tokio_real as tokio;

use crate::namespaces::Namespaces;
use crate::nodes::{NODES, Nodes};
use crate::relay::{Relay, Weather};

const CLIENTS: u64 = 6;
/// Counts that clients get acknowledged between two events.
const ACKNOWLEDGED: usize = 40;
/// The time for which a leader stays alone after another took over: its clients' reads must not be
/// answered meanwhile.
const ALONE: Duration = Duration::from_secs(3);

const STORM: Weather = Weather { lost: 5, doubled: 5, delayed: 10, delay_ms: 40 };

/// In which direction a leader is cut off.
#[derive(Clone, Copy, Debug)]
enum Direction {
    Both,
    Sending,
    Receiving,
}

#[tokio::test(flavor = "multi_thread")]
async fn process_cluster_survives_loss_and_leaders_that_are_cut_off() {
    let namespaces = match Namespaces::make(NODES) {
        Ok(namespaces) => namespaces,
        Err(reason) => {
            println!("NOT RUN: the test of loss and partitions: {reason}");
            return;
        }
    };
    let (mut nodes, relay) = start(&namespaces).await;
    let load = Load::start(nodes.ticket(), CLIENTS, Duration::from_millis(5)).await;
    let client = nodes.client().await;
    load.acknowledged(ACKNOWLEDGED).await;
    assert_eq!(relay.stopped(), 0, "nothing is lost in good weather");
    relay.set_weather(STORM);
    load.acknowledged(4 * ACKNOWLEDGED).await;
    assert!(relay.stopped() > 0, "the nodes do not talk through the relay");
    for direction in [Direction::Both, Direction::Sending, Direction::Receiving] {
        cut_leader_off(&nodes, &relay, &load, &client, direction).await;
    }
    relay.set_weather(Weather::default());
    cut_leader_off(&nodes, &relay, &load, &client, Direction::Both).await;
    // Two that do not see each other, but both see the leader.
    let leader = nodes.leader_among(&client, &[0, 1, 2]).await;
    let (one, other) = ((leader + 1) % NODES, (leader + 2) % NODES);
    relay.cut(one, other);
    relay.cut(other, one);
    load.acknowledged(4 * ACKNOWLEDGED).await;
    relay.heal();
    nodes.kill(&[one]);
    load.acknowledged(ACKNOWLEDGED).await;
    nodes.restart(one);
    nodes.ready(one);

    load.acknowledged(ACKNOWLEDGED).await;
    client.close().await;
    let history = load.finish().await;
    nodes.must_be_equal().await;
    println!("{} datagrams were lost or met a cut", relay.stopped());
    must_be_good(env!("CARGO_TARGET_TMPDIR"), "network", &history);
    // The processes go before the network that they use.
    drop(nodes);
    drop(namespaces);
}

/// Three nodes that talk through a relay.
async fn start(namespaces: &Namespaces) -> (Nodes, Relay) {
    let mut nodes = Nodes::start_on(namespaces.relay(), |_| ()).await;
    let all = [0, 1, 2];
    nodes.kill(&all);
    let fronts: Vec<SocketAddr> = nodes.ticket().nodes().iter().map(|node| node.addr).collect();
    let relay = Relay::start(&fronts, 5).await;
    for node in all {
        let name = namespaces.name(node);
        nodes.move_to(node, name, (namespaces.socket(node), 0).into());
        nodes.restart(node);
        let socket = nodes.ready(node);
        relay.set_node(node, socket);
        // A node keeps its socket for life, also when it starts again.
        nodes.move_to(node, name, socket);
    }
    (nodes, relay)
}

/// Cuts the leader off until another leads, acknowledges, and has done so for a while.
async fn cut_leader_off(
    nodes: &Nodes,
    relay: &Relay,
    load: &Load,
    client: &Client,
    direction: Direction,
) {
    let leader = nodes.leader_among(client, &[0, 1, 2]).await;
    let others: Vec<usize> = (0..NODES).filter(|node| *node != leader).collect();
    for other in &others {
        if !matches!(direction, Direction::Receiving) {
            relay.cut(leader, *other);
        }
        if !matches!(direction, Direction::Sending) {
            relay.cut(*other, leader);
        }
    }
    println!("node {leader} is cut off: {direction:?}");
    nodes.leader_among(client, &others).await;
    tokio::time::sleep(ALONE).await;
    load.acknowledged(ACKNOWLEDGED).await;
    relay.heal();
    load.acknowledged(ACKNOWLEDGED).await;
}
