//! Locks of transactions across shards: waiting for them, and ending those that nobody drives.
//!
//! Promises that a lock whose transaction nobody drives is resolved within some seconds, by any
//! leader that finds the lock.

use std::time::Duration;

use aspen_core::codec::decode;
use aspen_core::ids::{Caller, TxnId};
use aspen_core::protocol::{Command, ErrorReply, Outcome};
use aspen_core::refusal::Refusal;
use aspen_core::two_phase::{CommitReply, Decide, Decision, Finish};
use aspen_net::Backoff;
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::ask::ask;
use crate::context::{NodeContext, encoded_entry};
use crate::limits::{FINISH_WAIT, LOCK_PATIENCE};
use crate::peer::{LeaderReply, LeaderRequest};
use crate::replica::{Replica, ReplicaError};

/// Returns the transaction whose locks kept an entry from being applied, if that is the outcome.
pub fn locked_by(outcome: &[u8]) -> Option<TxnId> {
    let refused = Outcome::is_refusal(outcome).then(|| decode(outcome).ok()).flatten();
    match refused {
        Some(Outcome::Refused(Refusal::Locked { by })) => Some(by),
        _ => None,
    }
}

/// Waits until a transaction that is in the way is over; refuses once `until` has passed.
pub async fn wait_for(
    node: &NodeContext,
    replica: &Replica,
    by: TxnId,
    until: Instant,
) -> Result<(), ErrorReply> {
    if Instant::now() >= until {
        let reason = format!("transaction {by} is under way there");
        return Err(ErrorReply::Unavailable { reason });
    }
    unlocked(node, replica, by, until).await;
    Ok(())
}

/// Waits until a transaction that holds locks on this replica is over, at most until `until`;
/// resolves the locks if that takes long.
pub async fn unlocked(node: &NodeContext, replica: &Replica, txn: TxnId, until: Instant) {
    let patient = Instant::now() + LOCK_PATIENCE;
    let mut backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(50));
    loop {
        let look = move |locks: &aspen_core::two_phase::Locks| {
            locks.prepared(&txn).map(|held| held.prepare_id)
        };
        let held = replica.reader.inspect(move |_, resident, _| Ok(look(&resident.locks))).await;
        let Ok(Some(prepare_id)) = held else { return };
        let now = Instant::now();
        if now >= until {
            return;
        }
        if now >= patient && replica.leader() == Some(node.id()) {
            resolve(node, replica, txn, prepare_id).await;
        }
        sleep(backoff.pause()).await;
    }
}

/// As the leader of a shard that has a lock: asks for the decision about the attempt and does it.
pub async fn resolve(node: &NodeContext, replica: &Replica, txn: TxnId, prepare_id: u64) {
    let asked = ask(node, txn.coordinator, LeaderRequest::Settle(txn), FINISH_WAIT).await;
    if let Some(LeaderReply::Settled(Some(decision))) = asked {
        let branch = decision.branch_for(replica.id, prepare_id);
        let finish = Command::Finish(Finish { txn, prepare_id: Some(prepare_id), branch });
        // Should it not be done, the next one that meets the lock tries again.
        let _: Result<Bytes, ReplicaError> =
            replica.propose(encoded_entry(node, Caller::LOCAL, None, finish)).await;
    }
}

/// As the leader of the coordinator's shard: returns the decision about an attempt. An attempt that
/// nobody drives is aborted. `None`: the attempt is under way here.
pub async fn settle(
    node: &NodeContext,
    home: &Replica,
    txn: TxnId,
) -> Result<Option<Decision>, ReplicaError> {
    if node.attempts().has(&txn) {
        return Ok(None);
    }
    let decide = Decide { txn, decision: Decision::Abort, answer: CommitReply::Results(vec![]) };
    let command = Command::Decide(decide);
    let outcome = home.propose(encoded_entry(node, Caller::LOCAL, None, command)).await?;
    match decode(&outcome) {
        Ok(Outcome::Decided(decision)) => Ok(Some(decision)),
        _ => Ok(None),
    }
}
