//! `verify` on real clusters: all replicas equal; one whose stored value changed behind its back, which
//! nothing else notices; one that is damaged; one that is down; and shards that nobody uses.

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::path::PathBuf;
use std::time::Duration;

use aspen_client::{Client, NodeId, Options, ShardVerification, VerificationError, VerifyProgress};
use aspen_core::ids::ShardId;
use aspen_node::Timing;
use aspen_tests::cluster::{Cluster, pause};

const KEY: &[u8] = b"k7";

/// A cluster with one shard of which each node has written everything down.
async fn filled(nodes: u16) -> Cluster {
    let cluster = Cluster::start(nodes).await;
    let client = cluster.client().await;
    for n in 0..100 {
        client.put(format!("k{}", n % 40), n.to_string()).await.unwrap();
    }
    cluster.equal_digests().await;
    client.close().await;
    cluster
}

async fn verify(client: &Client) -> ShardVerification {
    client.verify_shard(ShardId::new(0), |_| {}).await.unwrap()
}

/// Changes the state of a stopped node in its file.
fn change(cluster: &Cluster, node: usize, sql: &str, of: impl rusqlite::Params) {
    let folder = cluster.folder(node).join("shard-0");
    let mut paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_state = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("state-") && name.ends_with(".db")
    };
    let state = rusqlite::Connection::open(paths.find(is_state).unwrap()).unwrap();
    assert_eq!(state.execute(sql, of).unwrap(), 1);
    state.close().unwrap();
}

/// Gives [`KEY`] another value, with the checksum that it must have: nobody can see that by itself.
fn tamper(cluster: &Cluster, node: usize) {
    let value = b"88";
    let mut sum = seahash::SeaHasher::default();
    for blob in [KEY, value] {
        sum.write_u64(blob.len() as u64);
        sum.write(blob);
    }
    // The third write of 40 keys in turn: version 3, at the revisions 8 and 88. No lease.
    for number in [3, 8, 88, 0] {
        sum.write_u64(number);
    }
    let sql = "UPDATE kv SET value = ?1, sum = ?2 WHERE key = ?3 AND version = 3
        AND create_revision = 8 AND mod_revision = 88 AND lease = 0";
    change(cluster, node, sql, (&value[..], sum.finish().cast_signed(), KEY));
}

fn nodes(verified: &ShardVerification) -> BTreeSet<u64> {
    verified.replicas.iter().map(|replica| replica.node.get()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_verify_names_the_replica_that_changed_and_its_remedy_works() {
    let mut cluster = filled(3).await;
    let client = cluster.client().await;
    let before = verify(&client).await;
    assert!(before.is_equal(), "{before:?}");
    assert_eq!(nodes(&before), BTreeSet::from([1, 2, 3]));
    let hash = before.majority().unwrap();
    assert_eq!((hash.keys, before.differing()), (40, vec![]));

    cluster.stop_node(1).await;
    tamper(&cluster, 1);
    cluster.start_node(1).await;
    // It applies and computes what the others do, as far as digests can tell.
    client.put("other", "1").await.unwrap();
    cluster.equal_digests().await;
    let found = verify(&client).await;
    assert_eq!(found.differing(), [NodeId::new(2)], "{found:?}");
    assert!(found.replicas.iter().all(|replica| replica.found.is_ok()), "{found:?}");
    assert_eq!(found.majority().unwrap().keys, 41);
    assert!(found.index > before.index);

    // The steps that the command line advises.
    cluster.stop_node(1).await;
    std::fs::remove_dir_all(cluster.folder(1).join("shard-0")).unwrap();
    cluster.start_node(1).await;
    cluster.equal_digests().await;
    let after = verify(&client).await;
    assert!(after.is_equal(), "{after:?}");
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_verify_tells_of_damage_and_a_restart_repairs_it() {
    let mut cluster = filled(3).await;
    let client = cluster.client().await;
    cluster.stop_node(2).await;
    change(&cluster, 2, "UPDATE kv SET value = x'00' WHERE key = ?1", [KEY]);
    cluster.start_node(2).await;
    cluster.equal_digests().await;
    let found = verify(&client).await;
    assert_eq!(found.differing(), []);
    let is_damaged = |replica: &aspen_client::ReplicaVerification| match &replica.found {
        Err(VerificationError::ReplicaFailed { reason }) => reason.contains("checksum"),
        _ => false,
    };
    let damaged: Vec<u64> =
        found.replicas.iter().filter(|it| is_damaged(it)).map(|it| it.node.get()).collect();
    assert_eq!(damaged, [3], "{found:?}");
    assert!(found.majority().is_some(), "the two others are equal: {found:?}");
    cluster.stop_node(2).await;
    cluster.start_node(2).await;
    cluster.equal_digests().await;
    let after = verify(&client).await;
    assert!(after.is_equal(), "{after:?}");
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_verify_goes_on_without_a_node_that_is_down() {
    let mut cluster = filled(3).await;
    let leader = cluster.leader().await;
    cluster.stop_node(leader).await;
    let limits = Options { attempt: Duration::from_secs(1), ..Options::default() };
    let client = cluster.client_with(limits).await;
    let found = verify(&client).await;
    assert_eq!(nodes(&found), BTreeSet::from([1, 2, 3]));
    for replica in &found.replicas {
        let is_down = replica.node.get() == leader as u64 + 1;
        assert_eq!(
            matches!(replica.found, Err(VerificationError::NotReached { .. })),
            is_down,
            "{found:?}"
        );
        assert_eq!(replica.found.is_ok(), !is_down, "{found:?}");
    }
    assert_eq!((found.is_equal(), found.differing()), (false, vec![]));
    assert!(found.majority().is_some(), "{found:?}");
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_verify_reads_shards_that_nobody_uses_and_clusters_of_one() {
    let cluster = Cluster::with_shards(1, 4, Timing::default()).await;
    let client = cluster.client().await;
    client.put("only", "one").await.unwrap();
    let all = client.verify().await.unwrap();
    assert_eq!(all.iter().map(|one| one.shard.get()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert!(all.iter().all(ShardVerification::is_equal), "{all:?}");
    let keys: u64 = all.iter().filter_map(|one| Some(one.majority()?.keys)).sum();
    assert_eq!(keys, 1);
    let told = std::sync::Mutex::new(vec![]);
    let shard =
        all.iter().find(|one| one.majority().is_some_and(|hash| hash.keys == 1)).unwrap().shard;
    client.verify_shard(shard, |progress| told.lock().unwrap().push(progress)).await.unwrap();
    assert_eq!(told.lock().unwrap().last(), Some(&VerifyProgress { shard, keys: 1, of: 1 }));
    let refused = client.verify_shard(ShardId::new(4), |_| {}).await.unwrap_err().to_string();
    assert_eq!(refused, "not found: shard s4");
    client.close().await;
    cluster.stop().await;
}

/// Entries between the replicas' restarts, a snapshot for one that lags: the hash is of one entry on all.
#[tokio::test(flavor = "multi_thread")]
async fn cluster_verify_is_of_one_entry_while_writes_go_on() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let writer = client.clone();
    let writes = tokio::spawn(async move {
        for n in 0u64.. {
            writer.put(format!("k{}", n % 100), n.to_string()).await.unwrap();
        }
    });
    for _ in 0..10 {
        let found = verify(&client).await;
        assert!(found.is_equal(), "{found:?}");
        pause().await;
    }
    writes.abort();
    let _ = writes.await;
    client.close().await;
    cluster.stop().await;
}
