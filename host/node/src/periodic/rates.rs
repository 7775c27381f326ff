//! Noting how far each replica has applied, and ending views that are over.
//!
//! Promises a clock that waits for no shard, for a view may keep a shard from applying.

use std::sync::Weak;

use tokio::time::{Instant, sleep};

use crate::context::NodeContext;
use crate::limits::RATE_EVERY;

/// Looks at every replica each [`RATE_EVERY`], until the node is gone.
pub async fn note_rates(node: Weak<NodeContext>) {
    loop {
        sleep(RATE_EVERY).await;
        let Some(node) = node.upgrade() else { return };
        for replica in node.replicas() {
            replica.views.expire();
            let applied = replica.reader.status().applied;
            replica.rate.note(Instant::now(), applied.map_or(0, |log_id| log_id.index));
        }
    }
}
