//! Applying a transaction: checks, then operations, at one point of the log.
//!
//! Promises all or nothing: whatever can refuse a transaction is found before its first write.

use std::collections::{BTreeMap, BTreeSet};

use crate::apply::writer::Writer;
use crate::apply::{Context, Effect, reads, two_phase};
use crate::codec::encode;
use crate::ids::{LeaseId, Timestamp};
use crate::key::Key;
use crate::lease::Leases;
use crate::limits::RESULTS_BYTES_MAX;
use crate::outcome::{OperationResult, Outcome, Refusal};
use crate::state::{Fault, Resident, State, View};
use crate::transact::{Expiry, Operation, Transact, WriteOp};

/// Runs one transaction.
pub fn run<S: State>(
    state: &mut S,
    context: &Context,
    transact: &Transact,
) -> Result<Effect, Fault> {
    if let Err(refusal) = transact.check().and_then(|()| context.check_transact(transact)) {
        return Ok(refusal.into());
    }
    if let Some(by) = two_phase::blocks(state, transact) {
        return Ok(Refusal::Locked { by }.into());
    }
    let revision = state.header().revision;
    let Transact { reads, then, otherwise, return_values } = transact;
    let checked = reads::check(state, state.resident(), revision, reads, *return_values)?;
    let conflicts = match checked {
        Ok(conflicts) => conflicts,
        Err(refusal) => return Ok(refusal.into()),
    };
    let succeeded = conflicts.is_empty();
    let operations = match (succeeded, otherwise) {
        (true, _) => then,
        (false, Some(otherwise)) => otherwise,
        (false, None) => return Ok(Outcome::Conflict { revision, conflicts }.into()),
    };
    let Resident { leases, locks, .. } = state.resident();
    let refused = check_leases(leases, locks.leases(), operations).err();
    if let Some(refusal) = refused.or(check_results(state, operations)?) {
        return Ok(refusal.into());
    }
    let mut writer = Writer::begin(state);
    let mut results = Vec::with_capacity(operations.len());
    for operation in operations {
        results.push(operate(&mut writer, operation)?);
    }
    let time: Timestamp = context.time;
    let outcome = writer
        .finish(|revision| encode(&Outcome::Committed { revision, time, succeeded, results }));
    Ok(Effect::Done { outcome, called: None })
}

/// Does one operation.
pub fn operate<S: State>(
    writer: &mut Writer<'_, S>,
    operation: &Operation,
) -> Result<OperationResult, Fault> {
    Ok(match operation {
        Operation::Get(key) => OperationResult::Got(writer.state().get(key)?),
        Operation::Write(write @ WriteOp::Delete { .. }) => {
            OperationResult::Deleted { version: writer.write(write)? }
        }
        Operation::Write(write) => OperationResult::Written { version: writer.write(write)? },
        Operation::Grant { ttl_ms } => {
            OperationResult::Granted { lease: writer.grant(*ttl_ms, false) }
        }
        Operation::KeepAlive(lease) => {
            OperationResult::KeptAlive { due: writer.keep_alive(*lease) }
        }
        Operation::Revoke(lease) => OperationResult::Revoked { keys: writer.end_lease(*lease)? },
    })
}

/// Whether every lease that is named exists when its turn comes, and everything fits. A lease
/// behind a time to live is not to be named: it ends with its key. `promised` are for others.
fn check_leases(leases: &Leases, promised: usize, operations: &[Operation]) -> Result<(), Refusal> {
    let (mut revoked, mut granted) = (BTreeSet::new(), 0);
    let mut attached: BTreeMap<LeaseId, usize> = BTreeMap::new();
    for operation in operations {
        let named = match operation {
            Operation::Get(_) => None,
            Operation::Grant { .. } => {
                granted += 1;
                None
            }
            Operation::KeepAlive(lease) | Operation::Revoke(lease) => Some(*lease),
            Operation::Write(write) => match write.expiry() {
                Expiry::Never | Expiry::Keep => None,
                Expiry::After(_) => {
                    granted += 1;
                    None
                }
                Expiry::Lease(lease) => {
                    *attached.entry(lease).or_default() += 1;
                    Some(lease)
                }
            },
        };
        let Some(lease) = named else { continue };
        let is_there = leases.get(lease).is_some_and(|image| !image.is_private);
        if !is_there || revoked.contains(&lease) {
            return Err(Refusal::LeaseUnknown { lease });
        }
        if matches!(operation, Operation::Revoke(_)) {
            revoked.insert(lease);
        }
    }
    if !leases.has_room_for(granted + promised) {
        return Err(Refusal::TooManyLeases);
    }
    let full = attached.into_iter().find(|(lease, more)| !leases.has_room_for_keys(*lease, *more));
    full.map_or(Ok(()), |(lease, _)| Err(Refusal::LeaseFull { lease }))
}

/// Whether what the gets will find fits into an outcome.
fn check_results(view: &impl View, operations: &[Operation]) -> Result<Option<Refusal>, Fault> {
    let mut written: BTreeMap<&Key, usize> = BTreeMap::new();
    let mut bytes = 0;
    for operation in operations {
        match operation {
            Operation::Get(key) => {
                bytes += key.as_bytes().len();
                bytes += match written.get(key) {
                    Some(bytes) => *bytes,
                    None => view.get(key)?.map_or(0, |record| record.value.as_bytes().len()),
                };
            }
            Operation::Write(WriteOp::Set { key, value, .. }) => {
                written.insert(key, value.as_bytes().len());
            }
            Operation::Write(WriteOp::Delete { key }) => {
                written.insert(key, 0);
            }
            _ => {}
        }
    }
    let too_large = bytes > RESULTS_BYTES_MAX;
    Ok(too_large.then_some(Refusal::ResultsTooLarge { bytes: bytes as u64 }))
}
