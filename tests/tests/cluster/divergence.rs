//! A replica that computes something else than the others: found at the entry, out of service,
//! repaired; and never found where nothing differs.
//!
//! The difference is made in the state file of a stopped node: a key with another version. The next
//! write to that key then has another outcome there than on the others, as a failing memory or a
//! nondeterministic build would cause it.

use std::hash::Hasher;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use aspen_client::{Client, Consistency, Ticket, stale};
use aspen_core::codec::{decode, encode};
use aspen_core::ids::ShardId;
use aspen_core::key::Key;
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{ErrorReply, ReplicaStatus, Request, Response};
use aspen_net::{IrohConfig, IrohTransport, Purpose, Transport};
use aspen_node::Timing;
use aspen_tests::cluster::{Cluster, pause};

const TIMING: fn() -> Timing = || Timing {
    snapshot_every: 60,
    log_keep: 5,
    digest_check: Duration::from_millis(100),
    ..Timing::default()
};

/// The time that anything may take: far above what a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

fn status(cluster: &Cluster, node: usize) -> ReplicaStatus {
    cluster.servers[node].as_ref().unwrap().node().shard_status(ShardId::new(0)).unwrap()
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "not yet: {what}");
        pause().await;
    }
}

async fn fill(client: &Client, writes: u64) {
    for n in 0..writes {
        client.put(format!("k{}", n % 40), n.to_string()).await.unwrap();
    }
}

/// A file of a stopped node's shard.
fn file(cluster: &Cluster, node: usize, name: impl Fn(&str) -> bool) -> Option<PathBuf> {
    let folder = cluster.folder(node).join("shard-0");
    let mut paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.find(|path| name(path.file_name().unwrap().to_str().unwrap()))
}

/// The key that the states disagree on.
const KEY: &[u8] = b"odd";

/// Lets the state of a node differ in what [`KEY`] is.
async fn tamper(cluster: &mut Cluster, node: usize) {
    cluster.stop_node(node).await;
    let is_state = |name: &str| name.starts_with("state-") && name.ends_with(".db");
    let state = rusqlite::Connection::open(file(cluster, node, is_state).unwrap()).unwrap();
    let columns = "value, version, create_revision, mod_revision, lease";
    let sql = format!("SELECT {columns} FROM kv WHERE key = ?1");
    let row = |row: &rusqlite::Row<'_>| {
        let numbers: [i64; 4] = [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?];
        Ok((row.get::<_, Vec<u8>>(0)?, numbers))
    };
    let (value, mut numbers) = state.query_row(&sql, [KEY], row).unwrap();
    numbers[0] += 5;
    // The wrong row must look right, else the replica finds it by itself.
    let mut sum = seahash::SeaHasher::default();
    for blob in [KEY, &value] {
        sum.write_u64(blob.len() as u64);
        sum.write(blob);
    }
    numbers.iter().for_each(|number| sum.write_u64(number.cast_unsigned()));
    let update = "UPDATE kv SET version = ?1, sum = ?2 WHERE key = ?3";
    let changed = state.execute(update, (numbers[0], sum.finish().cast_signed(), KEY));
    assert_eq!(changed.unwrap(), 1);
    state.close().unwrap();
    cluster.start_node(node).await;
    cluster.equal_digests().await;
}

/// Moves the lead to a node.
async fn lead(cluster: &mut Cluster, node: usize) {
    loop {
        let leader = cluster.leader().await;
        if leader == node {
            return;
        }
        cluster.stop_node(leader).await;
        cluster.leader().await;
        cluster.start_node(leader).await;
        cluster.equal_digests().await;
    }
}

/// Asks one node for key "odd", and returns the node's own answer.
async fn ask(cluster: &Cluster, node: usize, consistency: Consistency) -> Response {
    let ticket: Ticket = cluster.ticket().parse().unwrap();
    let (secret, bind) = (ticket.secret().unwrap().clone(), ([127, 0, 0, 1], 0).into());
    let transport = IrohTransport::bind(IrohConfig { secret, bind }).await.unwrap();
    let (shard, keys) = (ShardId::new(0), vec![Key::try_from("odd").unwrap()]);
    let request = Request::Get { shard, keys, reads: vec![], consistency };
    let address = cluster.servers[node].as_ref().unwrap().address();
    let asked = transport.request(&address, Purpose::Client, encode(&request), PATIENCE).await;
    transport.close().await;
    decode(&asked.unwrap()).unwrap()
}

/// Node 0 diverges, leading or not; its local snapshot is usable for the repair or not.
async fn diverges_and_is_repaired(leads: bool, has_snapshot: bool) {
    let mut cluster = Cluster::with_timing(3, TIMING()).await;
    let client = cluster.client().await;
    client.put("odd", "1").await.unwrap();
    fill(&client, 200).await;
    cluster.equal_digests().await;
    // One that is fresh: the next is made after the victim is found.
    let age = |status: ReplicaStatus| status.last.get() - status.snapshot.get();
    while age(status(&cluster, 0)) > 15 {
        fill(&client, 1).await;
        pause().await;
    }
    tamper(&mut cluster, 0).await;
    if leads {
        lead(&mut cluster, 0).await;
    }
    let last = status(&cluster, 0).last.get();

    client.put("even", "1").await.unwrap();
    client.put("odd", "2").await.unwrap();
    fill(&client, 20).await;
    until("the victim is found", || status(&cluster, 0).failed.is_some()).await;
    let failed = status(&cluster, 0).failed.unwrap();
    let found = format!("diverged at entry {}: its digest is ", last + 2);
    assert!(failed.starts_with(&found), "{failed}, not {found}");
    assert!(failed.contains("2 of 3 replicas have"), "{failed}");

    // The others go on, as far as beyond what the victim's log could fill in.
    let goal = status(&cluster, 1).last.get() + 300;
    while [1, 2].iter().any(|node| status(&cluster, *node).snapshot.get() < goal) {
        fill(&client, 40).await;
    }
    assert_eq!([1, 2].map(|node| status(&cluster, node).failed), [None, None]);
    until("the others are content", || {
        [1, 2].iter().all(|n| status(&cluster, *n).warning.is_none())
    })
    .await;

    // The victim serves nothing, and says why.
    for consistency in [Consistency::Linearizable, stale(PATIENCE)] {
        let answer = ask(&cluster, 0, consistency).await;
        let Response::Error(ErrorReply::Failed { reason }) = answer else { panic!("{answer:?}") };
        assert_eq!(reason, failed);
    }

    cluster.stop_node(0).await;
    if !has_snapshot {
        std::fs::remove_file(file(&cluster, 0, |name| name == "snapshot.meta").unwrap()).unwrap();
    }
    cluster.start_node(0).await;
    assert_eq!(status(&cluster, 0).failed.is_none(), has_snapshot, "{:?}", status(&cluster, 0));
    until("the victim runs", || status(&cluster, 0).failed.is_none()).await;
    client.put("odd", "3").await.unwrap();
    fill(&client, 40).await;
    cluster.equal_digests().await;
    let answer = ask(&cluster, 0, stale(PATIENCE)).await;
    let Response::Records { records, .. } = answer else { panic!("{answer:?}") };
    assert_eq!(records[0].as_ref().unwrap().version.get(), 3);
    assert!(file(&cluster, 0, |name| name == "diverged").is_none(), "the mark is gone");
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_divergence_of_a_follower_is_repaired_from_its_own_snapshot() {
    diverges_and_is_repaired(false, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_divergence_of_a_leader_is_repaired_from_another_replica() {
    diverges_and_is_repaired(true, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_divergence_stops_one_shard_of_a_node_and_no_other() {
    let mut cluster = Cluster::with_shards(3, 2, TIMING()).await;
    let client = cluster.client().await;
    let router = ShardRouter::new(2).unwrap();
    let other_shard = ShardId::new(1);
    assert_ne!(router.shard(b"odd"), other_shard, "the first shard is tampered with");
    let on_other = |n: &u32| router.shard(format!("k{n}").as_bytes()) == other_shard;
    let key = format!("k{}", (0..).find(on_other).unwrap());
    client.put("odd", "1").await.unwrap();
    cluster.equal_digests().await;
    tamper(&mut cluster, 0).await;
    client.put("odd", "2").await.unwrap();
    until("the victim is found", || status(&cluster, 0).failed.is_some()).await;
    for n in 1..=50 {
        let written = client.put(&key, "v").await.unwrap();
        assert_eq!(written.version.get(), n);
    }
    let other = |node: usize| {
        let node = cluster.servers[node].as_ref().unwrap().node();
        node.shard_status(other_shard).unwrap()
    };
    let equal = || (1..3).all(|node| other(node).applied == other(0).applied);
    until("the other shard is applied everywhere", equal).await;
    assert_eq!((other(0).failed, other(0).digest), (None, other(1).digest));
    client.close().await;
    cluster.stop().await;
}

/// Nobody compared while it happened, and a restart forgets the digests: the entry is not known any
/// more, that there is a difference still is.
#[tokio::test(flavor = "multi_thread")]
async fn cluster_divergence_of_long_ago_is_found_and_repaired_from_the_log() {
    let never = Duration::from_secs(3600);
    let mut cluster = Cluster::with_timing(3, Timing { digest_check: never, ..TIMING() }).await;
    let client = cluster.client().await;
    client.put("odd", "1").await.unwrap();
    cluster.equal_digests().await;
    tamper(&mut cluster, 0).await;
    client.put("odd", "2").await.unwrap();
    let last = status(&cluster, 1).last;
    until("all have applied it", || (0..3).all(|n| status(&cluster, n).applied >= last)).await;
    cluster.timing = TIMING();
    for node in 0..3 {
        cluster.stop_node(node).await;
    }
    for node in 0..3 {
        cluster.start_node(node).await;
    }
    client.put("odd", "3").await.unwrap();
    until("the victim is found", || status(&cluster, 0).failed.is_some()).await;
    let failed = status(&cluster, 0).failed.unwrap();
    assert!(failed.starts_with("diverged at or before entry "), "{failed}");
    cluster.stop_node(0).await;
    cluster.start_node(0).await;
    cluster.equal_digests().await;
    assert_eq!(status(&cluster, 0).failed, None);
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_divergence_of_two_replicas_is_reported_and_nobody_stops() {
    let mut cluster = Cluster::with_timing(2, TIMING()).await;
    let client = cluster.client().await;
    client.put("odd", "1").await.unwrap();
    cluster.equal_digests().await;
    tamper(&mut cluster, 0).await;
    client.put("odd", "2").await.unwrap();
    let warned = || [0, 1].iter().all(|node| status(&cluster, *node).warning.is_some());
    until("both warn", warned).await;
    let warning = status(&cluster, 1).warning.unwrap();
    assert!(warning.starts_with("differs from n1 at entry "), "{warning}");
    assert!(warning.ends_with("no majority of 2 voters tells who is right"), "{warning}");
    fill(&client, 40).await;
    assert_eq!([0, 1].map(|node| status(&cluster, node).failed), [None, None]);
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_divergence_is_not_seen_in_replicas_that_lag_or_restart() {
    let timing = Timing { digest_check: Duration::from_millis(5), ..TIMING() };
    let mut cluster = Cluster::with_timing(3, timing).await;
    let client = cluster.client().await;
    let writer = client.clone();
    let writes = tokio::spawn(async move {
        loop {
            fill(&writer, 40).await;
        }
    });
    let content = |cluster: &Cluster| {
        for server in cluster.servers.iter().flatten() {
            let status = server.node().shard_status(ShardId::new(0)).unwrap();
            assert_eq!((status.failed, status.warning), (None, None), "{}", server.node().id());
        }
    };
    for round in 0..6 {
        let node = if round % 2 == 0 { cluster.leader().await } else { round / 2 };
        cluster.stop_node(node).await;
        // Every second time so long that it comes back by snapshot.
        let last = cluster.servers.iter().flatten().next().unwrap().node();
        let last = || last.shard_status(ShardId::new(0)).unwrap().last.get();
        let goal = last() + if round % 2 == 0 { 20 } else { 250 };
        until("the others go on", || last() > goal).await;
        content(&cluster);
        cluster.start_node(node).await;
        let end = Instant::now() + Duration::from_millis(300);
        while Instant::now() < end {
            content(&cluster);
            pause().await;
        }
    }
    writes.abort();
    let _ = writes.await;
    cluster.equal_digests().await;
    content(&cluster);
    client.close().await;
    cluster.stop().await;
}
