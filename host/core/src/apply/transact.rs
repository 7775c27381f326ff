//! Applying a transaction: checks, then operations, at one point of the log.
//!
//! Promises all or nothing: every refusal is found before the first write.

use std::collections::{BTreeMap, BTreeSet};

use crate::apply::context::Context;
use crate::apply::effect::Effect;
use crate::apply::writer::{Writer, operate};
use crate::apply::{guard, reads};
use crate::codec::encode;
use crate::ids::{LeaseId, Timestamp};
use crate::key::Key;
use crate::limits::RESULTS_BYTES_MAX;
use crate::protocol::Outcome;
use crate::refusal::Refusal;
use crate::state::{Leases, Resident, State};
use crate::transaction::{Expiry, Operation, Transact, WriteOp};
use crate::view::{HostError, View};

/// Runs one transaction.
pub fn run<S: State>(
    state: &mut S,
    context: &Context,
    transact: &Transact,
) -> Result<Effect, HostError> {
    if let Err(refusal) = transact.check().and_then(|()| context.check_transact(transact)) {
        return Ok(refusal.into());
    }
    if let Some(by) = guard::blocks(state, transact) {
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

/// Refuses if a named lease does not exist when its operation comes, or if leases or keys do not
/// fit. A lease behind a time to live cannot be named: it ends with its key. `promised` leases are
/// reserved for prepared transactions.
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

/// Refuses if the records of the gets do not fit into an outcome.
fn check_results(view: &impl View, operations: &[Operation]) -> Result<Option<Refusal>, HostError> {
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
