//! One clock for the heartbeats of all shards.
//!
//! Left to itself, each Raft group wakes up five times per heartbeat to look at the clock: with 256
//! shards that is most of the cost of an idle node, for each of those moments wakes a thread. Here
//! all groups sleep while all is well, and one task wakes per heartbeat:
//!
//! ```text
//! leads a shard               tells it to send a heartbeat; its own clock is off
//! follows, has heard lately   does nothing; its own clock is off
//! follows, has not heard      switches its own clock on: elections are Raft's affair alone
//! ```
//!
//! A replica that has promised more than it has (`ShardLog::promised`) stands for no election.
//!
//! Promises that heartbeats of all shards to one node leave at the same moment, so that they share
//! packets, and that silence is noticed at most one heartbeat later than by a clock of its own. A
//! shard that is slow to take its heartbeat holds up others for one heartbeat at most.

use std::sync::Weak;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use crate::context::NodeContext;
use crate::replica::Replica;

/// Sends heartbeats every `every`, until the node is gone. No heartbeat is held back to share a message:
/// a linearizable read asks for a heartbeat too, and waits for the answer.
pub async fn send_heartbeats(node: Weak<NodeContext>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(node) = node.upgrade() else { return };
        let heartbeats = node.replicas().map(|replica| {
            let leads = node.leads(replica.id);
            timeout(every, async move { send_heartbeat(&replica, leads).await })
        });
        // The next heartbeat makes up for one that could not be sent in time.
        let _ = join_all(heartbeats).await;
    }
}

async fn send_heartbeat(replica: &Replica, leads: bool) {
    let has_heard = replica.heard_within(2 * replica.heartbeat());
    let config = replica.raft.runtime_config();
    config.tick(!leads && !has_heard);
    config.elect(replica.log.promised().is_none());
    if leads {
        // Fails only when the group has stopped.
        let _ = replica.raft.trigger().heartbeat().await;
    }
}
