//! What applying a command gives: data, replicated, part of the digest; never an `Error`.
//!
//! Leaves out texts made by libraries (backtraces, compiler messages): they differ between
//! versions and would make replicas differ. Serialized like `command.rs`.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{
    ComponentHash, Fuel, LeaseId, ProfileId, Revision, SessionId, ShardId, Timestamp, Version,
};
use crate::key::Key;
use crate::limits::{
    COMPONENTS_MAX, LARGE_COMPONENT_BYTES_MAX, LARGE_COMPONENTS_MAX, LEASE_KEYS_MAX,
    LEASE_TTL_MS_MAX, LEASES_MAX, NAMES_MAX, PREPARED_MAX, RANGE_READ_KEYS_MAX, READS_BYTES_MAX,
    RESULTS_BYTES_MAX, SCHEDULE_EVERY_MS, SCHEDULES_MAX, TXN_BYTES_MAX, TXN_OPS_MAX,
    TXN_SHARDS_MAX, UPLOADS_MAX, VALS_BYTES_MAX,
};
use crate::state::Record;
use crate::transact::Expectation;
use crate::two_phase::{Decision, TxnId};

/// The answer of the state machine to one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// A session is open.
    SessionOpened {
        /// Its id.
        session: SessionId,
    },
    /// The transaction committed.
    Committed {
        /// The shard's revision after it. A transaction that changed nothing leaves it as it was.
        revision: Revision,
        /// Entry time of the commit.
        time: Timestamp,
        /// Whether every read held: `then` was done, and not `otherwise`.
        succeeded: bool,
        /// One per operation done, in order.
        results: Vec<OperationResult>,
    },
    /// A read no longer holds; nothing was written.
    Conflict {
        /// The shard's revision: what the conflicts say is true of it.
        revision: Revision,
        /// Every read that failed, in the order of the read set. A range names each key in it that
        /// changed, up to [`crate::limits::CONFLICTS_MAX`] in all.
        conflicts: Vec<ConflictError>,
    },
    /// The function returned; its writes are committed.
    Returned {
        /// The shard's revision after it.
        revision: Revision,
        /// The results (none or one), as [`crate::decode_vals`] reads them.
        values: Bytes,
        /// Fuel it used.
        fuel: Fuel,
        /// Keys it wrote.
        writes: u32,
    },
    /// The function returned an error; it wrote nothing.
    Aborted {
        /// The error's payload (none or one value), as [`crate::decode_vals`] reads it.
        error: Bytes,
        /// Fuel it used.
        fuel: Fuel,
    },
    /// The function failed; it wrote nothing.
    Faulted {
        /// How.
        fault: GuestFault,
        /// Fuel charged: all that the call had.
        fuel: Fuel,
    },
    /// The component is stored and named.
    Uploaded {
        /// Its hash.
        component: ComponentHash,
    },
    /// The command was not tried; nothing was written.
    Refused(Refusal),
    /// What was due has expired, and no schedule was due, or no tick was asked for.
    Ticked,
    /// The shard votes for its part of a transaction across shards, and has locked it.
    Prepared(Vote),
    /// What was decided of a transaction across shards.
    Decided(Decision),
    /// What was decided is done, or was before.
    Finished,
    /// The name points to the component.
    Pointed,
    /// The name is gone, or was not there.
    NameRemoved {
        /// Whether it was there.
        existed: bool,
        /// Components that went with it.
        components: u32,
    },
    /// The call will be made.
    Scheduled {
        /// Entry time from which on it is made first.
        due: Timestamp,
    },
    /// The schedule is gone, or was not there.
    Unscheduled {
        /// Whether it was there.
        existed: bool,
    },
    /// Functions run so from here on.
    ProfileSwitched {
        /// How.
        profile: ProfileId,
    },
    /// The part is stored, or was not the next one.
    PartStored {
        /// Bytes that are there: where the next part begins.
        bytes: u64,
    },
}

/// What a shard says to a prepare that it accepts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Names this prepare.
    pub ticket: u64,
    /// Whether the reads of its part hold.
    pub reads_hold: bool,
    /// What each operation of `then` will come to.
    pub then: Vec<OperationResult>,
    /// The same of `otherwise`, if there is one.
    pub otherwise: Vec<OperationResult>,
}

impl Outcome {
    /// Whether encoded bytes are a refusal, without decoding the rest.
    pub fn is_refusal(bytes: &[u8]) -> bool {
        // Form, then the variant's number.
        bytes.get(1) == Some(&7)
    }

    /// Fuel charged, if a function ran.
    pub fn fuel(&self) -> Option<Fuel> {
        match self {
            Self::Returned { fuel, .. }
            | Self::Aborted { fuel, .. }
            | Self::Faulted { fuel, .. } => Some(*fuel),
            _ => None,
        }
    }
}

/// What one operation of a transaction came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationResult {
    /// The record that a get found.
    Got(Option<Record>),
    /// A set: the key's new version. Of an expire 0 if the key was absent.
    Written {
        /// See above.
        version: Version,
    },
    /// A delete: the version that was removed, 0 if there was none.
    Deleted {
        /// See above.
        version: Version,
    },
    /// The lease that was granted.
    Granted {
        /// Its id.
        lease: LeaseId,
    },
    /// The lease runs again.
    KeptAlive {
        /// Entry time at which it will be over.
        due: Timestamp,
    },
    /// The lease is over.
    Revoked {
        /// Keys that went with it.
        keys: u64,
    },
}

/// A key that was not as the transaction had seen it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictError {
    /// The key.
    pub key: Key,
    /// What the transaction expected.
    pub expected: Expectation,
    /// What is there now.
    pub actual: Actual,
    /// The record that is there now, if it was asked for, exists, and fits: the records of one
    /// answer carry [`crate::limits::RESULTS_BYTES_MAX`] bytes at most.
    pub record: Option<Record>,
}

/// A key as it is, without its value. Both are 0 if it is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actual {
    /// Its version.
    pub version: Version,
    /// The revision that last wrote it.
    pub mod_revision: Revision,
}

impl fmt::Display for ConflictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}: expected {}", self.key, self.expected)?;
        match self.actual.version {
            Version::ABSENT => write!(f, ", is absent"),
            version => write!(
                f,
                ", is version {} of mod revision {}",
                version.get(),
                self.actual.mod_revision.get()
            ),
        }
    }
}

impl std::error::Error for ConflictError {}

/// How a guest failed. An outcome: the same on every replica, and the next call works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestFault {
    /// It used all its fuel.
    OutOfFuel,
    /// It ran into `unreachable`: a panic in most languages, or the call depth limit.
    Unreachable,
    /// It needed more memory or table than the limit and could not go on.
    OutOfMemory,
    /// Memory or table access out of bounds.
    OutOfBounds,
    /// Integer division by zero, overflow, or a float that fits no integer.
    Arithmetic,
    /// Indirect call of a null or wrongly typed function.
    BadIndirectCall,
    /// It broke the component model's rules, such as a string that is not UTF-8.
    BadInterface,
    /// It wrote more keys or bytes than a call may.
    TooManyWrites,
    /// It used an empty or too long key, or a too long value.
    KeyOrValueLength,
    /// It touched a key of another shard.
    WrongShard {
        /// The key.
        key: Key,
        /// The shard that key lives on.
        shard: ShardId,
    },
    /// Its result is larger than a result may be.
    ResultTooLarge,
    /// Any other trap of WebAssembly.
    Trap,
}

impl fmt::Display for GuestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfFuel => write!(f, "out of fuel"),
            Self::Unreachable => write!(f, "panicked, or called too deep"),
            Self::OutOfMemory => write!(f, "out of memory"),
            Self::OutOfBounds => write!(f, "access out of bounds"),
            Self::Arithmetic => write!(f, "arithmetic trap"),
            Self::BadIndirectCall => write!(f, "bad indirect call"),
            Self::BadInterface => write!(f, "broke the component model's rules"),
            Self::TooManyWrites => {
                write!(f, "wrote more than {TXN_OPS_MAX} keys or {TXN_BYTES_MAX} bytes")
            }
            Self::KeyOrValueLength => write!(f, "used a key or value of a length not allowed"),
            Self::WrongShard { key, shard } => write!(f, "touched key {key} of shard {shard}"),
            Self::ResultTooLarge => write!(f, "result is above {VALS_BYTES_MAX} bytes"),
            Self::Trap => write!(f, "trapped"),
        }
    }
}

/// Why a command was not tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The session was never opened here, or was idle too long. Whether its requests in flight
    /// were applied is not known any more.
    SessionUnknown,
    /// So old that its outcome is forgotten. It is not applied again.
    SequenceForgotten,
    /// No component has this name or hash.
    ComponentUnknown,
    /// The component has no such function.
    FunctionUnknown,
    /// The arguments are not what the function takes.
    BadArguments,
    /// The encoded arguments are too long.
    ArgumentsTooLarge {
        /// Their size.
        bytes: u64,
    },
    /// Too many reads and writes.
    TooManyOperations {
        /// How many.
        operations: u64,
    },
    /// Too many bytes of keys and values.
    TransactionTooLarge {
        /// How many.
        bytes: u64,
    },
    /// Too large a component.
    ComponentTooLarge {
        /// Its size.
        bytes: u64,
    },
    /// The shard keeps as many components as it can.
    TooManyComponents,
    /// A key of another shard.
    WrongShard {
        /// The shard that key lives on.
        shard: ShardId,
    },
    /// No such lease, or it is over.
    LeaseUnknown {
        /// The lease.
        lease: LeaseId,
    },
    /// The shard has as many leases as it can.
    TooManyLeases,
    /// The lease has as many keys as it can.
    LeaseFull {
        /// The lease.
        lease: LeaseId,
    },
    /// A time to live of zero, or too long.
    TtlOutOfRange {
        /// In milliseconds.
        ttl_ms: u64,
    },
    /// A range that starts at or after its end.
    RangeInverted,
    /// The ranges read hold too many keys.
    RangeTooLarge,
    /// A range read at a revision that this shard has not reached: it is another shard's.
    RevisionInFuture {
        /// The shard's revision.
        revision: Revision,
    },
    /// A range read so long ago that keys removed since are forgotten: read again.
    RevisionTooOld {
        /// The oldest revision that can be told.
        oldest: Revision,
    },
    /// The keys and operands of the read set are too large.
    ReadsTooLarge {
        /// In bytes.
        bytes: u64,
    },
    /// What the transaction would read back is too large.
    ResultsTooLarge {
        /// In bytes of keys and values.
        bytes: u64,
    },
    /// A transaction across shards holds what the command is about. Nothing was done; the node tries
    /// again as soon as it is over.
    Locked {
        /// The transaction.
        by: TxnId,
    },
    /// The attempt at a transaction across shards is over, and did nothing.
    AttemptOver,
    /// The shard has as many transactions across shards under way as it can.
    TooManyPrepared,
    /// A transaction touches too many shards.
    TooManyShards {
        /// How many.
        shards: u64,
    },
    /// A transaction across shards is about leases, which live on one shard. A time to live is allowed.
    LeaseAcrossShards,
    /// A transaction across shards gets a key after it wrote it.
    GetAfterWrite {
        /// The key.
        key: Key,
    },
    /// A range read lies on several shards and does not say which of them it is about.
    RangeAcrossShards,
    /// The shard has as many names of components as it can.
    TooManyNames,
    /// The shard has as many schedules as it can.
    TooManySchedules,
    /// A schedule repeats too often, or too seldom.
    IntervalOutOfRange {
        /// In milliseconds.
        every_ms: u64,
    },
    /// A scheduled call carries reads that must still hold.
    ScheduleWithReads,
    /// As many uploads in parts are under way as a shard keeps.
    TooManyUploads,
    /// Parts of the upload are missing, or are not what its hash says.
    UploadIncomplete,
    /// A function across shards ran in a component that is not meant any more. The node runs it again.
    ComponentChanged,
}

impl Refusal {
    /// Whether the request was not even looked at, so that a repeat of it may be done.
    pub fn is_transient(&self) -> bool {
        let of_session = matches!(self, Self::SessionUnknown | Self::SequenceForgotten);
        of_session
            || matches!(self, Self::Locked { .. } | Self::AttemptOver | Self::TooManyPrepared)
            || *self == Self::ComponentChanged
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionUnknown => write!(f, "the session is unknown or expired"),
            Self::SequenceForgotten => write!(f, "the request is too old to be told apart"),
            Self::ComponentUnknown => write!(f, "no such component"),
            Self::FunctionUnknown => write!(f, "the component has no such function"),
            Self::BadArguments => write!(f, "the arguments do not fit the function"),
            Self::ArgumentsTooLarge { bytes } => {
                write!(f, "arguments are {bytes} bytes, limit is {VALS_BYTES_MAX}")
            }
            Self::TooManyOperations { operations } => {
                write!(f, "transaction has {operations} operations, limit is {TXN_OPS_MAX}")
            }
            Self::TransactionTooLarge { bytes } => {
                write!(f, "transaction is {bytes} bytes, limit is {TXN_BYTES_MAX}")
            }
            Self::ComponentTooLarge { bytes } => {
                write!(f, "component is {bytes} bytes, limit is {LARGE_COMPONENT_BYTES_MAX}")
            }
            Self::TooManyComponents => {
                let (all, large) = (COMPONENTS_MAX, LARGE_COMPONENTS_MAX);
                write!(f, "the shard has {all} components or {large} large ones, no more fit")
            }
            Self::TooManyUploads => {
                write!(f, "{UPLOADS_MAX} other uploads are under way, try again")
            }
            Self::UploadIncomplete => write!(f, "parts of the upload are missing or wrong"),
            Self::TooManyNames => write!(f, "the shard has {NAMES_MAX} names, no more fit"),
            Self::WrongShard { shard } => write!(f, "the key lives on shard {shard}"),
            Self::TooManySchedules => {
                write!(f, "the shard has {SCHEDULES_MAX} schedules, no more fit")
            }
            Self::IntervalOutOfRange { every_ms } => {
                let (least, most) = (SCHEDULE_EVERY_MS.start(), SCHEDULE_EVERY_MS.end());
                write!(f, "interval is {every_ms} ms, allowed are {least} to {most}")
            }
            Self::ScheduleWithReads => {
                write!(f, "a scheduled call cannot depend on reads made before")
            }
            Self::LeaseUnknown { lease } => write!(f, "lease {lease} is unknown or over"),
            Self::TooManyLeases => write!(f, "the shard has {LEASES_MAX} leases, no more fit"),
            Self::LeaseFull { lease } => {
                write!(f, "lease {lease} would have more than {LEASE_KEYS_MAX} keys")
            }
            Self::TtlOutOfRange { ttl_ms } => {
                write!(f, "time to live is {ttl_ms} ms, allowed are 1 to {LEASE_TTL_MS_MAX}")
            }
            Self::RangeInverted => write!(f, "a range starts at or after its end"),
            Self::RangeTooLarge => {
                write!(f, "the ranges read hold more than {RANGE_READ_KEYS_MAX} keys")
            }
            Self::RevisionInFuture { revision } => {
                write!(f, "a range was read at a later revision than the shard's {revision}")
            }
            Self::RevisionTooOld { oldest } => {
                write!(f, "a range was read before {oldest}, the oldest revision that can be told")
            }
            Self::ReadsTooLarge { bytes } => {
                write!(f, "read set is {bytes} bytes, limit is {READS_BYTES_MAX}")
            }
            Self::ResultsTooLarge { bytes } => {
                write!(f, "results are {bytes} bytes, limit is {RESULTS_BYTES_MAX}")
            }
            Self::Locked { by } => write!(f, "transaction {by} is under way there"),
            Self::AttemptOver => write!(f, "the attempt was given up"),
            Self::ComponentChanged => write!(f, "another version became active meanwhile"),
            Self::TooManyPrepared => {
                write!(f, "the shard has {PREPARED_MAX} transactions across shards under way")
            }
            Self::TooManyShards { shards } => {
                write!(f, "transaction touches {shards} shards, limit is {TXN_SHARDS_MAX}")
            }
            Self::LeaseAcrossShards => {
                write!(f, "a transaction across shards cannot use leases, which live on one shard")
            }
            Self::GetAfterWrite { key } => {
                write!(f, "a transaction across shards gets key {key} after it writes it")
            }
            Self::RangeAcrossShards => {
                write!(f, "a range read of a transaction lies on several shards")
            }
        }
    }
}
