//! Comparing digests, for each shard by itself.
//!
//! Promises that a slow shard holds up no other. One clock wakes all comparisons, and a shard at
//! rest is not even asked. The comparison is `replica/digest_check.rs`.

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use aspen_core::ids::ShardId;
use tokio::time::{Instant, sleep_until};

use crate::context::NodeContext;
use crate::replica::DigestCheck;
use crate::tasks::ShardJobs;

/// Compares digests every `every`, until the node is gone.
pub async fn check_digests(node: Weak<NodeContext>, every: Duration) {
    // The checks of the shards that are not being compared just now.
    let mut resting: BTreeMap<ShardId, DigestCheck> = BTreeMap::new();
    let mut jobs = ShardJobs::default();
    let mut next = Instant::now() + every;
    loop {
        tokio::select! {
            biased;
            Some((shard, check)) = jobs.next() => {
                resting.insert(shard, check);
                continue;
            }
            () = sleep_until(next) => next = Instant::now() + every,
        }
        let Some(node) = node.upgrade() else { return };
        for replica in node.replicas() {
            replica.outgoing.expire();
            if jobs.is_busy(replica.id) {
                continue;
            }
            let mut check = resting.remove(&replica.id).unwrap_or_default();
            if replica.reader.failed().is_some() || check.is_settled(&replica) {
                resting.insert(replica.id, check);
                continue;
            }
            jobs.start(replica.id, async move {
                check.run(&replica).await;
                check
            });
        }
    }
}
