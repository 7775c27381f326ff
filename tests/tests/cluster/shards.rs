//! Real clusters of several shards over iroh: where leaders are, and where keys go.

use std::time::{Duration, Instant};

use aspen_node::Timing;
use aspen_tests::cluster::{Cluster, pause};

/// Far above what a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Returns the number of shards that each node leads, by its own account.
fn leads(cluster: &Cluster) -> Vec<usize> {
    let of = |server: &Option<aspen::server::Server>| {
        let node = server.as_ref().map(|server| server.node());
        node.map_or(0, |node| node.router().all().filter(|shard| node.leads(*shard)).count())
    };
    cluster.servers.iter().map(of).collect()
}

/// Waits until the nodes lead these numbers of shards.
async fn settled(cluster: &Cluster, wanted: &[usize]) {
    let end = Instant::now() + PATIENCE;
    while leads(cluster) != wanted {
        assert!(Instant::now() < end, "leads are {:?}, not {wanted:?}", leads(cluster));
        pause().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_leaders_are_spread_evenly_after_a_restart() {
    let mut cluster = Cluster::with_shards(3, 6, Timing::default()).await;
    let client = cluster.client().await;
    settled(&cluster, &[2, 2, 2]).await;
    cluster.stop_node(0).await;
    settled(&cluster, &[0, 3, 3]).await;
    for n in 0..30 {
        client.put(format!("k{n}"), "v").await.unwrap();
    }
    cluster.start_node(0).await;
    settled(&cluster, &[2, 2, 2]).await;
    for n in 0..30 {
        let record = client.get(format!("k{n}")).await.unwrap().unwrap();
        assert_eq!(record.version.get(), 1, "k{n}");
    }
    client.close().await;
    cluster.stop().await;
}
