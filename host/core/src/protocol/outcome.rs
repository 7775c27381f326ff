//! [`Outcome`]: the result of applying a command. Data, replicated, part of the digest; never an `Error`.
//!
//! Leaves out texts made by libraries (backtraces, compiler messages): these differ between versions of
//! the library, and the replicas would differ. Serialized like `command.rs`.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::function::{CallEnd, GuestFault};
use crate::ids::{ComponentHash, Fuel, ProfileId, Revision, SessionId, Timestamp};
use crate::refusal::Refusal;
use crate::transaction::{ConflictError, OperationResult};
use crate::two_phase::{Decision, Vote};

/// The result of one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The command was not tried; nothing was written.
    Refused(Refusal),
    /// A session is open.
    SessionOpened { session: SessionId },
    /// The transaction committed.
    Committed {
        /// The shard's revision after the commit. A transaction that changed nothing leaves the
        /// revision as it was.
        revision: Revision,
        /// Entry time of the commit.
        time: Timestamp,
        /// True if every read held and `then` was done; false if `otherwise` was done.
        succeeded: bool,
        /// One per operation, in order.
        results: Vec<OperationResult>,
    },
    /// A read no longer holds; nothing was written.
    Conflict {
        /// The revision of the shard at which the conflicts were found.
        revision: Revision,
        /// Every read that failed, in the order of the read set. A range names each key in it that
        /// changed. At most [`crate::limits::CONFLICTS_MAX`] in all.
        conflicts: Vec<ConflictError>,
    },
    /// The function returned; its writes are committed.
    Returned {
        /// The shard's revision after the call.
        revision: Revision,
        /// The results (none or one), as [`crate::val::decode_vals`] reads them.
        values: Bytes,
        /// Fuel used.
        fuel: Fuel,
        /// The number of keys written.
        writes: u32,
    },
    /// The function returned an error; it wrote nothing.
    Aborted {
        /// The error's payload (none or one value), as [`crate::val::decode_vals`] reads it.
        error: Bytes,
        /// Fuel used.
        fuel: Fuel,
    },
    /// The function failed; it wrote nothing.
    Faulted {
        /// The kind of failure.
        fault: GuestFault,
        /// Fuel charged: all fuel of the call.
        fuel: Fuel,
    },
    /// The component is stored, and its alias points to it.
    Uploaded { component: ComponentHash },
    /// The part is stored, or was not the next one.
    PartStored {
        /// The bytes stored so far: the offset of the next part.
        bytes: u64,
    },
    /// The alias points to the component.
    Pointed,
    /// The alias is gone, or did not exist.
    NameRemoved {
        /// True if the alias existed.
        existed: bool,
        /// The number of components that went with the alias.
        components: u32,
    },
    /// The call will be made.
    Scheduled {
        /// Entry time from which on the first call is made.
        due: Timestamp,
    },
    /// The schedule is gone, or did not exist.
    Unscheduled {
        /// True if the schedule existed.
        existed: bool,
    },
    /// The shard votes on its part of a transaction across shards, and has locked it.
    Prepared(Vote),
    /// The decision on a transaction across shards.
    Decided(Decision),
    /// The decision is applied, now or before.
    Finished,
    /// The leases that were due have ended, and no schedule was due. Or the entry was no tick and
    /// had nothing else to do.
    Ticked,
    /// The shard's functions run with this profile from here on.
    ProfileSwitched { profile: ProfileId },
}

impl Outcome {
    /// Returns the outcome of a call that ended so. `revision` is that of its writes, `writes` their
    /// number.
    pub fn of_call(end: CallEnd, revision: Revision, fuel: Fuel, writes: u32) -> Outcome {
        match end {
            CallEnd::Returned(values) => Outcome::Returned { revision, values, fuel, writes },
            CallEnd::Aborted(error) => Outcome::Aborted { error, fuel },
            CallEnd::Faulted(fault) => Outcome::Faulted { fault, fuel },
            CallEnd::Refused(refusal) => Outcome::Refused(refusal),
        }
    }

    /// True if encoded bytes are a refusal. Does not decode the rest.
    pub fn is_refusal(bytes: &[u8]) -> bool {
        // The form, then the number of the variant `Refused`; a golden vector pins both.
        bytes.get(1) == Some(&0)
    }

    /// Returns the fuel charged, if a function ran.
    pub fn fuel(&self) -> Option<Fuel> {
        match self {
            Self::Returned { fuel, .. }
            | Self::Aborted { fuel, .. }
            | Self::Faulted { fuel, .. } => Some(*fuel),
            _ => None,
        }
    }
}
