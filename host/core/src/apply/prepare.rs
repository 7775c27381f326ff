//! Applying the first step of a transaction across shards: check, lock, vote.
//!
//! Promises that a prepare may come twice, late, or for an attempt that is over, and then changes
//! nothing; and that an accepted prepare can be done, whatever happens until then.

use std::collections::BTreeMap;

use crate::apply::context::Context;
use crate::apply::effect::Effect;
use crate::apply::reads;
use crate::ids::Version;
use crate::key::Key;
use crate::limits::RESULTS_BYTES_MAX;
use crate::protocol::Outcome;
use crate::refusal::Refusal;
use crate::state::State;
use crate::transaction::{Operation, OperationResult, Transact, WriteOp};
use crate::two_phase::{Locks, PendingPrepare, Prepare, Vote};
use crate::view::{HostError, Record, View};

/// Checks, locks and votes.
pub fn prepare<S: State>(
    state: &mut S,
    context: &Context,
    prepare: &Prepare,
) -> Result<Effect, HostError> {
    let Prepare { txn, part } = prepare;
    let checked = part.check().and_then(|()| context.check_transact(part));
    if let Err(refusal) = checked.and_then(|()| part.check_across()) {
        return Ok(refusal.into());
    }
    let locks = &state.resident().locks;
    if let Some(prepared) = locks.prepared(txn) {
        let prepare_id = prepared.prepare_id;
        return vote(state, part, prepare_id);
    }
    if context.shard == txn.coordinator {
        if locks.decision(txn).is_some() || Locks::is_too_old(txn, context.time) {
            return Ok(Refusal::AttemptOver.into());
        }
        if !locks.has_room_for_decision() {
            return Ok(Refusal::TooManyPrepared.into());
        }
    }
    if let Some(by) = locks.blocks(part) {
        return Ok(Refusal::Locked { by }.into());
    }
    let granted = locks.leases() + part.leases();
    if !locks.has_room_for(part) || !state.resident().leases.has_room_for(granted) {
        return Ok(Refusal::TooManyPrepared.into());
    }
    let prepare_id = state.header().last_prepare_id + 1;
    let effect = vote(state, part, prepare_id)?;
    if matches!(effect, Effect::Answer { outcome: Outcome::Prepared(_), .. }) {
        state.resident_mut().locks.prepare(*txn, PendingPrepare { prepare_id, part: part.clone() });
        let mut header = state.header();
        (header.last_prepare_id, header.prepared) = (prepare_id, header.prepared + 1);
        state.set_header(header);
    }
    Ok(effect)
}

/// Votes yes with the result of each operation, or no with the conflicts.
fn vote<S: State>(state: &S, part: &Transact, prepare_id: u64) -> Result<Effect, HostError> {
    let revision = state.header().revision;
    let Transact { reads, then, otherwise, return_values } = part;
    let conflicts = match reads::check(state, state.resident(), revision, reads, *return_values)? {
        Ok(conflicts) => conflicts,
        Err(refusal) => return Ok(refusal.into()),
    };
    if !conflicts.is_empty() && otherwise.is_none() {
        return Ok(Outcome::Conflict { revision, conflicts }.into());
    }
    let then = results(state, then)?;
    let otherwise = results(state, otherwise.as_deref().unwrap_or_default())?;
    Ok(match (then, otherwise) {
        (Ok(then), Ok(otherwise)) => {
            let reads_hold = conflicts.is_empty();
            Outcome::Prepared(Vote { prepare_id, reads_hold, then, otherwise }).into()
        }
        (Err(refusal), _) | (_, Err(refusal)) => refusal.into(),
    })
}

/// Returns the results that the operations will have. Their keys are locked, so nothing changes
/// until then.
fn results(
    view: &impl View,
    operations: &[Operation],
) -> Result<Result<Vec<OperationResult>, Refusal>, HostError> {
    let mut written: BTreeMap<&Key, Version> = BTreeMap::new();
    let (mut results, mut bytes) = (Vec::with_capacity(operations.len()), 0);
    for operation in operations {
        let write = match operation {
            Operation::Write(write) => write,
            Operation::Get(key) => {
                let record = view.get(key)?;
                bytes += key.as_bytes().len();
                bytes += record.as_ref().map_or(0, |record| record.value.as_bytes().len());
                results.push(OperationResult::Got(record));
                continue;
            }
            _ => return Ok(Err(Refusal::LeaseAcrossShards)),
        };
        let key = write.key();
        let before = match written.get(key) {
            Some(version) => *version,
            None => Record::version_of(view.get(key)?.as_ref()),
        };
        let after = write.version_after(before);
        written.insert(key, after);
        results.push(match write {
            WriteOp::Delete { .. } => OperationResult::Deleted { version: before },
            WriteOp::Set { .. } | WriteOp::Expire { .. } => {
                OperationResult::Written { version: after }
            }
        });
    }
    let too_large = bytes > RESULTS_BYTES_MAX;
    Ok(if too_large { Err(Refusal::ResultsTooLarge { bytes: bytes as u64 }) } else { Ok(results) })
}
