//! Asking the leader of a shard, wherever it is, from one node to another.
//!
//! Promises to go on until there is an answer or the time is over, whoever leads meanwhile and wherever
//! the replicas are: by what this node's own replica knows, by what those who are asked say, and by the
//! map. Leaves out what is asked for (`two_phase.rs`, `map.rs`, `placement.rs`).

use std::time::Duration;

use aspen_core::{Caller, Command, Decision, NodeId, Request, Response, ShardId, TxnId};
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::limits::PARTICIPATE_AGAIN;
use crate::node::ShardedRaftNode;
use crate::requests::{self, entry, find};
use crate::shard::{NotDone, parse_address};
use crate::two_phase;
use crate::views::{self, ViewAnswer, ViewStep};

/// What a node asks of the leader of another shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Participation {
    /// To propose a step of a transaction.
    Propose(Command),
    /// What was decided of an attempt that the shard coordinates. If nothing was, and nobody drives it
    /// there, it is aborted.
    Settle(TxnId),
    /// A read for a function across shards: linearizable, and of nothing that is locked.
    Read(Request),
    /// The members of the shard's group, confirmed by a majority.
    Members,
    /// A step towards a view of several shards.
    View(ViewStep),
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Participated {
    /// The encoded outcome of what was proposed.
    Outcome(Bytes),
    /// What was decided; none: the attempt is under way, ask again.
    Settled(Option<Decision>),
    /// What was read.
    Read(Response),
    /// The members.
    Members(Vec<NodeId>),
    /// What the step came to, and the address of the node that did it.
    View { answer: ViewAnswer, by: String },
    /// This node does not lead the shard; perhaps that address does.
    NotLeader(Option<String>),
    /// No majority, or it is not known what became of it.
    Unavailable,
}

/// Asks a shard's leader, wherever it is, until it answers or the time is over.
/// Boxed, for what a leader does to answer may be to ask.
pub fn ask(
    node: &ShardedRaftNode,
    shard: ShardId,
    what: Participation,
    limit: Duration,
) -> BoxFuture<'_, Option<Participated>> {
    Box::pin(ask_until(node, shard, what, Instant::now() + limit))
}

async fn ask_until(
    node: &ShardedRaftNode,
    shard: ShardId,
    what: Participation,
    until: Instant,
) -> Option<Participated> {
    let mut hint = None;
    for turn in 0.. {
        let here = node.shard(shard);
        let leader = here.as_ref().and_then(|shard| shard.leader_address());
        // What this replica knows may be old, and there may be none here: then those on the map take
        // turns.
        let address = hint.take().or_else(|| match leader {
            Some((_, address)) if turn % 2 == 0 => Some(address),
            _ => {
                let replicas = node.map().replicas(shard);
                let turn = turn / (1 + usize::from(here.is_some()));
                Some(replicas.get(turn % replicas.len().max(1))?.1.clone())
            }
        });
        let is_own = |address: &String| {
            parse_address(address).is_some_and(|it| it.id == node.opening().identity.address.id)
        };
        let answer = match address {
            Some(address) if is_own(&address) => Some(serve(node, shard, what.clone()).await),
            Some(address) => {
                let left = until.saturating_duration_since(Instant::now());
                let replica = node.opening().net(shard).replica(&address);
                replica.participate(what.clone(), left).await
            }
            None => None,
        };
        match answer {
            Some(Participated::NotLeader(other)) => hint = other,
            Some(Participated::Unavailable) | None => {}
            Some(answer) => return Some(answer),
        }
        if Instant::now() >= until || node.is_stopping() {
            return None;
        }
        tokio::time::sleep(PARTICIPATE_AGAIN).await;
    }
    None
}

/// Answers what a node asks of the leader of `shard`.
pub async fn serve(node: &ShardedRaftNode, shard: ShardId, what: Participation) -> Participated {
    let Ok(home) = find(node, shard) else { return Participated::Unavailable };
    if home.leader() != Some(node.id()) {
        return Participated::NotLeader(home.leader_address().map(|(_, address)| address));
    }
    let is_of_a_client = matches!(what, Participation::Propose(_) | Participation::Read(_));
    if is_of_a_client && shard != ShardId::SYSTEM {
        node.fairness().other(shard);
    }
    let answer = match what {
        Participation::Propose(command) => {
            let proposed = home.propose(entry(node, Caller::LOCAL, None, command)).await;
            proposed.map(Participated::Outcome)
        }
        Participation::Settle(txn) => {
            two_phase::settle(node, &home, txn).await.map(Participated::Settled)
        }
        Participation::Members => home.confirmed_members().await.map(Participated::Members),
        Participation::View(step) => {
            let by = home.own_address();
            let served = views::serve(node, &home, step).await;
            served.map(|answer| Participated::View { answer, by })
        }
        Participation::Read(request) => {
            return requests::read(node, request)
                .await
                .map_or_else(|_| Participated::Unavailable, Participated::Read);
        }
    };
    match answer {
        Ok(answer) => answer,
        Err(NotDone::NotLeader(leader)) => {
            Participated::NotLeader(leader.map(|(_, address)| address))
        }
        Err(_) => Participated::Unavailable,
    }
}
