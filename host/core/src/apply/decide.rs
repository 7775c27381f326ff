//! Applying the decision on a transaction across shards, and its end: decide, finish, forget.
//!
//! Promises that each step may come twice, late, or for an attempt that is over, and then changes
//! nothing; and that an attempt which was aborted here is never prepared or committed here again.

use std::sync::Arc;

use bytes::Bytes;

use crate::apply::context::Context;
use crate::apply::effect::Effect;
use crate::apply::evaluate::resolve;
use crate::apply::writer::{Writer, operate};
use crate::codec::encode;
use crate::defect::{Defect, is_planted};
use crate::ids::{Revision, TxnId};
use crate::protocol::Outcome;
use crate::refusal::Refusal;
use crate::state::State;
use crate::transaction::{Operation, Transact};
use crate::two_phase::{
    Branch, CommitReply, Decide, Decision, Finish, FunctionRun, Locks, PendingPrepare,
};
use crate::view::{HostError, View};

/// Applies a decision, with this shard's part of the transaction.
pub fn decide<S: State>(
    state: &mut S,
    context: &Context,
    decide: &Decide,
) -> Result<Effect, HostError> {
    let Decide { txn, decision, answer } = decide;
    let locks = &state.resident().locks;
    let Decision::Commit { branch, .. } = decision else {
        if let Some(decided) = locks.decision(txn) {
            return Ok(Outcome::Decided(decided.clone()).into());
        }
        if !locks.has_room_for_decision() {
            return Ok(Refusal::TooManyPrepared.into());
        }
        abandon(state, context, txn);
        return Ok(Outcome::Decided(Decision::Abort).into());
    };
    if locks.prepared(txn).is_none() {
        return Ok(Refusal::AttemptOver.into());
    }
    if let CommitReply::Function(ran) = answer
        && is_another_meant(state, ran)?
    {
        abandon(state, context, txn);
        return Ok(Refusal::ComponentChanged.into());
    }
    state.resident_mut().locks.decide(*txn, decision.clone());
    let prepared = release(state, txn).expect("the locks have the prepare: see above");
    let (time, succeeded) = (context.time, *branch == Branch::Then);
    let outcome = write(state, &prepared.part, *branch, |revision| {
        encode(&match answer {
            CommitReply::Results(results) => {
                let results = results.clone();
                Outcome::Committed { revision, time, succeeded, results }
            }
            CommitReply::Function(ran) => {
                Outcome::of_call(ran.end.clone(), revision, ran.fuel, ran.writes)
            }
        })
    })?;
    let called = match answer {
        CommitReply::Function(ran) => ran.called(),
        CommitReply::Results(_) => None,
    };
    Ok(Effect::Done { outcome, called })
}

/// True if the caller's name means another component than the one that ran across shards: another
/// version became active meanwhile. Runs while all locks are held, so that this check and the
/// function's reads are true at one moment.
fn is_another_meant(view: &impl View, ran: &FunctionRun) -> Result<bool, HostError> {
    let is_skipped = is_planted(Defect::OldComponent);
    Ok(!is_skipped && resolve(view, &ran.named, &ran.key)? != Some(ran.component))
}

/// Aborts an attempt without a decision here: unlocks it, and remembers the abort for as long as
/// the attempt could still be prepared.
pub fn abandon<S: State>(state: &mut S, context: &Context, txn: &TxnId) {
    if state.resident().locks.decision(txn).is_some() {
        return;
    }
    release(state, txn);
    if !Locks::is_too_old(txn, context.time) {
        state.resident_mut().locks.decide(*txn, Decision::Abort);
    }
}

/// Applies a decision of the coordinator's shard.
pub fn finish<S: State>(state: &mut S, finish: &Finish) -> Result<Effect, HostError> {
    let Finish { txn, prepare_id, branch } = finish;
    let prepared = state.resident().locks.prepared(txn);
    let counts = prepared
        .is_some_and(|held| prepare_id.is_none_or(|prepare_id| prepare_id == held.prepare_id));
    let prepared = counts.then(|| release(state, txn)).flatten();
    Ok(match (prepared, branch) {
        (Some(prepared), Some(branch)) => {
            let outcome = write(state, &prepared.part, *branch, |_| encode(&Outcome::Finished))?;
            Effect::Done { outcome, called: None }
        }
        _ => Outcome::Finished.into(),
    })
}

/// Forgets decisions that every shard has done.
pub fn forget<S: State>(state: &mut S, txns: &[TxnId]) -> Effect {
    for txn in txns {
        state.resident_mut().locks.forget(txn);
    }
    Outcome::Finished.into()
}

fn release<S: State>(state: &mut S, txn: &TxnId) -> Option<Arc<PendingPrepare>> {
    let released = state.resident_mut().locks.release(txn)?;
    let mut header = state.header();
    header.prepared -= 1;
    state.set_header(header);
    Some(released)
}

/// Applies the operations of a branch.
fn write<S: State>(
    state: &mut S,
    part: &Transact,
    branch: Branch,
    outcome: impl FnOnce(Revision) -> Bytes,
) -> Result<Bytes, HostError> {
    let operations = match branch {
        Branch::Then => &part.then[..],
        Branch::Otherwise => part.otherwise.as_deref().unwrap_or_default(),
    };
    let mut writer = Writer::begin(state);
    for operation in operations {
        if let Operation::Write(_) = operation {
            operate(&mut writer, operation)?;
        }
    }
    Ok(writer.finish(outcome))
}
