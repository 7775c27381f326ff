//! Nothing is left that should be gone, and every replica holds the same of the rest.

use std::collections::BTreeMap;
use std::time::Duration;

use aspen_core::ids::ShardId;
use aspen_node::HeldResources;
use madsim::time::{sleep, timeout};

use crate::sim::cluster::SimCluster;

/// Longer than any lease that a workload leaves behind, with clocks that jumped.
const EXPIRE_WAIT: Duration = Duration::from_secs(60);

/// Waits until all leases, and all transactions across shards, are over on every replica.
///
/// # Panics
/// If one stays.
pub async fn nothing_stays(cluster: &SimCluster) {
    let stays = |held: &HeldResources| held.leases + held.prepared + held.commits > 0;
    let gone = async {
        while held(cluster).await.values().any(stays) {
            sleep(Duration::from_millis(100)).await;
        }
    };
    if timeout(EXPIRE_WAIT, gone).await.is_err() {
        panic!("leaks: something stays: {:?}", held(cluster).await);
    }
}

/// Compares the sessions of replicas that have applied the same entries.
///
/// # Panics
/// If they differ.
pub async fn sessions(cluster: &SimCluster) {
    let held = held(cluster).await;
    for ((shard, node), HeldResources { sessions, .. }) in &held {
        let of_shard = held.iter().filter(|((other, _), _)| other == shard);
        let mut others = of_shard.map(|(_, held)| held.sessions);
        assert!(others.all(|other| other == *sessions), "leaks: node {node} {shard}: {held:?}");
    }
}

/// By shard and node.
async fn held(cluster: &SimCluster) -> BTreeMap<(ShardId, u64), HeldResources> {
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
