//! Applying the steps of a transaction across shards.
//!
//! Promises that each step may come twice, late, or for an attempt that is over, and then changes
//! nothing; that a prepare which is accepted can be done whatever happens until then; and that an
//! attempt which was aborted here is never prepared or committed here again.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::apply::transact::operate;
use crate::apply::writer::Writer;
use crate::apply::{Context, Effect, reads, resolve};
use crate::codec::encode;
use crate::defect::{Defect, is_planted};
use crate::functions::CallEnd;
use crate::ids::{ComponentHash, Name, Revision, Version};
use crate::key::{Key, KeyRange};
use crate::limits::RESULTS_BYTES_MAX;
use crate::locks::{Locks, Prepared};
use crate::outcome::{OperationResult, Outcome, Refusal, Vote};
use crate::state::{Alias, Fault, Record, State, View};
use crate::statistics::Called;
use crate::transact::{Expiry, Operation, Transact, WriteOp};
use crate::two_phase::{Answer, Branch, Decide, Decision, Finish, Prepare, RanAcross, TxnId};

/// Checks, locks and votes.
pub fn prepare<S: State>(
    state: &mut S,
    context: &Context,
    prepare: &Prepare,
) -> Result<Effect, Fault> {
    let Prepare { txn, part } = prepare;
    let checked = part.check().and_then(|()| context.check_transact(part));
    if let Err(refusal) = checked.and_then(|()| part.check_across()) {
        return Ok(refusal.into());
    }
    let locks = &state.resident().locks;
    if let Some(prepared) = locks.prepared(txn) {
        let ticket = prepared.ticket;
        return vote(state, part, ticket);
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
    let ticket = state.header().last_ticket + 1;
    let effect = vote(state, part, ticket)?;
    if matches!(effect, Effect::Answer { outcome: Outcome::Prepared(_), .. }) {
        state.resident_mut().locks.prepare(*txn, Prepared { ticket, part: part.clone() });
        let mut header = state.header();
        (header.last_ticket, header.prepared) = (ticket, header.prepared + 1);
        state.set_header(header);
    }
    Ok(effect)
}

/// Yes with what each operation will come to, or no with what is there instead.
fn vote<S: State>(state: &S, part: &Transact, ticket: u64) -> Result<Effect, Fault> {
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
            Outcome::Prepared(Vote { ticket, reads_hold, then, otherwise }).into()
        }
        (Err(refusal), _) | (_, Err(refusal)) => refusal.into(),
    })
}

/// What the operations will come to, for what they touch is locked.
fn results(
    view: &impl View,
    operations: &[Operation],
) -> Result<Result<Vec<OperationResult>, Refusal>, Fault> {
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
            None => view.get(key)?.map_or(Version::ABSENT, |record| record.version),
        };
        let (after, result) = match write {
            WriteOp::Delete { .. } => {
                (Version::ABSENT, OperationResult::Deleted { version: before })
            }
            WriteOp::Expire { .. } if before == Version::ABSENT => {
                (before, OperationResult::Written { version: before })
            }
            WriteOp::Set { .. } | WriteOp::Expire { .. } => {
                (before.next(), OperationResult::Written { version: before.next() })
            }
        };
        written.insert(key, after);
        results.push(result);
    }
    let too_large = bytes > RESULTS_BYTES_MAX;
    Ok(if too_large { Err(Refusal::ResultsTooLarge { bytes: bytes as u64 }) } else { Ok(results) })
}

/// Decides, and does this shard's part of it.
pub fn decide<S: State>(
    state: &mut S,
    context: &Context,
    decide: &Decide,
) -> Result<Effect, Fault> {
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
    if let Answer::Called(ran) = answer
        && is_another_meant(state, ran)?
    {
        abandon(state, context, txn);
        return Ok(Refusal::ComponentChanged.into());
    }
    state.resident_mut().locks.decide(*txn, decision.clone());
    let prepared = release(state, txn).expect("it is prepared");
    let (time, succeeded) = (context.time, *branch == Branch::Then);
    let outcome = write(state, &prepared.part, *branch, |revision| {
        encode(&match answer {
            Answer::Results(results) => {
                let results = results.clone();
                Outcome::Committed { revision, time, succeeded, results }
            }
            Answer::Called(ran) => came_to(ran, revision),
        })
    })?;
    let called = match answer {
        Answer::Called(ran) => Called::across(ran),
        Answer::Results(_) => None,
    };
    Ok(Effect::Done { outcome, called })
}

/// Whether a function across shards ran in a component that its caller does not mean any more: another
/// version became active meanwhile. Asked when all its locks are held, so that this and what it read were
/// true at one moment.
fn is_another_meant(view: &impl View, ran: &RanAcross) -> Result<bool, Fault> {
    let is_skipped = is_planted(Defect::OldComponent);
    Ok(!is_skipped && resolve(view, &ran.named, &ran.key)? != Some(ran.component))
}

/// What the client of a function across shards is told, whose writes are those of `revision`.
fn came_to(ran: &RanAcross, revision: Revision) -> Outcome {
    let RanAcross { fuel, writes, .. } = *ran;
    match ran.end.clone() {
        CallEnd::Returned(values) => Outcome::Returned { revision, values, fuel, writes },
        CallEnd::Aborted(error) => Outcome::Aborted { error, fuel },
        CallEnd::Faulted(fault) => Outcome::Faulted { fault, fuel },
        CallEnd::Refused(refusal) => Outcome::Refused(refusal),
    }
}

/// Aborts an attempt of which nothing is decided here: unlocks it, and remembers that for as long
/// as it could be prepared.
pub fn abandon<S: State>(state: &mut S, context: &Context, txn: &TxnId) {
    if state.resident().locks.decision(txn).is_some() {
        return;
    }
    release(state, txn);
    if !Locks::is_too_old(txn, context.time) {
        state.resident_mut().locks.decide(*txn, Decision::Abort);
    }
}

/// Does what was decided elsewhere.
pub fn finish<S: State>(state: &mut S, finish: &Finish) -> Result<Effect, Fault> {
    let Finish { txn, ticket, branch } = finish;
    let prepared = state.resident().locks.prepared(txn);
    let counts = prepared.is_some_and(|held| ticket.is_none_or(|ticket| ticket == held.ticket));
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

fn release<S: State>(state: &mut S, txn: &TxnId) -> Option<Arc<Prepared>> {
    let released = state.resident_mut().locks.release(txn)?;
    let mut header = state.header();
    header.prepared -= 1;
    state.set_header(header);
    Some(released)
}

/// Does the operations of a branch.
fn write<S: State>(
    state: &mut S,
    part: &Transact,
    branch: Branch,
    outcome: impl FnOnce(Revision) -> Bytes,
) -> Result<Bytes, Fault> {
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

impl Transact {
    /// Whether its form can be done across shards.
    pub fn check_across(&self) -> Result<(), Refusal> {
        for branch in [&self.then[..], self.otherwise.as_deref().unwrap_or_default()] {
            let mut written: BTreeSet<&Key> = BTreeSet::new();
            for operation in branch {
                match operation {
                    Operation::Get(key) if written.contains(key) => {
                        return Err(Refusal::GetAfterWrite { key: key.clone() });
                    }
                    Operation::Get(_) => {}
                    Operation::Write(write) if matches!(write.expiry(), Expiry::Lease(_)) => {
                        return Err(Refusal::LeaseAcrossShards);
                    }
                    Operation::Write(write) => {
                        written.insert(write.key());
                    }
                    _ => return Err(Refusal::LeaseAcrossShards),
                }
            }
        }
        Ok(())
    }
}

/// A view that notes whether what a function looked at is locked.
pub struct Guarded<'a> {
    view: &'a dyn View,
    locks: &'a Locks,
    met: Cell<Option<TxnId>>,
}

impl<'a> Guarded<'a> {
    /// Of `view`, as `locks` allow.
    pub fn new(view: &'a dyn View, locks: &'a Locks) -> Self {
        Self { view, locks, met: Cell::default() }
    }

    /// Who holds what was looked at, or what shall be written.
    pub fn met(&self, writes: &[WriteOp]) -> Option<TxnId> {
        self.met.get().or_else(|| writes.iter().find_map(|write| self.locks.holder(write.key())))
    }

    fn note(&self, by: Option<TxnId>) {
        self.met.set(self.met.get().or(by));
    }
}

impl View for Guarded<'_> {
    fn get(&self, key: &Key) -> Result<Option<Record>, Fault> {
        self.note(self.locks.writer(key));
        self.view.get(key)
    }

    fn scan(
        &self,
        range: &KeyRange,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], Record) -> bool,
    ) -> Result<(), Fault> {
        self.note(self.locks.writer_in(range));
        self.view.scan(range, reverse, visit)
    }

    fn component(&self, hash: &ComponentHash) -> Result<Option<Bytes>, Fault> {
        self.view.component(hash)
    }

    fn has_component(&self, hash: &ComponentHash) -> Result<bool, Fault> {
        self.view.has_component(hash)
    }

    fn alias(&self, name: &Name) -> Result<Option<Arc<Alias>>, Fault> {
        self.view.alias(name)
    }

    fn aliases(&self) -> Result<Vec<(Name, Arc<Alias>)>, Fault> {
        self.view.aliases()
    }
}

/// Who keeps a transaction from being done now.
pub fn blocks<S: State>(state: &S, transact: &Transact) -> Option<TxnId> {
    if is_planted(Defect::IgnoreLocks) {
        return None;
    }
    let (locks, leases) = (&state.resident().locks, &state.resident().leases);
    let of_leases = || {
        transact.operations().find_map(|operation| match operation {
            Operation::Revoke(lease) => leases.keys(*lease).find_map(|key| locks.holder(key)),
            _ => None,
        })
    };
    if locks.is_free() { None } else { locks.blocks(transact).or_else(of_leases) }
}
