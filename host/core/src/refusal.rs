//! [`Refusal`]: the reasons for which the state machine does not try a command.
//!
//! A refusal is an outcome: data, replicated, part of the digest. The command wrote nothing.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::ids::{LeaseId, Revision, ShardId, TxnId};
use crate::key::Key;
use crate::limits::{
    COMPONENTS_MAX, LARGE_COMPONENT_BYTES_MAX, LARGE_COMPONENTS_MAX, LEASE_KEYS_MAX,
    LEASE_TTL_MS_MAX, LEASES_MAX, NAMES_MAX, PREPARED_MAX, RANGE_READ_KEYS_MAX, READS_BYTES_MAX,
    RESULTS_BYTES_MAX, SCHEDULE_EVERY_MS, SCHEDULES_MAX, TXN_BYTES_MAX, TXN_OPS_MAX,
    TXN_SHARDS_MAX, UPLOADS_MAX, VALS_BYTES_MAX,
};

/// The reasons for which a command is not tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The session was never opened here, or was idle too long. It is not known any more whether
    /// its requests in flight were applied.
    SessionUnknown,
    /// The request is so old that its outcome is forgotten. It is not applied again.
    SequenceForgotten,
    /// A key of another shard.
    WrongShard {
        /// The shard of that key.
        shard: ShardId,
    },
    /// Too many reads and writes.
    TooManyOperations { operations: u64 },
    /// Too many bytes of keys and values.
    TransactionTooLarge { bytes: u64 },
    /// The keys and operands of the read set are too large.
    ReadsTooLarge { bytes: u64 },
    /// The records that the transaction gets are too large.
    ResultsTooLarge {
        /// Bytes of keys and values.
        bytes: u64,
    },
    /// A range that starts at or after its end.
    RangeInverted,
    /// The ranges read hold too many keys.
    RangeTooLarge,
    /// A range was read at a revision that this shard has not reached: the revision is another
    /// shard's.
    RevisionInFuture {
        /// The shard's revision.
        revision: Revision,
    },
    /// A range was read so long ago that keys removed since are forgotten: read again.
    RevisionTooOld {
        /// The oldest revision that can be checked.
        oldest: Revision,
    },
    /// The lease does not exist, or is over.
    LeaseUnknown { lease: LeaseId },
    /// The lease has as many keys as it can.
    LeaseFull { lease: LeaseId },
    /// The shard has as many leases as it can.
    TooManyLeases,
    /// A time to live of zero, or too long.
    TtlOutOfRange { ttl_ms: u64 },
    /// No component has this name or hash.
    ComponentUnknown,
    /// The component has no such function.
    FunctionUnknown,
    /// The arguments do not fit the function.
    BadArguments,
    /// The encoded arguments are too long.
    ArgumentsTooLarge { bytes: u64 },
    /// Too large a component.
    ComponentTooLarge { bytes: u64 },
    /// The shard keeps as many components as it can.
    TooManyComponents,
    /// The shard keeps no more uploads in parts: as many are under way as its limit allows.
    TooManyUploads,
    /// Parts of the upload are missing, or do not have its hash.
    UploadIncomplete,
    /// The shard has as many aliases as it can.
    TooManyNames,
    /// The shard has as many schedules as it can.
    TooManySchedules,
    /// A schedule repeats too often, or too seldom.
    IntervalOutOfRange { every_ms: u64 },
    /// A scheduled call carries reads that must still hold.
    ScheduleWithReads,
    /// A transaction across shards holds a key of the command. Nothing was done; the node tries
    /// again as soon as that transaction is over.
    Locked { by: TxnId },
    /// The attempt at a transaction across shards is over, and did nothing.
    AttemptOver,
    /// A function across shards ran in a component that its name does not mean any more. The node
    /// runs it again.
    ComponentChanged,
    /// The shard has as many transactions across shards under way as it can.
    TooManyPrepared,
    /// A transaction touches too many shards.
    TooManyShards { shards: u64 },
    /// A transaction across shards has an operation on a lease, which lives on one shard. A time to
    /// live is allowed.
    LeaseAcrossShards,
    /// A range read lies on several shards and does not name one.
    RangeAcrossShards,
    /// A transaction across shards gets a key after it wrote it.
    GetAfterWrite { key: Key },
}

impl Refusal {
    /// True if the command may be tried again with the same request: its outcome is not kept.
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
            Self::ArgumentsTooLarge { bytes } => large(f, "arguments are", bytes, VALS_BYTES_MAX),
            Self::TooManyOperations { operations } => {
                write!(f, "transaction has {operations} operations, limit is {TXN_OPS_MAX}")
            }
            Self::TransactionTooLarge { bytes } => large(f, "transaction is", bytes, TXN_BYTES_MAX),
            Self::ComponentTooLarge { bytes } => {
                large(f, "component is", bytes, LARGE_COMPONENT_BYTES_MAX)
            }
            Self::TooManyComponents => {
                let (all, large) = (COMPONENTS_MAX, LARGE_COMPONENTS_MAX);
                write!(f, "the shard has {all} components or {large} large ones, no more fit")
            }
            Self::TooManyUploads => {
                write!(f, "{UPLOADS_MAX} other uploads are under way, try again")
            }
            Self::UploadIncomplete => write!(f, "parts of the upload are missing or wrong"),
            Self::TooManyNames => full(f, NAMES_MAX, "names, no more fit"),
            Self::WrongShard { shard } => write!(f, "the key lives on shard {shard}"),
            Self::TooManySchedules => full(f, SCHEDULES_MAX, "schedules, no more fit"),
            Self::IntervalOutOfRange { every_ms } => {
                outside(f, "interval is", every_ms, SCHEDULE_EVERY_MS)
            }
            Self::ScheduleWithReads => {
                write!(f, "a scheduled call cannot depend on reads made before")
            }
            Self::LeaseUnknown { lease } => write!(f, "lease {lease} is unknown or over"),
            Self::TooManyLeases => full(f, LEASES_MAX, "leases, no more fit"),
            Self::LeaseFull { lease } => {
                write!(f, "lease {lease} would have more than {LEASE_KEYS_MAX} keys")
            }
            Self::TtlOutOfRange { ttl_ms } => {
                outside(f, "time to live is", ttl_ms, 1..=LEASE_TTL_MS_MAX)
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
            Self::ReadsTooLarge { bytes } => large(f, "read set is", bytes, READS_BYTES_MAX),
            Self::ResultsTooLarge { bytes } => large(f, "results are", bytes, RESULTS_BYTES_MAX),
            Self::Locked { by } => write!(f, "transaction {by} is under way there"),
            Self::AttemptOver => write!(f, "the attempt was given up"),
            Self::ComponentChanged => write!(f, "another version became active meanwhile"),
            Self::TooManyPrepared => full(f, PREPARED_MAX, "transactions across shards under way"),
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

fn large(f: &mut fmt::Formatter<'_>, what: &str, bytes: &u64, max: usize) -> fmt::Result {
    write!(f, "{what} {bytes} bytes, limit is {max}")
}

fn full(f: &mut fmt::Formatter<'_>, max: usize, what: &str) -> fmt::Result {
    write!(f, "the shard has {max} {what}")
}

fn outside(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    ms: &u64,
    allowed: RangeInclusive<u64>,
) -> fmt::Result {
    write!(f, "{what} {ms} ms, allowed are {} to {}", allowed.start(), allowed.end())
}
