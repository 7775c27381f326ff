//! Functions across shards: run in the background on the records that were read, committed as a
//! transaction.
//!
//! ```text
//! run the function, read the records it misses, run it again ... returned
//! commit { reads it made, writes it made } across shards --conflict--> all over again
//! ```
//!
//! Promises that the call happened at one moment, exactly once, as on one shard: its answer, also
//! an error or a fault, is given only after its reads were found true together, and its component
//! to be the one that is meant. The function runs outside of apply, so it holds nobody up. Leaves
//! out that a call never conflicts: it may, and is repeated. The runs stand in `function_run.rs`.

use std::sync::Arc;

use aspen_core::across::Split;
use aspen_core::codec::{decode, encode};
use aspen_core::function::{Call, CallEnd, CallResult};
use aspen_core::ids::{Caller, RequestId, ShardId};
use aspen_core::protocol::{ErrorReply, Outcome, Response};
use aspen_core::refusal::Refusal;
use aspen_core::transaction::{ConflictError, Operation, Read, Transact};
use aspen_core::two_phase::{CommitReply, FunctionRun};
use aspen_net::PeerId;
use bytes::Bytes;
use tokio::time::Instant;

use crate::across::attempt::Requester;
use crate::across::function_run::{CallFailure, CompleteRun, run};
use crate::across::transact::{commit, conclude};
use crate::context::{NodeContext, led};
use crate::limits::ACROSS_WAIT;

/// Does a call that may touch keys of any shard; `shard` is that of its key.
///
/// The decision carries the call's answer, so a repeated request gets that answer. The decision also
/// carries the call's log lines, so that every replica of the coordinator's shard has them once, with
/// the figures.
///
/// The component of the name is read linearizably before the first run, and checked when the commit
/// is decided. At that entry all locks are held, so the reads and the version that ran are true at
/// one moment. If another version became active meanwhile (or the name is gone, or its canary takes
/// this key), the attempt is undone and the call starts over. Names are not locked, so an upload
/// waits for no transaction.
pub async fn call(
    node: &Arc<NodeContext>,
    from: PeerId,
    shard: ShardId,
    request: RequestId,
    call: Call,
) -> Result<Response, ErrorReply> {
    let requester = Requester { caller: Caller::new(*from.as_bytes()), request };
    let outcome = match try_call(node, shard, &requester, &call).await {
        Ok(outcome) => outcome,
        Err(CallFailure::Refusal(refusal)) => encode(&Outcome::Refused(refusal)),
        Err(CallFailure::Refused(refused)) => return Err(refused),
    };
    Ok(Response::Outcome(conclude(node, shard, &requester, outcome).await?))
}

async fn try_call(
    node: &Arc<NodeContext>,
    shard: ShardId,
    requester: &Requester,
    call: &Call,
) -> Result<Bytes, CallFailure> {
    call.check()?;
    let home_of = node.router().shard(call.key.as_bytes());
    if home_of != shard {
        return Err(Refusal::WrongShard { shard: home_of }.into());
    }
    let until = Instant::now() + ACROSS_WAIT;
    loop {
        let ran = run(node, &*led(node, shard)?, requester.caller, call).await?;
        let (answer, transact) = commitment(call, ran)?;
        let split = Split::new(&node.router(), &transact)?.with(shard);
        let outcome = commit(node, shard, requester, &split, Some(answer), until).await?;
        let what = match decode(&outcome) {
            // The call's own expectations are the caller's concern; the function's reads are
            // repeated.
            Ok(Outcome::Conflict { conflicts, .. }) if !is_own(call, &conflicts) => {
                "what the function reads"
            }
            Ok(Outcome::Refused(Refusal::ComponentChanged)) => "the component",
            _ => return Ok(outcome),
        };
        if Instant::now() >= until {
            let reason = format!("{what} changes all the time");
            return Err(ErrorReply::Unavailable { reason }.into());
        }
    }
}

/// Returns the answer for the caller, and the transaction that makes the answer true.
fn commitment(call: &Call, ran: CompleteRun) -> Result<(CommitReply, Transact), CallFailure> {
    let CompleteRun { component, result, took, mut reads } = ran;
    reads.extend(call.reads.iter().cloned());
    let CallResult { end, fuel, writes, log } = result;
    if let CallEnd::Refused(refusal) = end {
        return Err(refusal.into());
    }
    let answer = CommitReply::Function(Box::new(FunctionRun {
        named: call.component.clone(),
        key: call.key.clone(),
        component,
        function: call.function.clone(),
        end,
        fuel,
        writes: writes.len() as u32,
        log,
        micros: took.as_micros() as u64,
    }));
    let then = writes.into_iter().map(Operation::Write).collect();
    Ok((answer, Transact { reads, then, ..Transact::default() }))
}

/// Returns true if an expectation of the caller is among the conflicts.
fn is_own(call: &Call, conflicts: &[ConflictError]) -> bool {
    call.reads.iter().any(|read| match read {
        Read::Key { key, .. } => conflicts.iter().any(|found| found.key == *key),
        Read::Range { range, .. } => {
            conflicts.iter().any(|found| range.contains(found.key.as_bytes()))
        }
    })
}
