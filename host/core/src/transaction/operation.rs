//! The operations of a transaction, one step each: gets, writes, and steps on leases.
//!
//! Leaves out how an operation is applied (`apply/writer.rs`).

use serde::{Deserialize, Serialize};

use crate::ids::{LeaseId, Timestamp, Version};
use crate::key::{Key, Value};
use crate::view::Record;

/// One step of a transaction; each has one result, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Reads a key, as the earlier operations left it.
    Get(Key),
    /// Writes a key.
    Write(WriteOp),
    /// Grants a lease for `ttl_ms` milliseconds of entry time.
    Grant {
        /// 1 to [`crate::limits::LEASE_TTL_MS_MAX`].
        ttl_ms: u64,
    },
    /// Renews a lease for its whole time to live.
    KeepAlive(LeaseId),
    /// Ends a lease: its keys are removed.
    Revoke(LeaseId),
}

/// One write of a write set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteOp {
    /// Creates or replaces.
    Set {
        key: Key,
        value: Value,
        /// The time for which the record stays.
        expiry: Expiry,
    },
    /// Removes; an absent key is no error.
    Delete { key: Key },
    /// Writes a key's present value again with another expiry; nothing happens if the key is
    /// absent. A write like any other: version and mod revision change.
    Expire {
        key: Key,
        /// The time for which the record stays.
        expiry: Expiry,
    },
}

/// The time that a key stays after a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expiry {
    /// Until the key is removed. It loses the lease or time to live that it had.
    #[default]
    Never,
    /// As before this write.
    Keep,
    /// As long as this lease.
    Lease(LeaseId),
    /// This many milliseconds of entry time, 1 to [`crate::limits::LEASE_TTL_MS_MAX`]: a lease of its own, which
    /// ends when the key is written without it or removed.
    After(u64),
}

impl WriteOp {
    /// Makes a set of a key that stays until it is removed.
    pub fn set(key: Key, value: Value) -> WriteOp {
        WriteOp::Set { key, value, expiry: Expiry::Never }
    }

    pub fn key(&self) -> &Key {
        match self {
            WriteOp::Set { key, .. } | WriteOp::Delete { key } | WriteOp::Expire { key, .. } => key,
        }
    }

    /// Returns the expiry of the write. A delete has [`Expiry::Never`].
    pub fn expiry(&self) -> Expiry {
        match self {
            WriteOp::Set { expiry, .. } | WriteOp::Expire { expiry, .. } => *expiry,
            WriteOp::Delete { .. } => Expiry::Never,
        }
    }

    /// Returns the version that the key has after this write, given the version before; 0 = absent.
    /// Agrees with [`crate::view::Record::written`].
    pub fn version_after(&self, before: Version) -> Version {
        match self {
            WriteOp::Set { .. } => before.next(),
            WriteOp::Expire { .. } if before == Version::ABSENT => Version::ABSENT,
            WriteOp::Expire { .. } => before.next(),
            WriteOp::Delete { .. } => Version::ABSENT,
        }
    }

    /// Returns the bytes of key and value.
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
    /// Returns the key of the operation; operations on leases have none.
    pub fn key(&self) -> Option<&Key> {
        match self {
            Operation::Get(key) => Some(key),
            Operation::Write(write) => Some(write.key()),
            Operation::Grant { .. } | Operation::KeepAlive(_) | Operation::Revoke(_) => None,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Operation::Write(write) => write.bytes(),
            other => other.key().map_or(0, |key| key.as_bytes().len()),
        }
    }

    pub(super) fn ttl_ms(&self) -> Option<u64> {
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

/// The result of one operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperationResult {
    /// Of a get: the record.
    Got(Option<Record>),
    /// Of a set: the key's new version. Of an expire: 0 if the key was absent.
    Written { version: Version },
    /// Of a delete: the version that was removed, 0 if there was none.
    Deleted { version: Version },
    /// Of a grant.
    Granted { lease: LeaseId },
    /// Of a keep-alive.
    KeptAlive {
        /// Entry time at which the lease is over.
        due: Timestamp,
    },
    /// Of a revoke.
    Revoked {
        /// The number of keys that went with the lease.
        keys: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Revision;

    #[test]
    fn version_after_a_write_is_that_of_the_record_it_leaves() {
        let key = Key::try_from("k").expect("within the limit");
        let value = Value::try_from("v").expect("within the limit");
        let written = |before: Option<&Record>| {
            Record::written(before, value.clone(), Revision::new(7), LeaseId::NONE)
        };
        let set = WriteOp::set(key.clone(), value.clone());
        let expire = WriteOp::Expire { key: key.clone(), expiry: Expiry::Never };
        let (created, absent) = (written(None), Version::ABSENT);
        assert_eq!(set.version_after(absent), created.version);
        assert_eq!(expire.version_after(absent), absent, "nothing happens");
        let again = written(Some(&created)).version;
        assert_eq!((again.get(), created.create_revision.get()), (2, 7));
        assert_eq!([&set, &expire].map(|write| write.version_after(created.version)), [again; 2]);
        assert_eq!(WriteOp::Delete { key }.version_after(created.version), absent);
    }
}
