//! Real clusters over iroh: what clients are promised, through restarts and bad input.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aspen::join;
use aspen::server::Server;
use aspen_client::{
    CallError, Client, ConnectError, GuestFault, KeyRange, OperationResult, Options, PeerAddr,
    Read, Refusal, RequestError, ScanOptions, Secret, Ticket, Transact, Val, Version, WriteCommand,
    WriteError, WriteOp,
};
use aspen_core::ids::NodeId;
use aspen_core::key::{Key, Value};
use aspen_core::limits::{KEY_BYTES_MAX, LARGE_COMPONENT_BYTES_MAX, VALUE_BYTES_MAX};
use aspen_core::protocol::{ClusterInfo, ErrorReply};
use aspen_node::Timing;
use aspen_tests::cluster::{Cluster, pause};
use aspen_tests::guests;

#[tokio::test(flavor = "multi_thread")]
async fn cluster_serves_reads_writes_and_scans() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    assert!(client.get("a").await.unwrap().is_none());
    assert_eq!(client.put("a", "1").await.unwrap().version.get(), 1);
    assert_eq!(client.put("a", "2").await.unwrap().version.get(), 2);
    let record = client.get("a").await.unwrap().unwrap();
    assert_eq!((record.value.as_bytes(), record.version.get()), (&b"2"[..], 2));
    assert_eq!(client.delete("a").await.unwrap().version.get(), 2);
    assert_eq!(client.delete("a").await.unwrap().version.get(), 0);
    assert!(client.get("a").await.unwrap().is_none());

    let mut writes = tokio::task::JoinSet::new();
    for n in 0..2500 {
        let client = client.clone();
        writes.spawn(async move { client.put(format!("k{n:04}"), format!("v{n}")).await });
    }
    while let Some(written) = writes.join_next().await {
        written.unwrap().unwrap();
    }
    let all = client.scan(KeyRange::prefix("k"), ScanOptions::default()).await.unwrap();
    let keys: Vec<String> = all.iter().map(|item| item.key.to_string()).collect();
    assert_eq!(keys, (0..2500).map(|n| format!("k{n:04}")).collect::<Vec<_>>());
    assert_eq!(all[7].record.value.as_bytes(), b"v7");
    let options =
        ScanOptions { reverse: true, keys_only: true, limit: 1500, ..ScanOptions::default() };
    let last = client.scan(KeyRange::prefix("k"), options).await.unwrap();
    assert_eq!(last.len(), 1500);
    assert_eq!(
        (last[0].key.to_string(), last[1499].key.to_string()),
        ("k2499".into(), "k1000".into())
    );
    assert!(last[0].record.value.as_bytes().is_empty());
    cluster.equal_digests().await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_transaction_conflicts_name_the_present() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    client.put("stock", "1").await.unwrap();
    let key = || Key::try_from("stock").unwrap();
    let take = |version| WriteCommand::OptimisticTransaction {
        read_set: vec![Read::key(key(), version)],
        write_set: vec![WriteOp::set(key(), Value::try_from("0").unwrap())],
    };
    let taken = client.write(take(1)).await.unwrap();
    assert_eq!(taken.results, [OperationResult::Written { version: Version::new(2) }]);
    let Err(WriteError::Conflict { conflicts, .. }) = client.write(take(1)).await else {
        panic!("the stock was taken")
    };
    assert_eq!(conflicts[0].actual.version, Version::new(2));
    let empty = client.write(Transact::default()).await.unwrap_err();
    assert_eq!(empty.to_string(), "the request is empty");
    client.close().await;
    cluster.stop().await;
}

/// Each key is written by one client, 1, 2, 3, ...: a version that differs from the number of
/// acknowledged writes is a write lost or applied twice.
#[tokio::test(flavor = "multi_thread")]
async fn cluster_restart_of_the_leader_loses_and_doubles_nothing() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let done = Arc::new(AtomicU64::new(0));
    let mut writers = tokio::task::JoinSet::new();
    const WRITES: u64 = 150;
    for writer in 0..16 {
        let (client, done) = (client.clone(), done.clone());
        writers.spawn(async move {
            for n in 1..=WRITES {
                let written = client.put(format!("writer-{writer}"), n.to_string()).await.unwrap();
                assert_eq!(written.version.get(), n, "writer {writer}");
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    while done.load(Ordering::Relaxed) < 16 * WRITES / 3 {
        pause().await;
    }
    let leader = cluster.leader().await;
    cluster.stop_node(leader).await;
    while done.load(Ordering::Relaxed) < 16 * WRITES * 2 / 3 {
        pause().await;
    }
    cluster.start_node(leader).await;
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    for writer in 0..16 {
        let record = client.get(format!("writer-{writer}")).await.unwrap().unwrap();
        assert_eq!(record.version.get(), WRITES);
    }
    cluster.equal_digests().await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_all_nodes_restart_and_keep_everything() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    for n in 0..50 {
        client.put(format!("k{n}"), "v").await.unwrap();
    }
    for node in 0..3 {
        cluster.stop_node(node).await;
    }
    for node in 0..3 {
        cluster.start_node(node).await;
    }
    // The same client, the same session.
    assert_eq!(client.put("k7", "w").await.unwrap().version.get(), 2);
    let all = client.scan(KeyRange::all(), ScanOptions::default()).await.unwrap();
    assert_eq!(all.len(), 50);
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_follower_that_was_away_catches_up_by_snapshot() {
    let timing = Timing { snapshot_every: 60, log_keep: 5, ..Timing::default() };
    let mut cluster = Cluster::with_timing(3, timing).await;
    let client = cluster.client().await;
    client.put("before", "1").await.unwrap();
    let away = (cluster.leader().await + 1) % 3;
    cluster.stop_node(away).await;
    // Until the others have no log of what it missed: the leader keeps it for as long as it waits
    // for an answer from the one that went, and snapshots are made while writes go on.
    let status = |server: &Server| server.node().shard_status(Default::default()).unwrap();
    let mut n = 0;
    while cluster.servers.iter().flatten().any(|server| status(server).first.get() <= 300) {
        client.put(format!("k{}", n % 40), n.to_string()).await.unwrap();
        n += 1;
    }
    cluster.start_node(away).await;
    cluster.equal_digests().await;
    let installed = status(cluster.servers[away].as_ref().unwrap());
    assert!(installed.first.get() > 300, "it has a log of what it missed: {installed:?}");
    assert!(installed.snapshot.get() >= 300, "it has no snapshot of what it missed: {installed:?}");
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_unknown_client_is_refused_with_the_reason() {
    let cluster = Cluster::start(1).await;
    let ticket: Ticket = cluster.ticket().parse().unwrap();
    let stranger = Secret::generate();
    let key = stranger.public();
    let forged = Ticket::new(ticket.cluster(), ticket.nodes().to_vec(), Some(stranger)).unwrap();
    let refused = Client::connect_with(&forged, Options::default()).await.err().unwrap();
    let ConnectError::Request { source: RequestError::Denied { reason } } = refused else {
        panic!("{refused}")
    };
    assert_eq!(reason, format!("key {key} is not a client of this cluster; ask for a ticket"));
    let other = Ticket::new(7, ticket.nodes().to_vec(), ticket.secret().cloned()).unwrap();
    let other = Client::connect_with(&other, Options::default()).await.err().unwrap();
    assert!(matches!(other, ConnectError::OtherCluster { expected: 7, .. }), "{other}");
    assert!(matches!(Client::connect("aspen1!").await, Err(ConnectError::BadTicket { .. })));
    cluster.client().await.put("a", "1").await.unwrap();
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_oversized_requests_are_refused_and_others_go_on() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let message = |error: WriteError| error.to_string();
    let long = "k".repeat(KEY_BYTES_MAX + 1);
    assert_eq!(
        message(client.put(&long, "v").await.unwrap_err()),
        "key is 1025 bytes, allowed are 1 to 1024"
    );
    assert!(client.get("").await.is_err());
    assert_eq!(
        message(client.put("k", vec![0; VALUE_BYTES_MAX + 1]).await.unwrap_err()),
        "value is 1048577 bytes, limit is 1048576"
    );
    let component = vec![0; LARGE_COMPONENT_BYTES_MAX + 1];
    assert_eq!(
        message(client.upload("big", component).await.unwrap_err()),
        "component is 25165825 bytes, limit is 25165824"
    );
    let write = |n: usize| {
        let key = Key::try_from(format!("k{n}").as_str()).unwrap();
        WriteOp::set(key, Value::new(vec![0; VALUE_BYTES_MAX]).unwrap())
    };
    let large = client.write(Transact::writes((0..5).map(write))).await.unwrap_err();
    assert!(matches!(large, WriteError::Refusal { refusal: Refusal::TransactionTooLarge { .. } }));
    let largest = client.put(&long[1..], vec![7; VALUE_BYTES_MAX]).await.unwrap();
    assert_eq!(largest.version.get(), 1);
    let read = client.get(&long[1..]).await.unwrap().unwrap();
    assert_eq!(read.value.as_bytes().len(), VALUE_BYTES_MAX);
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_bad_components_are_refused_by_name() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let bank = guests::component("bank");
    let wasi = wat::parse_str(
        r#"(component (import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u64))))))"#,
    );
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("random bytes", b"not wasm at all".to_vec(), "WebAssembly"),
        ("empty", vec![], "WebAssembly"),
        ("core module", wat::parse_str("(module)").unwrap(), "component"),
        ("truncated", bank[..bank.len() / 2].to_vec(), ""),
        ("wasi", wasi.unwrap(), "wasi:random/random@0.2.0"),
    ];
    for (what, bytes, names) in cases {
        let refused = client.upload("bad", bytes).await.unwrap_err();
        let WriteError::Request { source: RequestError::Refused { refused } } = &refused else {
            panic!("{what}: {refused}")
        };
        let ErrorReply::BadComponent { reason } = refused else { panic!("{what}: {refused}") };
        assert!(reason.contains(names), "{what}: {reason}");
    }
    assert!(client.components().await.unwrap().is_empty());
    assert!(client.upload("Bad Name", bank.clone()).await.is_err());
    client.upload("bank", bank).await.unwrap();
    assert_eq!(client.components().await.unwrap().len(), 1);
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_calls_are_typed_and_wrong_ones_do_nothing() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    client.upload("bank", guests::component("bank")).await.unwrap();
    let call =
        async |function: &str, args: &[Val]| client.call("bank", function, "bank", args).await;
    call("open", &["ada".into(), 100u64.into()]).await.unwrap();
    call("open", &["ben".into(), 0u64.into()]).await.unwrap();
    let receipt = call("transfer", &["ada".into(), "ben".into(), 30u64.into()]).await.unwrap();
    assert_eq!(receipt.writes, 2);
    let Err(CallError::Aborted { error, .. }) =
        call("transfer", &["ada".into(), "ben".into(), 300u64.into()]).await
    else {
        panic!("ada has only 70")
    };
    assert_eq!(error, Some("account ada has only 70".into()));
    let refusal = async |function: &str, args: &[Val]| match call(function, args).await {
        Err(CallError::CallRefusal { refusal }) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refusal("steal", &[]).await, Refusal::FunctionUnknown);
    assert_eq!(refusal("balance", &[]).await, Refusal::BadArguments);
    assert_eq!(refusal("balance", &[7u64.into()]).await, Refusal::BadArguments);
    let unknown = client.call("none", "f", "k", &[]).await.unwrap_err();
    assert_eq!(unknown.to_string(), "no such component");
    let balance = call("balance", &["ada".into()]).await.unwrap();
    assert_eq!(balance.value, Some(Val::U64(70)));
    cluster.equal_digests().await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_function_that_never_ends_is_stopped_on_all_replicas_alike() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let endless = wat::parse_str(
        r#"(component
            (core module $m (func (export "f") (loop $l (br $l))))
            (core instance $i (instantiate $m))
            (func (export "spin") (canon lift (core func $i "f"))))"#,
    );
    client.upload("endless", endless.unwrap()).await.unwrap();
    for _ in 0..3 {
        let fault = client.call("endless", "spin", "k", &[]).await.unwrap_err();
        assert!(
            matches!(fault, CallError::Faulted { fault: GuestFault::OutOfFuel, .. }),
            "{fault}"
        );
    }
    client.put("k", "v").await.unwrap();
    cluster.equal_digests().await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_garbage_on_the_socket_harms_nobody() {
    let cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let address = cluster.servers[0].as_ref().unwrap().address().addr;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for length in 0..1200 {
        let garbage: Vec<u8> = (0..length).map(|at| (at * 31 + length) as u8).collect();
        socket.send_to(&garbage, address).unwrap();
        if length % 100 == 0 {
            client.put("k", "v").await.unwrap();
        }
    }
    assert_eq!(client.get("k").await.unwrap().unwrap().version.get(), 12);
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_node_joins_votes_and_leaves() {
    let dir = tempfile::tempdir().unwrap();
    let any = ([127, 0, 0, 1], 0).into();
    let first = join::init(&dir.path().join("1"), any, 1, 3).await.unwrap();
    let text = std::fs::read_to_string(dir.path().join("1/ticket")).unwrap();
    let ticket: Ticket = text.parse().unwrap();
    let client = Client::connect(&text).await.unwrap();
    client.put("before", "1").await.unwrap();
    let mut joined = vec![];
    for n in 2..=3u64 {
        let folder = dir.path().join(n.to_string());
        let server = join::join(&folder, any, &ticket).await.unwrap();
        assert_eq!(server.node().id(), NodeId::new(n));
        join::wait_for_replicas(&ticket, server.node().id()).await.unwrap();
        joined.push(server);
    }
    let placement = client.cluster().await.unwrap().placement;
    assert_eq!(placement.shards[0].now.len(), 3);
    // Two of three go on without the first.
    first.stop().await;
    client.put("without the first", "1").await.unwrap();
    let refused = client.remove_node(NodeId::new(2)).await.unwrap_err();
    assert!(refused.to_string().contains("no majority"), "{refused}");
    client.remove_node(NodeId::new(1)).await.unwrap();
    let is_gone =
        |id| move |info: &ClusterInfo| !info.placement.nodes.contains_key(&NodeId::new(id));
    client.settle(is_gone(1)).await.unwrap();
    let unknown = client.remove_node(NodeId::new(9)).await.unwrap_err();
    assert_eq!(unknown.to_string(), "not found: node n9");
    let placement = client.cluster().await.unwrap().placement;
    let members: Vec<u64> = placement.nodes.keys().map(|node| node.get()).collect();
    assert_eq!(members, [2, 3]);
    let nobody: PeerAddr = format!("{}@127.0.0.1:1", "00".repeat(32)).parse().unwrap();
    assert_eq!(client.add_node(&nobody).await.unwrap(), NodeId::new(4));
    client.remove_node(NodeId::new(4)).await.unwrap();
    client.settle(is_gone(4)).await.unwrap();
    client.close().await;
    for server in joined {
        server.stop().await;
    }
}

/// A node that was away knows neither the members that came meanwhile nor the leader among them.
#[tokio::test(flavor = "multi_thread")]
async fn cluster_node_that_was_away_follows_a_leader_that_joined_meanwhile() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    client.put("before", "1").await.unwrap();
    cluster.equal_digests().await;
    cluster.stop_node(2).await;
    let ticket: Ticket = cluster.ticket().parse().unwrap();
    let any = ([127, 0, 0, 1], 0).into();
    let joined = join::join(&cluster.folder(3), any, &ticket).await.unwrap();
    join::wait_for_replicas(&ticket, joined.node().id()).await.unwrap();
    cluster.servers.push(Some(joined));
    // Of the two that are left, one hands the lead over to the other when it stops.
    client.remove_node(NodeId::new(1)).await.unwrap();
    let is_gone = |info: &ClusterInfo| !info.placement.nodes.contains_key(&NodeId::new(1));
    client.settle(is_gone).await.unwrap();
    cluster.stop_node(0).await;
    if cluster.leader().await == 1 {
        cluster.stop_node(1).await;
        cluster.start_node(1).await;
    }
    assert_eq!(cluster.leader().await, 3);
    client.put("meanwhile", "1").await.unwrap();
    cluster.start_node(2).await;
    cluster.equal_digests().await;
    assert_eq!(cluster.leader().await, 3);
    client.close().await;
    cluster.stop().await;
}
