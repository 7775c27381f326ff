//! One clock for the heartbeats of all shards.
//!
//! Left to itself, each Raft group wakes up five times per heartbeat to see what time it is: with
//! 256 shards that is most of what an idle node costs, for each of those moments wakes a thread.
//! Here all groups sleep while all is well, and one task wakes per heartbeat:
//!
//! ```text
//! leads a shard               tells it to send a heartbeat; its own clock is off
//! follows, has heard lately   does nothing; its own clock is off
//! follows, has not heard      switches its own clock on: elections are Raft's affair alone
//! ```
//!
//! But for a replica that has promised more than it has (`ShardLog::promised`): it stands for none.
//!
//! Promises that heartbeats of all shards to one node leave at the same moment, so that they share
//! packets, and that silence is noticed at most one heartbeat later than by a clock of its own. A
//! shard that is slow to take its heartbeat holds up others for one heartbeat at most.

use std::sync::Weak;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use crate::node::ShardedRaftNode;
use crate::shard::Shard;

/// Beats until the node is gone.
pub async fn pulse(node: Weak<ShardedRaftNode>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(node) = node.upgrade() else { return };
        let beats = node.shards().map(|shard| {
            let leads = node.leads(shard.id);
            timeout(every, async move { beat(&shard, leads).await })
        });
        // A heartbeat that could not be given in time is made good by the next.
        let _ = join_all(beats).await;
    }
}

async fn beat(shard: &Shard, leads: bool) {
    let has_heard = shard.heard_within(2 * shard.heartbeat());
    let config = shard.raft.runtime_config();
    config.tick(!leads && !has_heard);
    config.elect(shard.log.promised().is_none());
    if leads {
        // Fails only when the group has stopped.
        let _ = shard.raft.trigger().heartbeat().await;
    }
}
