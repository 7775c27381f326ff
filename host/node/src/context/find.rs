//! Finding the replica that a request needs, and writing the entry that a request proposes.
//!
//! Promises that a refusal names the replicas or the leader to ask instead, as far as this node
//! knows. Leaves out asking them (`ask.rs`).

use std::sync::Arc;

use aspen_core::codec::encode;
use aspen_core::ids::{Caller, RequestId, ShardId, Timestamp};
use aspen_core::protocol::{Command, Consistency, Entry, ErrorReply};
use bytes::Bytes;

use super::node_context::NodeContext;
use crate::replica::Replica;

/// Returns the replica of `shard`, if it runs here and works.
pub fn find(node: &NodeContext, shard: ShardId) -> Result<Arc<Replica>, ErrorReply> {
    match node.replica(shard) {
        Some(found) => match found.reader.failed() {
            Some(reason) => Err(ErrorReply::Failed { reason }),
            None => Ok(found),
        },
        None => Err(match node.waiting(shard) {
            Some(reason) => ErrorReply::Failed { reason },
            None if shard.get() >= node.router().shards() => {
                ErrorReply::NotFound { what: format!("shard {shard}") }
            }
            None => {
                let map = node.map();
                ErrorReply::NotHere { epoch: map.epoch, replicas: map.replicas(shard) }
            }
        }),
    }
}

/// Returns the replica of `shard`, if this node leads the shard.
pub fn led(node: &NodeContext, shard: ShardId) -> Result<Arc<Replica>, ErrorReply> {
    let replica = find(node, shard)?;
    match replica.leader() == Some(node.id()) {
        true => Ok(replica),
        false => Err(ErrorReply::NotLeader { leader: replica.leader_address() }),
    }
}

/// As [`led`], and waits until every acknowledged call is applied here.
pub async fn led_and_ready(node: &NodeContext, shard: ShardId) -> Result<Arc<Replica>, ErrorReply> {
    let replica = led(node, shard)?;
    replica.ready(Consistency::Linearizable).await?;
    Ok(replica)
}

/// Returns an entry as this node proposes it now.
pub fn entry(
    node: &NodeContext,
    caller: Caller,
    request: Option<RequestId>,
    command: Command,
) -> Entry {
    let (stamp, seed) = (Timestamp::new(node.clock_ms()), rand::random());
    Entry { stamp, seed, caller, request, command }
}

/// As [`entry`], encoded.
pub fn encoded_entry(
    node: &NodeContext,
    caller: Caller,
    request: Option<RequestId>,
    command: Command,
) -> Bytes {
    encode(&entry(node, caller, request, command))
}
