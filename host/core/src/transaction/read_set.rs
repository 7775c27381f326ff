//! The read set of a transaction: the claims that must still hold when the transaction commits.
//!
//! Promises that a checked read set is within its limits ([`check_read_set`]). Leaves out how the reads
//! are compared with the present (`apply/reads.rs`).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{LeaseId, Revision, ShardId, Version};
use crate::key::{Key, KeyRange, Value};
use crate::limits::{READS_BYTES_MAX, TXN_OPS_MAX};
use crate::placement::ShardRouter;
use crate::refusal::Refusal;
use crate::view::Record;

/// One read of a read set, with the expectation that the transaction has of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Read {
    /// A read of one key.
    Key {
        key: Key,
        /// The expectation, checked at commit.
        expected: Expectation,
    },
    /// A read of every key in a range, the absent ones included: no key was written or removed
    /// after the revision. Prevents phantoms. Covers the range's keys on one shard.
    Range {
        range: KeyRange,
        /// The revision that the range was read at, on that shard.
        unchanged_since: Revision,
        /// The shard; `None`: the one that all keys of the range live on. A range on several shards
        /// is a read of each of them.
        shard: Option<ShardId>,
    },
}

/// An expectation of a key. An absent key counts as version 0, all revisions 0, no lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expectation {
    /// The key does not exist.
    Absent,
    /// The key has this version. Blind to delete-and-recreate: a new key counts from 1 again.
    /// `Version(0)` means absent.
    Version(Version),
    /// The key was last written at this revision: the safe default.
    ModRevision(Revision),
    /// The key was neither written nor removed after the revision, as in a range read.
    UnchangedSince(Revision),
    /// A comparison, as etcd's transactions have it.
    Compare(Compare),
}

/// A comparison of a property of a key (left) with an operand (right).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compare {
    /// The value, in the order of bytes. Does not hold for an absent key, with any relation.
    Value(Relation, Value),
    Version(Relation, Version),
    /// The revision that created it.
    CreateRevision(Relation, Revision),
    /// The revision that last wrote it.
    ModRevision(Relation, Revision),
    Lease(Relation, LeaseId),
}

/// A relation between two operands.
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

impl Read {
    /// A read of one key.
    pub fn key(key: Key, expected: impl Into<Expectation>) -> Read {
        Read::Key { key, expected: expected.into() }
    }

    /// A read of a range that lies on one shard.
    pub fn range(range: KeyRange, unchanged_since: Revision) -> Read {
        Read::Range { range, unchanged_since, shard: None }
    }

    /// Returns the shard of the read; `None` if the range lies on several.
    pub fn shard(&self, router: &ShardRouter) -> Option<ShardId> {
        match self {
            Read::Key { key, .. } => Some(router.shard(key.as_bytes())),
            Read::Range { range, shard, .. } => shard.or_else(|| router.range_shard(range)),
        }
    }

    /// Returns the bytes of keys and operands.
    pub(super) fn bytes(&self) -> usize {
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

impl Relation {
    /// True if `left` has this relation to `right`.
    pub fn holds<T: Ord + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Relation::Equal => left == right,
            Relation::NotEqual => left != right,
            Relation::Less => left < right,
            Relation::Greater => left > right,
        }
    }
}

/// Returns the single keys of a read set.
pub fn read_keys(reads: &[Read]) -> impl Iterator<Item = &Key> {
    reads.iter().filter_map(|read| match read {
        Read::Key { key, .. } => Some(key),
        Read::Range { .. } => None,
    })
}

/// Refuses a read set above its limits, or with a range that starts at or after its end.
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

/// Expects this version.
impl From<u64> for Expectation {
    fn from(version: u64) -> Self {
        Expectation::Version(Version::new(version))
    }
}

/// Expects this version.
impl From<Version> for Expectation {
    fn from(version: Version) -> Self {
        Expectation::Version(version)
    }
}

/// Expects this mod revision.
impl From<Revision> for Expectation {
    fn from(revision: Revision) -> Self {
        Expectation::ModRevision(revision)
    }
}

/// Expects that the key was not written since the record was read.
impl From<&Record> for Expectation {
    fn from(seen: &Record) -> Self {
        Expectation::ModRevision(seen.mod_revision)
    }
}

/// Expects that the key was not written since it was read; still absent if it was absent.
impl From<&Option<Record>> for Expectation {
    fn from(seen: &Option<Record>) -> Self {
        seen.as_ref().map_or(Expectation::Absent, Expectation::from)
    }
}

impl From<Compare> for Expectation {
    fn from(compare: Compare) -> Self {
        Expectation::Compare(compare)
    }
}
