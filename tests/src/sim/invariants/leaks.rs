//! Nothing is left that should be gone, and every replica holds the same of the rest.

use std::collections::BTreeMap;
use std::time::Duration;

use aspen_core::ShardId;
use madsim::time::{sleep, timeout};

use crate::sim::cluster::SimCluster;

/// Longer than any lease that a workload leaves behind, with clocks that jumped.
const EXPIRE_WAIT: Duration = Duration::from_secs(60);

/// Waits until all leases are over on every replica, then compares the sessions.
///
/// # Panics
/// If a lease stays, or replicas differ.
pub async fn check(cluster: &SimCluster) {
    let gone = async {
        loop {
            let held = held(cluster).await;
            let replicas = cluster.seated().len() * usize::from(cluster.shards);
            if held.len() == replicas && held.values().all(|(_, leases)| *leases == 0) {
                return held;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let Ok(held) = timeout(EXPIRE_WAIT, gone).await else {
        panic!("leaks: leases stay: {:?}", held(cluster).await);
    };
    for ((shard, node), (sessions, _)) in &held {
        let of_shard = held.iter().filter(|((other, _), _)| other == shard);
        let mut others = of_shard.map(|(_, (sessions, _))| sessions);
        assert!(others.all(|other| other == sessions), "leaks: node {node} {shard}: {held:?}");
    }
}

/// Sessions and leases, by shard and node.
async fn held(cluster: &SimCluster) -> BTreeMap<(ShardId, u64), (usize, usize)> {
    let mut all = BTreeMap::new();
    for node in cluster.nodes() {
        for shard in node.router().all() {
            if let Some(held) = node.held(shard).await {
                all.insert((shard, node.id().get()), held);
            }
        }
    }
    all
}
