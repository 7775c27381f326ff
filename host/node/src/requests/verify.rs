//! Hashes of whole states, for clients that compare the replicas of a shard.
//!
//! Promises that all replicas hash their state as of one log entry, which the leader proposes, and
//! that any node says at once how far its own hash is. Asked twice there are two entries, so asking
//! again does no harm. Leaves out the hashing (`aspen-store`) and the comparison (`aspen-client`).

use aspen_core::ids::{Caller, LogIndex, ShardId};
use aspen_core::protocol::{Command, ErrorReply, Response};
use aspen_core::state::Verification;
use aspen_net::PeerId;

use crate::context::{NodeContext, encoded_entry, led};

/// Proposes that every replica hashes its state.
pub async fn begin(
    node: &NodeContext,
    from: PeerId,
    shard: ShardId,
) -> Result<Response, ErrorReply> {
    let replica = led(node, shard)?;
    let entry = encoded_entry(node, Caller::new(*from.as_bytes()), None, Command::Verify);
    let (index, _) = replica.propose_at(entry).await?;
    Ok(Response::Verifying { index })
}

/// Returns how far this node's replica is. A replica that has failed gives an answer too, and so
/// does a node without a replica.
pub fn found(node: &NodeContext, shard: ShardId, index: LogIndex) -> Result<Response, ErrorReply> {
    if shard.get() >= node.router().shards() {
        return Err(ErrorReply::NotFound { what: format!("shard {shard}") });
    }
    let verification = match node.replica(shard) {
        Some(replica) => replica.reader.verification(index),
        None => {
            let reason = node.waiting(shard);
            let reason = reason.unwrap_or_else(|| "there is no replica of it here".into());
            Verification::Failed { reason }
        }
    };
    Ok(Response::Verified(verification))
}
