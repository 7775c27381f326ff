//! Hashes of whole states, for clients that compare the replicas of a shard.
//!
//! Promises that all replicas hash their state as of one log entry, which whoever leads proposes, and
//! that any node says at once how far its own is. Asked twice there are two entries, so asking again
//! does no harm. Leaves out the hashing (`aspen-store`) and the comparison (`aspen-client`).

use aspen_core::{Caller, Command, LogIndex, Refused, Response, ShardId, Verification};
use aspen_net::PeerId;

use crate::node::ShardedRaftNode;
use crate::requests::{entry, refused};
use crate::two_phase::led;

/// Proposes that every replica hashes its state.
pub async fn begin(
    node: &ShardedRaftNode,
    from: PeerId,
    shard: ShardId,
) -> Result<Response, Refused> {
    let shard = led(node, shard)?;
    let entry = entry(node, Caller::new(*from.as_bytes()), None, Command::Verify);
    let (index, _) = shard.propose_at(entry).await.map_err(refused)?;
    Ok(Response::Verifying { index })
}

/// How far this node's replica is. One that has failed is an answer too, as is that there is none.
pub fn found(node: &ShardedRaftNode, shard: ShardId, index: LogIndex) -> Result<Response, Refused> {
    if shard.get() >= node.router().shards() {
        return Err(Refused::NotFound { what: format!("shard {shard}") });
    }
    let verification = match node.shard(shard) {
        Some(shard) => shard.reader.verification(index),
        None => {
            let reason = node.waiting(shard);
            let reason = reason.unwrap_or_else(|| "there is no replica of it here".into());
            Verification::Failed { reason }
        }
    };
    Ok(Response::Verified(verification))
}
