//! Replicas on real clusters: where they are, how they move under load, who may not run, and who
//! finds them with an old map.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aspen::join;
use aspen::server::{BoundServer, ServerError};
use aspen_client::{Client, RequestError, Ticket, TransactionOutcome, stale};
use aspen_core::codec::{decode, encode};
use aspen_core::ids::{NodeId, ShardId};
use aspen_core::placement::Replicas;
use aspen_core::protocol::{ClusterInfo, ErrorReply, Request, Response};
use aspen_net::{IrohConfig, IrohTransport, Purpose, Transport};
use aspen_node::Timing;
use aspen_tests::cluster::{Cluster, pause};
use tokio::task::JoinHandle;

/// Far above what a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(120);

fn id(node: u64) -> NodeId {
    NodeId::new(node)
}

fn key(n: u64) -> String {
    format!("key-{n}")
}

/// Five nodes, so that each lacks the replicas of some shards.
async fn five_nodes(shards: u16) -> (Cluster, Client) {
    let cluster = Cluster::with_shards(5, shards, Timing::default()).await;
    let client = cluster.client().await;
    (cluster, client)
}

async fn settled(client: &Client) -> ClusterInfo {
    let all = client.settle(|info| info.placement.is_settled());
    tokio::time::timeout(PATIENCE, all).await.expect("replicas arrive").unwrap()
}

/// Waits until each node runs exactly the replicas that the map gives it, and has deleted others.
async fn as_on_the_map(cluster: &Cluster, info: &ClusterInfo) {
    let end = Instant::now() + PATIENCE;
    loop {
        let running = cluster.servers.iter().enumerate();
        let mut running = running.filter_map(|(at, server)| Some((at, server.as_ref()?.node())));
        let is_right = running.all(|(at, node)| {
            node.router().all().all(|shard| {
                let is_here = info.placement.hosts(node.id(), shard);
                // A replica stops before its folder is deleted.
                let folder = cluster.folder(at).join(format!("shard-{}", shard.get()));
                node.shard_status(shard).is_some() == is_here && folder.exists() == is_here
            })
        });
        if is_right {
            return;
        }
        assert!(Instant::now() < end, "replicas are elsewhere than {info:?}");
        pause().await;
    }
}

/// Counts up one key after the other until it is told to stop: how far each got.
fn counting(client: Client, keys: u64, stop: Arc<AtomicBool>) -> JoinHandle<u64> {
    tokio::spawn(async move {
        let mut rounds = 0;
        while !stop.load(Ordering::Relaxed) {
            rounds += 1;
            for n in 0..keys {
                // No failure at all: what a move does to requests is mended inside the client.
                let written = client.put(key(n), rounds.to_string()).await.unwrap();
                assert_eq!(written.version.get(), rounds, "applied once each");
            }
        }
        rounds
    })
}

async fn must_hold(client: &Client, keys: u64, rounds: u64) {
    for n in 0..keys {
        let record = client.get(key(n)).await.unwrap().unwrap();
        assert_eq!(record.version.get(), rounds, "{}", key(n));
        assert_eq!(record.value.as_bytes(), rounds.to_string().as_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn placement_any_node_serves_every_key_of_five() {
    let (cluster, client) = five_nodes(8).await;
    let info = settled(&client).await;
    let counts: BTreeSet<usize> = info.placement.counts().into_values().collect();
    assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
    as_on_the_map(&cluster, &info).await;
    for n in 0..40 {
        client.put(key(n), "1").await.unwrap();
    }
    let ticket: Ticket = cluster.ticket().parse().unwrap();
    for node in ticket.nodes() {
        let one = Ticket::new(ticket.cluster(), vec![*node], ticket.secret().cloned()).unwrap();
        let near = Client::connect(&one.to_string()).await.unwrap();
        for n in 0..40 {
            assert!(near.get(key(n)).await.unwrap().is_some(), "{} by {node}", key(n));
            let old = near.read([key(n)], stale(Duration::from_secs(60))).await.unwrap();
            assert!(old.records[0].is_some());
        }
        // The coordinator's leader may have no replica of the other shard.
        let both = near.transaction().write(key(1), "2").write(key(2), "2");
        assert!(matches!(both.commit().await.unwrap(), TransactionOutcome::Committed(_)));
        let shard = near.leader(ShardId::new(7)).await.unwrap();
        assert!(shard.is_some(), "whoever has no replica can find out who leads");
        near.close().await;
    }
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn placement_replicas_move_under_load_and_nothing_fails() {
    let (cluster, client) = five_nodes(4).await;
    settled(&client).await;
    let stop = Arc::new(AtomicBool::new(false));
    let work = counting(client.clone(), 12, stop.clone());
    let operator = cluster.client().await;
    for round in 0..4 {
        for shard in (0..4).map(ShardId::new) {
            let info = operator.cluster().await.unwrap();
            let placed = info.placement.replicas(shard).unwrap();
            let absent = (1..=5).map(id).find(|node| !placed.target.contains(node)).unwrap();
            // Sometimes the leader goes.
            let from = operator.leader(shard).await.unwrap().filter(|_| round % 2 == 0);
            let from = from.filter(|leader| placed.target.contains(leader));
            operator.move_replica(shard, from, absent).await.unwrap();
        }
        settled(&operator).await;
    }
    operator.rebalance().await.unwrap();
    let info = settled(&operator).await;
    stop.store(true, Ordering::Relaxed);
    let rounds = work.await.unwrap();
    must_hold(&client, 12, rounds).await;
    as_on_the_map(&cluster, &info).await;
    assert!(info.placement.shards.iter().all(|shard| shard.changes >= 4), "{info:?}");
    operator.close().await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn placement_move_goes_on_after_its_leader_and_its_target_were_stopped() {
    let (mut cluster, client) = five_nodes(1).await;
    settled(&client).await;
    for n in 0..200 {
        client.put(key(n), "1").await.unwrap();
    }
    let shard = ShardId::new(0);
    let info = client.cluster().await.unwrap();
    let placed = info.placement.replicas(shard).unwrap().clone();
    let to = (1..=5).map(id).find(|node| !placed.now.contains(node)).unwrap();
    let leader = cluster.leader().await;
    // Nobody is there to receive it; then the node that began to send it goes too.
    cluster.stop_node(to.get() as usize - 1).await;
    let leads = id(leader as u64 + 1);
    client.move_replica(shard, Some(leads), to).await.unwrap();
    client.move_replica(shard, Some(leads), to).await.unwrap();
    cluster.stop_node(leader).await;
    let info = client.cluster().await.unwrap();
    assert!(!info.placement.is_settled(), "it waits for the one that is not there");
    client.put(key(0), "2").await.unwrap();
    cluster.start_node(to.get() as usize - 1).await;
    let info = settled(&client).await;
    let replicas = info.placement.replicas(shard).unwrap();
    assert!(replicas.now.contains(&to) && !replicas.now.contains(&leads), "{replicas:?}");
    cluster.start_node(leader).await;
    as_on_the_map(&cluster, &info).await;
    cluster.equal_digests().await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn placement_node_is_drained_before_it_goes_and_a_new_one_is_filled() {
    let (mut cluster, client) = five_nodes(8).await;
    settled(&client).await;
    let stop = Arc::new(AtomicBool::new(false));
    let work = counting(client.clone(), 16, stop.clone());
    let operator = cluster.client().await;
    operator.remove_node(id(2)).await.unwrap();
    operator.remove_node(id(2)).await.unwrap();
    let is_gone = |info: &ClusterInfo| !info.placement.nodes.contains_key(&id(2));
    let gone = tokio::time::timeout(PATIENCE, operator.settle(is_gone)).await;
    let info = gone.expect("it goes").unwrap();
    assert!(info.placement.shards.iter().all(|shard| shard.now.len() == 3), "{info:?}");
    let leaver = cluster.servers[1].as_ref().unwrap().node().clone();
    let heard = async {
        while leaver.map().epoch < info.epoch {
            pause().await;
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("who leaves hears so");
    cluster.stop_node(1).await;
    let any = ([127, 0, 0, 1], 0).into();
    let ticket: Ticket = cluster.ticket().parse().unwrap();
    let joined = join::join(&cluster.folder(5), any, &ticket).await.unwrap();
    assert_eq!(joined.node().id(), id(6), "the number of a node that is gone does not come again");
    operator.rebalance().await.unwrap();
    let info = settled(&operator).await;
    let counts = info.placement.counts();
    assert!(counts[&id(6)] >= 4, "{counts:?}");
    stop.store(true, Ordering::Relaxed);
    let rounds = work.await.unwrap();
    must_hold(&client, 16, rounds).await;
    cluster.servers.push(Some(joined));
    as_on_the_map(&cluster, &info).await;
    operator.close().await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn placement_changes_that_would_lose_a_majority_are_refused() {
    let mut cluster = Cluster::with_shards(3, 2, Timing::default()).await;
    let client = cluster.client().await;
    settled(&client).await;
    cluster.stop_node(2).await;
    let before = client.cluster().await.unwrap();
    let refused = client.remove_node(id(2)).await.unwrap_err().to_string();
    let reason = "without n2 only 1 of 2 replicas of s0 would answer: no majority";
    assert!(refused.contains(reason), "{refused}");
    let refused = client.move_replica(ShardId::new(0), Some(id(2)), id(1)).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("s0 has a replica on n1 already"), "{refused}");
    let after = client.cluster().await.unwrap();
    assert_eq!((before.epoch, before.placement), (after.epoch, after.placement));
    // The one that does not answer may go.
    client.remove_node(id(3)).await.unwrap();
    let is_gone = |info: &ClusterInfo| !info.placement.nodes.contains_key(&id(3));
    tokio::time::timeout(PATIENCE, client.settle(is_gone)).await.expect("it goes").unwrap();
    client.put("k", "v").await.unwrap();
    client.close().await;
    cluster.stop().await;
}

/// A node that was away when it was removed says for ever what it knew before, and a client that knows
/// no other begins with that.
#[tokio::test(flavor = "multi_thread")]
async fn placement_who_waits_for_the_map_believes_no_node_alone() {
    let mut cluster = Cluster::start(4).await;
    let client = cluster.client().await;
    settled(&client).await;
    cluster.stop_node(3).await;
    client.remove_node(id(4)).await.unwrap();
    let is_gone = |info: &ClusterInfo| !info.placement.nodes.contains_key(&id(4));
    tokio::time::timeout(PATIENCE, client.settle(is_gone)).await.expect("it goes").unwrap();
    cluster.start_node(3).await;
    let ticket: Ticket = cluster.ticket().parse().unwrap();
    let removed = cluster.servers[3].as_ref().unwrap().address();
    let secret = ticket.secret().cloned();
    let ticket = Ticket::new(ticket.cluster(), vec![removed], secret).unwrap();
    let misled = Client::connect(&ticket.to_string()).await.unwrap();
    tokio::time::timeout(PATIENCE, misled.settle(is_gone)).await.expect("others know").unwrap();
    misled.close().await;
    client.close().await;
    cluster.stop().await;
}

/// A request for a shard goes to a node that has no replica of it: the answer says who has.
#[tokio::test(flavor = "multi_thread")]
async fn placement_old_map_is_answered_with_the_new_one() {
    let (cluster, client) = five_nodes(4).await;
    let info = settled(&client).await;
    let ticket: Ticket = cluster.ticket().parse().unwrap();
    let secret = ticket.secret().unwrap().clone();
    let bind = ([127, 0, 0, 1], 0).into();
    let socket = IrohTransport::bind(IrohConfig { secret, bind }).await.unwrap();
    let shard = ShardId::new(1);
    let placed: &Replicas = info.placement.replicas(shard).unwrap();
    let elsewhere = (1..=5).map(id).find(|node| !placed.now.contains(node)).unwrap();
    let node = info.placement.address(elsewhere).unwrap().parse().unwrap();
    let request = Request::Get {
        shard,
        keys: vec!["k".try_into().unwrap()],
        reads: vec![],
        consistency: Default::default(),
    };
    let asked = socket.request(&node, Purpose::Client, encode(&request), PATIENCE).await.unwrap();
    let Response::Error(ErrorReply::NotHere { epoch, replicas }) = decode(&asked).unwrap() else {
        panic!("{:?}", decode::<Response>(&asked));
    };
    assert!(epoch >= info.epoch);
    assert_eq!(replicas.iter().map(|(node, _)| *node).collect::<Vec<_>>(), placed.now);
    // The group that holds the map is no shard of the clients.
    let shard = ShardId::SYSTEM;
    let request =
        Request::Get { shard, keys: vec![], reads: vec![], consistency: Default::default() };
    let asked = socket.request(&node, Purpose::Client, encode(&request), PATIENCE).await.unwrap();
    let refused = decode::<Response>(&asked).unwrap();
    assert!(matches!(refused, Response::Error(ErrorReply::NotFound { .. })), "{refused:?}");
    socket.close().await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn placement_two_nodes_with_one_identity_do_not_run() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    settled(&client).await;
    client.put("k", "v").await.unwrap();
    cluster.equal_digests().await;
    // A copy of a stopped node's folder, as a careless backup would be.
    cluster.stop_node(2).await;
    let copy = cluster.folder(9);
    copy_folder(&cluster.folder(2), &copy);
    cluster.start_node(2).await;
    let start = async || -> Result<(), ServerError> {
        let bound = BoundServer::open(&copy, ([127, 0, 0, 1], 0).into()).await?;
        bound.serve(Timing::default()).await.map(|_| ())
    };
    let taken = start().await.unwrap_err().to_string();
    assert!(taken.contains("cannot bind"), "{taken}");
    // At another address the first one still answers for the node.
    let path = copy.join("node.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut identity: serde_json::Value = serde_json::from_str(&text).unwrap();
    let port = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    identity["address"]["addr"] = port.to_string().into();
    std::fs::write(&path, identity.to_string()).unwrap();
    let refused = start().await.unwrap_err().to_string();
    assert!(refused.contains("another process runs as node n3"), "{refused}");
    // Another node's number in the identity does not make it that node.
    identity["node"] = 2.into();
    std::fs::write(&path, identity.to_string()).unwrap();
    let refused = start().await.unwrap_err().to_string();
    assert!(refused.contains("n3") && refused.contains("n2"), "{refused}");
    client.put("k", "w").await.unwrap();
    client.close().await;
    cluster.stop().await;
}

/// A node whose folder is of another cluster is refused by both sides.
#[tokio::test(flavor = "multi_thread")]
async fn placement_node_of_another_cluster_is_refused() {
    let (one, other) = (Cluster::start(1).await, Cluster::start(1).await);
    let (client, stranger) = (one.client().await, other.client().await);
    let address = other.servers[0].as_ref().unwrap().address();
    // Somebody adds it by its address: it gets no replica, for it does not know that cluster.
    let node = client.add_node(&address).await.unwrap();
    client.put("k", "v").await.unwrap();
    stranger.put("k", "w").await.unwrap();
    let info = client.cluster().await.unwrap();
    assert_eq!(info.placement.replicas(ShardId::new(0)).unwrap().now, [id(1)]);
    client.remove_node(node).await.unwrap();
    let is_gone = move |info: &ClusterInfo| !info.placement.nodes.contains_key(&node);
    tokio::time::timeout(PATIENCE, client.settle(is_gone)).await.expect("it goes").unwrap();
    assert_eq!(stranger.get("k").await.unwrap().unwrap().value.as_bytes(), b"w");
    let ticket: Ticket = one.ticket().parse().unwrap();
    let text = other.ticket();
    let theirs: Ticket = text.parse().unwrap();
    let mixed = Ticket::new(ticket.cluster(), theirs.nodes().to_vec(), theirs.secret().cloned());
    let refused = Client::connect(&mixed.unwrap().to_string()).await.map(|_| ()).unwrap_err();
    assert!(refused.to_string().contains("cluster"), "{refused}");
    for client in [client, stranger] {
        client.close().await;
    }
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn placement_request_for_what_is_not_there_names_it() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let refused = |error: RequestError| error.to_string();
    assert_eq!(refused(client.remove_node(id(9)).await.unwrap_err()), "not found: node n9");
    let moved = client.move_replica(ShardId::new(9), None, id(1)).await.unwrap_err();
    assert_eq!(refused(moved), "not found: shard s9");
    let only = refused(client.remove_node(id(1)).await.unwrap_err());
    assert_eq!(only, "n1 is the only node; removing it would end the cluster");
    client.close().await;
    cluster.stop().await;
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => {
                std::fs::copy(entry.path(), &to).unwrap();
            }
        }
    }
}
