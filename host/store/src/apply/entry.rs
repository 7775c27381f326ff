//! Applying one entry of the log to a state.
//!
//! Promises that an entry is applied once: an entry at or before the last applied one is a fault. Leaves
//! out the rules of commands (`aspen-core`).

use aspen_core::apply::AppliedEntry;
use aspen_core::function::Functions;
use aspen_core::ids::ShardId;
use aspen_core::placement::ShardRouter;
use aspen_core::view::HostError;
use openraft::EntryPayload;

use crate::buffer::BufferedState;
use crate::types::{Proposal, RaftEntry, StoredMembership};

/// Applies one entry. Returns the decoded entry and its result, unless Raft made the entry.
pub fn apply_entry(
    state: &mut BufferedState,
    functions: &dyn Functions,
    shard: ShardId,
    router: ShardRouter,
    entry: RaftEntry,
) -> Result<Option<(aspen_core::protocol::Entry, AppliedEntry)>, HostError> {
    let log_id = entry.log_id;
    if state.applied().is_some_and(|applied| applied.index >= log_id.index) {
        return Err(HostError::new("applying in order", "the entry was applied before"));
    }
    let (applied, membership) = match entry.payload {
        EntryPayload::Blank => (None, None),
        EntryPayload::Membership(membership) => {
            (None, Some(StoredMembership::new(Some(log_id), membership)))
        }
        EntryPayload::Normal(Proposal(bytes)) => {
            let entry: aspen_core::protocol::Entry = aspen_core::codec::decode(&bytes)
                .map_err(|error| HostError::new("decoding the entry", error))?;
            let applied = aspen_core::apply::apply(state, functions, shard, router, &entry)?;
            (Some((entry, applied)), None)
        }
    };
    let kept = applied.as_ref().map_or(0, |(_, applied)| applied.outcome.len());
    state.advance(log_id, membership, kept);
    Ok(applied)
}
