//! One attempt at a transaction across shards, driven to its end even if its client has gone.
//!
//! Promises that an attempt which this node drives is not aborted behind its back while the node
//! leads. Should that happen nevertheless, the state machine keeps it harmless.

use std::sync::Arc;
use std::time::Duration;

use aspen_core::across::{Action, Coordinator, CoordinatorReply, Event};
use aspen_core::ids::{Caller, RequestId, ShardId, TxnId};
use aspen_core::protocol::Command;
use aspen_core::two_phase::Decision;
use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::oneshot;

use crate::ask::ask;
use crate::context::{AttemptGuard, NodeContext, encoded_entry, find};
use crate::limits::{FINISH_WAIT, PREPARE_WAIT};
use crate::peer::{LeaderReply, LeaderRequest};
use crate::replica::ReplicaError;

/// The client of a transaction, and its request.
#[derive(Clone, Copy)]
pub struct Requester {
    pub caller: Caller,
    pub request: RequestId,
}

/// An attempt that this node drives.
pub struct Attempt {
    pub node: Arc<NodeContext>,
    pub guard: AttemptGuard,
    pub requester: Requester,
}

impl Attempt {
    /// Does the actions of the coordinator until none is left; sends its reply.
    pub async fn drive(
        self,
        mut coordinator: Coordinator,
        reply: oneshot::Sender<CoordinatorReply>,
    ) {
        let mut reply = Some(reply);
        let mut under_way = FuturesUnordered::new();
        let mut actions = coordinator.begin();
        loop {
            for action in actions {
                match action {
                    Action::Reply(answer) => {
                        // The receiver may have gone.
                        let _ = reply.take().map(|reply| reply.send(answer));
                    }
                    Action::Forget => self.node.attempts().note_done(self.guard.txn),
                    other => under_way.push(self.act(other)),
                }
            }
            let Some(event) = under_way.next().await else { return };
            actions = event.map(|event| coordinator.step(event)).unwrap_or_default();
        }
    }

    /// Does one action and returns the event that follows; `None` if the action was given up.
    async fn act(&self, action: Action) -> Option<Event> {
        let node = &self.node;
        match action {
            Action::Prepare(shard, prepare) => {
                let is_home = shard == prepare.txn.coordinator;
                let command = Command::Prepare(prepare);
                let vote = match is_home {
                    true => self.propose(shard, command).await.ok(),
                    false => propose_on(node, shard, command, PREPARE_WAIT).await,
                };
                Some(vote.map_or(Event::Silent(shard), |vote| Event::Voted(shard, vote)))
            }
            Action::Decide(decide) => {
                let (shard, txn) = (decide.txn.coordinator, decide.txn);
                let decided = match self.propose(shard, Command::Decide(decide)).await {
                    Ok(outcome) => Some((outcome, decision(node, shard, txn).await?)),
                    Err(_) => None,
                };
                Some(Event::Decided(decided))
            }
            Action::Finish(shard, finish) => {
                let command = Command::Finish(finish);
                let done = propose_on(node, shard, command, FINISH_WAIT).await;
                done.map(|_| Event::Finished(shard))
            }
            Action::Forget | Action::Reply(_) => None,
        }
    }

    /// Proposes on the coordinator's shard, in the name of the client.
    async fn propose(&self, shard: ShardId, command: Command) -> Result<Bytes, ReplicaError> {
        let home = find(&self.node, shard);
        let home = home.map_err(|refused| ReplicaError::Stopped(refused.to_string()))?;
        let Requester { caller, request } = self.requester;
        home.propose(encoded_entry(&self.node, caller, Some(request), command)).await
    }
}

/// Returns the decision about an attempt, as the state of the coordinator's shard has it; `None` if
/// there is no replica here that can tell.
async fn decision(node: &NodeContext, shard: ShardId, txn: TxnId) -> Option<Option<Decision>> {
    let home = find(node, shard).ok()?;
    let look =
        home.reader.inspect(move |_, resident, _| Ok(resident.locks.decision(&txn).cloned()));
    look.await.ok()
}

/// Lets a shard's leader, wherever it is, propose a step, again and again until the step is applied
/// or the time is over.
pub async fn propose_on(
    node: &NodeContext,
    shard: ShardId,
    command: Command,
    limit: Duration,
) -> Option<Bytes> {
    match ask(node, shard, LeaderRequest::Propose(command), limit).await? {
        LeaderReply::Outcome(outcome) => Some(outcome),
        _ => None,
    }
}
