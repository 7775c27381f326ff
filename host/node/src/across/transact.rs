//! A transaction across shards, for a client: attempts until one commits or is refused.
//!
//! Promises an answer that no later attempt at the same request can contradict. Leaves out the
//! steps of one attempt (`attempt.rs`).

use std::sync::Arc;
use std::time::Duration;

use aspen_core::across::{Coordinator, CoordinatorReply, Split};
use aspen_core::codec::{decode, encode};
use aspen_core::ids::{Caller, RequestId, ShardId, Timestamp, TxnId};
use aspen_core::protocol::{Command, ErrorReply, Outcome, Response};
use aspen_core::refusal::Refusal;
use aspen_core::transaction::Transact;
use aspen_core::two_phase::CommitReply;
use aspen_net::{Backoff, PeerId};
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::across::attempt::{Attempt, Requester};
use crate::across::locks::unlocked;
use crate::context::{NodeContext, encoded_entry, find, led};
use crate::limits::ACROSS_WAIT;

/// Does a transaction across shards as a transaction on one shard would be done; `shard` is the
/// coordinator's.
pub async fn transact(
    node: &Arc<NodeContext>,
    from: PeerId,
    shard: ShardId,
    request: RequestId,
    transact: &Transact,
) -> Result<Response, ErrorReply> {
    let split = match Split::new(&node.router(), transact) {
        Ok(split) => split,
        Err(refusal) => return Ok(Response::Outcome(encode(&Outcome::Refused(refusal)))),
    };
    let shards: Vec<ShardId> = split.shards().collect();
    if shards.len() < 2 || !shards.contains(&shard) {
        let reason = format!("the transaction is not one of {shard} and others");
        return Err(ErrorReply::Invalid { reason });
    }
    let requester = Requester { caller: Caller::new(*from.as_bytes()), request };
    let until = Instant::now() + ACROSS_WAIT;
    let outcome = commit(node, shard, &requester, &split, None, until).await?;
    Ok(Response::Outcome(conclude(node, shard, &requester, outcome).await?))
}

/// Returns the outcome that the client may be told: `outcome`, if it was decided, or once the log
/// of the coordinator's shard says that it is the answer. Without that another attempt at the same
/// request, which the client made because an answer was late, could commit afterwards.
pub async fn conclude(
    node: &NodeContext,
    shard: ShardId,
    requester: &Requester,
    outcome: Bytes,
) -> Result<Bytes, ErrorReply> {
    let nothing_done = match decode(&outcome) {
        // Such a request is never done.
        Ok(Outcome::Refused(Refusal::SessionUnknown | Refusal::SequenceForgotten)) => None,
        Ok(told @ (Outcome::Conflict { .. } | Outcome::Refused(_))) => Some(told),
        _ => None,
    };
    let Some(told) = nothing_done else { return Ok(outcome) };
    let Requester { caller, request } = *requester;
    let command = Command::Conclude(Box::new(told));
    let home = led(node, shard)?;
    Ok(home.propose(encoded_entry(node, caller, Some(request), command)).await?)
}

/// Tries to commit until no other transaction is in the way; returns the encoded outcome.
pub async fn commit(
    node: &Arc<NodeContext>,
    shard: ShardId,
    requester: &Requester,
    split: &Split,
    answer: Option<CommitReply>,
    until: Instant,
) -> Result<Bytes, ErrorReply> {
    let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(100));
    loop {
        let home = led(node, shard)?;
        let begun = home.reader.status().header.clock.max(Timestamp::new(node.clock_ms()));
        let txn = TxnId { begun, coordinator: shard, nonce: rand::random() };
        let (reply, replied) = oneshot::channel();
        let coordinator = Coordinator::new(txn, split.clone(), answer.clone());
        let guard = node.attempts().begin(txn).await;
        let attempt = Attempt { node: node.clone(), guard, requester: *requester };
        tokio::spawn(attempt.drive(coordinator, reply));
        let (at, by) = match replied.await {
            Ok(CoordinatorReply::Outcome(outcome)) if !is_over(&outcome) => return Ok(outcome),
            Ok(CoordinatorReply::Outcome(_)) => (shard, None),
            Ok(CoordinatorReply::Locked(at, by)) => (at, Some(by)),
            Ok(CoordinatorReply::Silent(silent)) => {
                let reason = format!("{silent} does not answer");
                return Err(ErrorReply::Unavailable { reason });
            }
            Ok(CoordinatorReply::Unknown) | Err(_) => return Err(ErrorReply::OutcomeUnknown),
        };
        if Instant::now() >= until {
            let reason = "other transactions hold the keys".into();
            return Err(ErrorReply::Unavailable { reason });
        }
        if let (Some(by), Ok(home)) = (by, find(node, at)) {
            unlocked(node, &home, by, until).await;
        }
        // Two that met may meet again: the one that waits longer lets the other pass.
        sleep(backoff.pause().mul_f64(rand::random_range(0.0..1.0))).await;
    }
}

fn is_over(outcome: &[u8]) -> bool {
    let is_refusal = Outcome::is_refusal(outcome);
    is_refusal && matches!(decode(outcome), Ok(Outcome::Refused(Refusal::AttemptOver)))
}
