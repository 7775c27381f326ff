//! Folders that are damaged, mixed up, or in use: a clear error or a repair, and nothing lost.

use std::path::{Path, PathBuf};

use aspen::dev::DevCluster;
use aspen_client::{KeyRange, ScanOptions};
use aspen_node::Timing;
use aspen_tests::cluster::Cluster;

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn filled(nodes: u16) -> Cluster {
    let cluster = Cluster::start(nodes).await;
    let client = cluster.client().await;
    for n in 0..100 {
        client.put(format!("k{n}"), "v".repeat(500)).await.unwrap();
    }
    client.close().await;
    cluster
}

/// The file of a stopped node's state.
fn state_file(cluster: &Cluster) -> PathBuf {
    let folder = cluster.folder(0).join("shard-0");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut states = files.filter(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("state-") && name.ends_with(".db")
    });
    states.next().unwrap()
}

/// Overwrites the middle of a file.
fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let (start, end) = (bytes.len() / 4, bytes.len() * 3 / 4);
    bytes[start..end].fill(0xa5);
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_embedded_store_keeps_everything_over_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let store = aspen_node::open(dir.path()).await.unwrap();
        let client = store.client();
        assert_eq!(client.put("k", "v").await.unwrap().version.get(), round);
        let second = aspen_node::open(dir.path()).await.err().unwrap();
        assert!(second.to_string().ends_with("is in use by another process"), "{second}");
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_damaged_state_is_rebuilt_from_the_log() {
    let mut cluster = filled(1).await;
    cluster.stop_node(0).await;
    damage(&state_file(&cluster));
    cluster.start_node(0).await;
    let client = cluster.client().await;
    let all = client.scan(KeyRange::all(), ScanOptions::default()).await.unwrap();
    assert_eq!(all.len(), 100);
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_lost_state_is_rebuilt_from_the_log() {
    let mut cluster = filled(1).await;
    cluster.stop_node(0).await;
    std::fs::remove_dir_all(cluster.folder(0).join("shard-0")).unwrap();
    cluster.start_node(0).await;
    let client = cluster.client().await;
    assert_eq!(client.get("k99").await.unwrap().unwrap().version.get(), 1);
    client.close().await;
    cluster.stop().await;
}

/// The log is deleted up to its snapshot, and that is gone with the state.
#[tokio::test(flavor = "multi_thread")]
async fn storage_lost_state_without_a_whole_log_is_fetched_from_another_replica() {
    let timing = Timing { snapshot_every: 60, log_keep: 5, ..Timing::default() };
    let mut cluster = Cluster::with_timing(3, timing).await;
    let client = cluster.client().await;
    let first = |cluster: &Cluster| {
        let node = cluster.servers[0].as_ref().unwrap().node();
        node.shard_status(Default::default()).unwrap().first.get()
    };
    let mut n = 0;
    while first(&cluster) < 50 {
        client.put(format!("k{}", n % 40), n.to_string()).await.unwrap();
        n += 1;
    }
    cluster.equal_digests().await;
    cluster.stop_node(0).await;
    std::fs::remove_dir_all(cluster.folder(0).join("shard-0")).unwrap();
    client.put("k7", "meanwhile").await.unwrap();
    cluster.start_node(0).await;
    cluster.equal_digests().await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_damaged_log_stops_one_node_and_the_others_go_on() {
    let mut cluster = filled(3).await;
    let victim = cluster.leader().await;
    cluster.stop_node(victim).await;
    damage(&cluster.folder(victim).join("log.redb"));
    let refused = chain(&cluster.try_start_node(victim).await.err().unwrap());
    assert!(refused.contains("log.redb"), "{refused}");
    let client = cluster.client().await;
    client.put("k0", "still here").await.unwrap();
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_log_that_is_gone_is_not_made_anew() {
    let mut cluster = filled(1).await;
    cluster.stop_node(0).await;
    std::fs::remove_file(cluster.folder(0).join("log.redb")).unwrap();
    let refused = cluster.try_start_node(0).await.err().unwrap().to_string();
    assert!(refused.contains("log.redb is missing: remove the node"), "{refused}");
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_files_of_another_cluster_are_refused() {
    let (mut one, mut other) = (filled(1).await, filled(1).await);
    one.stop_node(0).await;
    other.stop_node(0).await;
    let (from, to) = (other.folder(0).join("log.redb"), one.folder(0).join("log.redb"));
    let own = std::fs::read(&to).unwrap();
    std::fs::copy(&from, &to).unwrap();
    let refused = one.try_start_node(0).await.err().unwrap().to_string();
    assert!(refused.contains("belongs to"), "{refused}");
    std::fs::write(&to, own).unwrap();
    std::fs::copy(state_file(&other), state_file(&one)).unwrap();
    let refused = one.try_start_node(0).await.err().unwrap().to_string();
    assert!(refused.contains("belongs to"), "{refused}");
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_development_cluster_keeps_its_shape() {
    let dir = tempfile::tempdir().unwrap();
    let start = async |nodes, shards| {
        DevCluster::start(dir.path(), nodes, shards, None, Timing::default()).await
    };
    start(Some(2), Some(1)).await.unwrap().stop().await;
    let nodes = start(Some(3), None).await.err().unwrap().to_string();
    assert!(nodes.ends_with("has 2 nodes, not 3"), "{nodes}");
    let shards = start(None, Some(8)).await.err().unwrap().to_string();
    assert!(shards.ends_with("was made with 1 shards, not 8"), "{shards}");
    start(None, None).await.unwrap().stop().await;
    let dir = tempfile::tempdir().unwrap();
    for shards in [0, 257] {
        let refused =
            DevCluster::start(dir.path(), Some(1), Some(shards), None, Timing::default()).await;
        let refused = refused.err().unwrap().to_string();
        assert_eq!(refused, format!("a cluster has 1 to 256 shards, not {shards}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn storage_damaged_identity_is_named() {
    let mut cluster = filled(1).await;
    cluster.stop_node(0).await;
    std::fs::write(cluster.folder(0).join("node.json"), "{").unwrap();
    let refused = cluster.try_start_node(0).await.err().unwrap().to_string();
    assert!(refused.contains("node.json is damaged"), "{refused}");
    cluster.stop().await;
}
