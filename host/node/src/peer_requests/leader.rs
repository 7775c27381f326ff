//! The answers of a shard's leader to other nodes.
//!
//! Promises that a node which does not lead the shard says so, and names the leader if it knows
//! one. Leaves out how a node finds the leader (`ask.rs`).

use aspen_core::ids::{Caller, ShardId};
use futures::future::BoxFuture;

use crate::across;
use crate::context::{NodeContext, encoded_entry, find};
use crate::peer::{LeaderReply, LeaderRequest};
use crate::replica::{Replica, ReplicaError};
use crate::requests;
use crate::views;

/// Answers a request to the leader of `shard`. Refuses if this node does not lead the shard.
pub fn serve_leader(
    node: &NodeContext,
    shard: ShardId,
    request: LeaderRequest,
) -> BoxFuture<'_, LeaderReply> {
    Box::pin(serve(node, shard, request))
}

async fn serve(node: &NodeContext, shard: ShardId, request: LeaderRequest) -> LeaderReply {
    let Ok(home) = find(node, shard) else { return LeaderReply::Unavailable };
    if home.leader() != Some(node.id()) {
        return LeaderReply::NotLeader(home.leader_address().map(|(_, address)| address));
    }
    let is_of_a_client = matches!(request, LeaderRequest::Propose(_) | LeaderRequest::Read(_));
    if is_of_a_client && shard != ShardId::SYSTEM {
        node.admission().note_other(shard);
    }
    answer(node, &home, request).await.unwrap_or_else(LeaderReply::from)
}

async fn answer(
    node: &NodeContext,
    home: &Replica,
    request: LeaderRequest,
) -> Result<LeaderReply, ReplicaError> {
    Ok(match request {
        LeaderRequest::Propose(command) => {
            let entry = encoded_entry(node, Caller::LOCAL, None, command);
            LeaderReply::Outcome(home.propose(entry).await?)
        }
        LeaderRequest::Settle(txn) => LeaderReply::Settled(across::settle(node, home, txn).await?),
        LeaderRequest::Members => LeaderReply::Members(home.confirmed_members().await?),
        LeaderRequest::View(step) => {
            let by = home.own_address();
            LeaderReply::View { answer: views::take_step(node, home, step).await?, by }
        }
        LeaderRequest::Read(request) => match requests::read(node, request).await {
            Ok(response) => LeaderReply::Read(response),
            Err(_) => LeaderReply::Unavailable,
        },
    })
}
