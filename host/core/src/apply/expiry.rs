//! Ending the leases that are due, before the command of an entry runs.

use bytes::Bytes;

use crate::apply::writer::Writer;
use crate::ids::{LeaseId, Timestamp};
use crate::limits::EXPIRE_KEYS_MAX;
use crate::state::{Resident, State};
use crate::view::HostError;

/// Ends the leases that are due, at a revision before that of the command. Bounded by
/// [`EXPIRE_KEYS_MAX`]: the rest waits for the next entry.
pub(super) fn expire_leases<S: State>(state: &mut S, now: Timestamp) -> Result<(), HostError> {
    let Some(mut lease) = first_due(state.resident(), now) else { return Ok(()) };
    let mut writer = Writer::begin(state);
    let mut gone = 0;
    loop {
        gone += writer.end_lease(lease)?;
        match first_due(writer.state().resident(), now) {
            Some(next) if (gone as usize) < EXPIRE_KEYS_MAX => lease = next,
            _ => break,
        }
    }
    writer.finish(|_| Bytes::new());
    Ok(())
}

/// Returns the first lease that is due and has no locked key.
fn first_due(resident: &Resident, now: Timestamp) -> Option<LeaseId> {
    let Resident { leases, locks, .. } = resident;
    let is_locked = |lease: &LeaseId| leases.keys(*lease).any(|key| locks.holder(key).is_some());
    leases.due(now).find(|lease| locks.is_free() || !is_locked(lease))
}
