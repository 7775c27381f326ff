//! A transaction as the log holds it: what must still be true, and what is done then.
//!
//! ```text
//! client A                          client B                         shard
//! get x -> 5, mod revision r7                                        x = 5   r7
//!                                   get x -> 5, mod revision r7
//!                                   x was r7: set x 6   ---------->  x = 6   r8
//! x was r7: set x 6   ------------------------------------------->  conflict: x is r8
//! get x -> 6, mod revision r8; x was r8: set x 7   -------------->  x = 7   r9
//! ```
//!
//! Promises that checks and operations are one atomic step at one point of the log: all operations
//! happen or none. Every way to write (see `write_command.rs`) is this one form, so all of them set
//! versions and revisions alike. Leaves out how it is applied (`apply/transact.rs`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{LeaseId, Revision, ShardId, Version};
use crate::key::{Key, KeyRange, Value};
use crate::limits::{LEASE_TTL_MS_MAX, READS_BYTES_MAX, TXN_BYTES_MAX, TXN_OPS_MAX};
use crate::outcome::Refusal;
use crate::route::ShardRouter;

/// If every read still holds, do `then`; else do `otherwise`, or nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transact {
    /// Checked in order, against the state before the operations. A key may occur more than once.
    pub reads: Vec<Read>,
    /// Done in order, each seeing what those before it did. A key written twice gets two versions
    /// and one revision; the last value stays.
    pub then: Vec<Operation>,
    /// Done when a read does not hold. `None`: the transaction is a conflict that names each.
    pub otherwise: Option<Vec<Operation>>,
    /// A conflict carries the present values back, so that a retry needs no read.
    pub return_values: bool,
}

/// One read of a read set: what the transaction saw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Read {
    /// Of one key.
    Key {
        /// The key.
        key: Key,
        /// What must be true of it at commit.
        expected: Expectation,
    },
    /// Of every key in a range, the absent ones included: none of them was written or removed
    /// after the revision. Prevents phantoms. Covers the range's keys on one shard.
    Range {
        /// The keys.
        range: KeyRange,
        /// The revision that the range was read at, on that shard.
        unchanged_since: Revision,
        /// Which shard; none: the one that all keys of the range live on. A range that lies on several
        /// shards is a read of each of them.
        shard: Option<ShardId>,
    },
}

/// What must be true of a key. An absent key counts as version 0, all revisions 0, no lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expectation {
    /// The key does not exist.
    Absent,
    /// The key has this version. Blind to delete-and-recreate: a new key counts from 1 again.
    /// `Version(0)` means absent.
    Version(Version),
    /// The key was last written at this revision: the safe default.
    ModRevision(Revision),
    /// As a range read of this one key: neither written nor removed after the revision.
    UnchangedSince(Revision),
    /// A comparison, as etcd's transactions have it.
    Compare(Compare),
}

/// A comparison of something of a key (left) with an operand (right).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compare {
    /// Its value, in the order of bytes. Does not hold for an absent key, whatever the relation.
    Value(Relation, Value),
    /// Its version.
    Version(Relation, Version),
    /// The revision that created it.
    CreateRevision(Relation, Revision),
    /// The revision that last wrote it.
    ModRevision(Relation, Revision),
    /// Its lease.
    Lease(Relation, LeaseId),
}

/// How two things compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relation {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `>`
    Greater,
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Relation::Equal => "=",
            Relation::NotEqual => "!=",
            Relation::Less => "<",
            Relation::Greater => ">",
        })
    }
}

impl fmt::Display for Compare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Compare::Value(relation, value) => {
                write!(f, "value {relation} \"{}\"", value.as_bytes().escape_ascii())
            }
            Compare::Version(relation, version) => {
                write!(f, "version {relation} {}", version.get())
            }
            Compare::CreateRevision(relation, revision) => {
                write!(f, "create revision {relation} {}", revision.get())
            }
            Compare::ModRevision(relation, revision) => {
                write!(f, "mod revision {relation} {}", revision.get())
            }
            Compare::Lease(relation, lease) => write!(f, "lease {relation} {}", lease.get()),
        }
    }
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expectation::Absent => write!(f, "absent"),
            Expectation::Version(version) => write!(f, "version {}", version.get()),
            Expectation::ModRevision(revision) => write!(f, "mod revision {}", revision.get()),
            Expectation::UnchangedSince(revision) => {
                write!(f, "unchanged since revision {}", revision.get())
            }
            Expectation::Compare(compare) => compare.fmt(f),
        }
    }
}

impl Relation {
    /// Whether `left` has this relation to `right`.
    pub fn holds<T: Ord + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Relation::Equal => left == right,
            Relation::NotEqual => left != right,
            Relation::Less => left < right,
            Relation::Greater => left > right,
        }
    }
}

/// One step of a transaction; each has one result, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Reads a key, as the operations before it left it.
    Get(Key),
    /// Writes a key.
    Write(WriteOp),
    /// Grants a lease for `ttl_ms` milliseconds of entry time.
    Grant {
        /// 1 to [`LEASE_TTL_MS_MAX`].
        ttl_ms: u64,
    },
    /// Lets a lease run its whole time again, from now.
    KeepAlive(LeaseId),
    /// Ends a lease: its keys are removed.
    Revoke(LeaseId),
}

/// One write of a write set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteOp {
    /// Creates or replaces.
    Set {
        /// The key.
        key: Key,
        /// Its new value.
        value: Value,
        /// How long it stays.
        expiry: Expiry,
    },
    /// Removes; nothing happens when the key is absent.
    Delete {
        /// The key.
        key: Key,
    },
    /// Writes a key's present value again with another expiry; nothing happens when it is absent.
    /// A write like any other: version and mod revision change.
    Expire {
        /// The key.
        key: Key,
        /// How long it stays.
        expiry: Expiry,
    },
}

/// How long a key stays after a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    /// Until it is removed; a lease or time to live that it had is gone.
    #[default]
    Never,
    /// As the key had it before this write.
    Keep,
    /// As long as this lease.
    Lease(LeaseId),
    /// This many milliseconds of entry time, 1 to [`LEASE_TTL_MS_MAX`]: a lease of its own, which
    /// ends when the key is written without it or removed.
    After(u64),
}

impl Read {
    /// A read of one key.
    pub fn key(key: Key, expected: impl Into<Expectation>) -> Read {
        Read::Key { key, expected: expected.into() }
    }

    /// A read of a range that one shard has whole.
    pub fn range(range: KeyRange, unchanged_since: Revision) -> Read {
        Read::Range { range, unchanged_since, shard: None }
    }

    /// The shard that it is about; none if the range lies on several.
    pub fn shard(&self, router: &ShardRouter) -> Option<ShardId> {
        match self {
            Read::Key { key, .. } => Some(router.shard(key.as_bytes())),
            Read::Range { range, shard, .. } => shard.or_else(|| router.range_shard(range)),
        }
    }

    /// Bytes of keys and operands.
    fn bytes(&self) -> usize {
        match self {
            Read::Key { key, expected: Expectation::Compare(Compare::Value(_, value)) } => {
                key.as_bytes().len() + value.as_bytes().len()
            }
            Read::Key { key, .. } => key.as_bytes().len(),
            Read::Range { range, .. } => {
                range.start.len() + range.end.as_ref().map_or(0, |end| end.len())
            }
        }
    }
}

impl WriteOp {
    /// A set of a key that stays until it is removed.
    pub fn set(key: Key, value: Value) -> WriteOp {
        WriteOp::Set { key, value, expiry: Expiry::Never }
    }

    /// The key it writes.
    pub fn key(&self) -> &Key {
        match self {
            WriteOp::Set { key, .. } | WriteOp::Delete { key } | WriteOp::Expire { key, .. } => key,
        }
    }

    /// How long the key stays afterwards, if it stays.
    pub fn expiry(&self) -> Expiry {
        match self {
            WriteOp::Set { expiry, .. } | WriteOp::Expire { expiry, .. } => *expiry,
            WriteOp::Delete { .. } => Expiry::Never,
        }
    }

    /// Bytes of key and value.
    pub fn bytes(&self) -> usize {
        match self {
            WriteOp::Set { key, value, .. } => key.as_bytes().len() + value.as_bytes().len(),
            WriteOp::Delete { key } | WriteOp::Expire { key, .. } => key.as_bytes().len(),
        }
    }
}

impl From<WriteOp> for Operation {
    fn from(write: WriteOp) -> Operation {
        Operation::Write(write)
    }
}

impl Operation {
    /// The key it touches; leases have none.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Operation::Get(key) => Some(key),
            Operation::Write(write) => Some(write.key()),
            Operation::Grant { .. } | Operation::KeepAlive(_) | Operation::Revoke(_) => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Operation::Write(write) => write.bytes(),
            other => other.key().map_or(0, |key| key.as_bytes().len()),
        }
    }

    fn ttl_ms(&self) -> Option<u64> {
        match self {
            Operation::Grant { ttl_ms } => Some(*ttl_ms),
            Operation::Write(write) => match write.expiry() {
                Expiry::After(ttl_ms) => Some(ttl_ms),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The single keys of a read set.
pub fn read_keys(reads: &[Read]) -> impl Iterator<Item = &Key> {
    reads.iter().filter_map(|read| match read {
        Read::Key { key, .. } => Some(key),
        Read::Range { .. } => None,
    })
}

/// Whether a read set is within its limits, and every range has its start before its end.
pub fn check_read_set(reads: &[Read]) -> Result<(), Refusal> {
    if reads.len() > TXN_OPS_MAX {
        return Err(Refusal::TooManyOperations { operations: reads.len() as u64 });
    }
    let bytes: usize = reads.iter().map(Read::bytes).sum();
    if bytes > READS_BYTES_MAX {
        return Err(Refusal::ReadsTooLarge { bytes: bytes as u64 });
    }
    let inverted = |read: &Read| matches!(read, Read::Range { range, .. } if range.is_empty());
    if reads.iter().any(inverted) { Err(Refusal::RangeInverted) } else { Ok(()) }
}

impl Transact {
    /// Writes without a condition.
    pub fn writes(writes: impl IntoIterator<Item = WriteOp>) -> Transact {
        let then = writes.into_iter().map(Operation::Write).collect();
        Transact { then, ..Transact::default() }
    }

    /// Every operation of both branches.
    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.then.iter().chain(self.otherwise.iter().flatten())
    }

    /// Whether it is within the limits, as far as the transaction alone decides.
    pub fn check(&self) -> Result<(), Refusal> {
        let operations = self.reads.len() + self.operations().count();
        if operations > TXN_OPS_MAX {
            return Err(Refusal::TooManyOperations { operations: operations as u64 });
        }
        let bytes: usize = self.operations().map(Operation::bytes).sum();
        if bytes > TXN_BYTES_MAX {
            return Err(Refusal::TransactionTooLarge { bytes: bytes as u64 });
        }
        let allowed = 1..=LEASE_TTL_MS_MAX;
        let mut ttls = self.operations().filter_map(Operation::ttl_ms);
        if let Some(ttl_ms) = ttls.find(|ttl_ms| !allowed.contains(ttl_ms)) {
            return Err(Refusal::TtlOutOfRange { ttl_ms });
        }
        check_read_set(&self.reads)
    }

    /// Bytes of keys, values and operands.
    pub fn bytes(&self) -> usize {
        let operations: usize = self.operations().map(Operation::bytes).sum();
        operations + self.reads.iter().map(Read::bytes).sum::<usize>()
    }

    /// Leases that it grants at most.
    pub fn leases(&self) -> usize {
        self.operations().filter(|operation| operation.ttl_ms().is_some()).count()
    }

    /// Every single key it touches; ranges are not among them.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        read_keys(&self.reads).chain(self.operations().filter_map(Operation::key))
    }
}
