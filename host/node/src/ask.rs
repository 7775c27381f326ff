//! Asking the leader of a shard, on any node.
//!
//! Promises to go on until there is an answer or the time is over, also if the lead changes
//! meanwhile or the replicas move. This node's own replica, the asked nodes and the placement map
//! tell the leader. Leaves out the requests (`across`, `placement`, `views`) and the answers
//! (`peer_requests/leader.rs`).

use std::time::Duration;

use aspen_core::ids::ShardId;
use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::context::NodeContext;
use crate::limits::ASK_AGAIN;
use crate::peer::{LeaderReply, LeaderRequest, parse_address};

/// Asks a shard's leader, wherever it is, until it answers or the time is over.
/// Boxed, for a leader may have to ask in order to answer.
pub fn ask(
    node: &NodeContext,
    shard: ShardId,
    request: LeaderRequest,
    limit: Duration,
) -> BoxFuture<'_, Option<LeaderReply>> {
    Box::pin(ask_until(node, shard, request, Instant::now() + limit))
}

async fn ask_until(
    node: &NodeContext,
    shard: ShardId,
    request: LeaderRequest,
    until: Instant,
) -> Option<LeaderReply> {
    let mut hint = None;
    for turn in 0.. {
        let address = hint.take().or_else(|| address_to_ask(node, shard, turn));
        let is_own = |address: &String| {
            parse_address(address).is_some_and(|it| it.id == node.opener().identity.address.id)
        };
        let reply = match address {
            Some(address) if is_own(&address) => {
                Some(node.serve_leader(shard, request.clone()).await)
            }
            Some(address) => {
                let left = until.saturating_duration_since(Instant::now());
                let peer = node.opener().net(shard).peer(&address);
                peer.leader(request.clone(), left).await
            }
            None => None,
        };
        match reply {
            Some(LeaderReply::NotLeader(other)) => hint = other,
            Some(LeaderReply::Unavailable) | None => {}
            Some(reply) => return Some(reply),
        }
        if Instant::now() >= until || node.is_stopping() {
            return None;
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
    None
}

/// Returns the address to ask in this turn: the leader that this node's own replica knows, or a replica
/// of the placement map. The two alternate, for the own replica's knowledge may be old; without an
/// own replica the replicas of the map take turns.
fn address_to_ask(node: &NodeContext, shard: ShardId, turn: usize) -> Option<String> {
    let here = node.replica(shard);
    let leader = here.as_ref().and_then(|replica| replica.leader_address());
    match leader {
        Some((_, address)) if turn.is_multiple_of(2) => Some(address),
        _ => {
            let replicas = node.map().replicas(shard);
            let turn = turn / (1 + usize::from(here.is_some()));
            Some(replicas.get(turn % replicas.len().max(1))?.1.clone())
        }
    }
}
