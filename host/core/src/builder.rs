//! [`TransactionBuilder`]: a transaction said in one chain.
//!
//! ```
//! use aspen_core::{KeyRange, Record, Revision, TransactionBuilder, WriteCommand};
//! # let seen: Option<Record> = None;
//! let command = TransactionBuilder::new()
//!     .read("b", &seen)                             // as it was when it was read: the safe form
//!     .read("a", 3)                                 // has version 3
//!     .absent("c")                                  // does not exist
//!     .unchanged(KeyRange::prefix("p/"), Revision::new(40)) // no key in here changed since
//!     .write("a", "value")
//!     .delete("d")
//!     .build()?;
//! assert!(matches!(command, WriteCommand::OptimisticTransaction { .. }));
//! # Ok::<(), aspen_core::BuildError>(())
//! ```
//!
//! Promises that a key or value outside its limits is reported by `build`, the first one found.

use bytes::Bytes;
use snafu::Snafu;

use crate::ids::{Revision, Version};
use crate::key::{Key, KeyError, KeyRange, Value, ValueError};
use crate::outcome::Refusal;
use crate::state::Record;
use crate::transact::{Compare, Expectation, Expiry, Read, Transact, WriteOp};
use crate::write_command::WriteCommand;

/// Collects a read set and a write set.
#[derive(Clone, Debug, Default)]
pub struct TransactionBuilder {
    read_set: Vec<Read>,
    write_set: Vec<WriteOp>,
    error: Option<BuildError>,
}

/// Why a transaction cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
pub enum BuildError {
    /// A key is empty or too long.
    #[snafu(display("{source}"), context(false))]
    Key {
        /// Which limit.
        source: KeyError,
    },
    /// A value is too long.
    #[snafu(display("{source}"), context(false))]
    Value {
        /// Which limit.
        source: ValueError,
    },
    /// The transaction breaks a limit.
    #[snafu(display("{refusal}"))]
    Transaction {
        /// Which.
        refusal: Refusal,
    },
}

impl TransactionBuilder {
    /// An empty transaction.
    pub fn new() -> Self {
        Self::default()
    }

    /// Expects something of a key. What `get` returned, by reference, means "not written since, not
    /// even with the same value"; an integer means that version, which does not notice that a key
    /// was deleted and created again.
    pub fn read(self, key: impl AsRef<[u8]>, expected: impl Into<Expectation>) -> Self {
        let expected = expected.into();
        self.with(|builder| {
            let key = to_key(key.as_ref())?;
            builder.read_set.push(Read::Key { key, expected });
            Ok(())
        })
    }

    /// Expects that a key does not exist.
    pub fn absent(self, key: impl AsRef<[u8]>) -> Self {
        self.read(key, Expectation::Absent)
    }

    /// Expects that no key in a range was written or removed after a revision: the revision that
    /// the range was scanned at.
    pub fn unchanged(mut self, range: impl Into<KeyRange>, since: Revision) -> Self {
        self.read_set.push(Read::range(range.into(), since));
        self
    }

    /// Creates or replaces a key; a time to live that it had is gone.
    pub fn write(self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.write_expiring(key, value, Expiry::Never)
    }

    /// Creates or replaces a key that stays for a time, or as long as a lease.
    pub fn write_expiring(
        self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        expiry: Expiry,
    ) -> Self {
        self.with(|builder| {
            let key = to_key(key.as_ref())?;
            let value = Value::new(Bytes::copy_from_slice(value.as_ref()))?;
            builder.write_set.push(WriteOp::Set { key, value, expiry });
            Ok(())
        })
    }

    /// Removes a key; nothing happens if it is absent.
    pub fn delete(self, key: impl AsRef<[u8]>) -> Self {
        self.with(|builder| {
            builder.write_set.push(WriteOp::Delete { key: to_key(key.as_ref())? });
            Ok(())
        })
    }

    /// The transaction, if everything is within its limits.
    pub fn build(self) -> Result<WriteCommand, BuildError> {
        let Self { read_set, write_set, error } = self;
        if let Some(error) = error {
            return Err(error);
        }
        let command = WriteCommand::OptimisticTransaction { read_set, write_set };
        let checked = Transact::from(command.clone()).check();
        checked.map_err(|refusal| BuildError::Transaction { refusal })?;
        Ok(command)
    }

    /// Adds something unless an error was found before; remembers the first.
    fn with(mut self, add: impl FnOnce(&mut Self) -> Result<(), BuildError>) -> Self {
        if self.error.is_none() {
            self.error = add(&mut self).err();
        }
        self
    }
}

fn to_key(bytes: &[u8]) -> Result<Key, KeyError> {
    Key::new(Bytes::copy_from_slice(bytes))
}

/// That version.
impl From<u64> for Expectation {
    fn from(version: u64) -> Self {
        Expectation::Version(Version::new(version))
    }
}

/// That version.
impl From<Version> for Expectation {
    fn from(version: Version) -> Self {
        Expectation::Version(version)
    }
}

/// That mod revision.
impl From<Revision> for Expectation {
    fn from(revision: Revision) -> Self {
        Expectation::ModRevision(revision)
    }
}

/// Not written since it was read.
impl From<&Record> for Expectation {
    fn from(seen: &Record) -> Self {
        Expectation::ModRevision(seen.mod_revision)
    }
}

/// Not written since it was read; still absent if it was.
impl From<&Option<Record>> for Expectation {
    fn from(seen: &Option<Record>) -> Self {
        seen.as_ref().map_or(Expectation::Absent, Expectation::from)
    }
}

/// A comparison.
impl From<Compare> for Expectation {
    fn from(compare: Compare) -> Self {
        Expectation::Compare(compare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LeaseId;
    use crate::limits::{KEY_BYTES_MAX, LEASE_TTL_MS_MAX, TXN_OPS_MAX};

    #[test]
    fn chain_becomes_read_and_write_set_in_order() {
        let seen = Record {
            value: Value::try_from("x").unwrap(),
            version: Version::new(2),
            create_revision: Revision::new(5),
            mod_revision: Revision::new(9),
            lease: LeaseId::NONE,
        };
        let built = TransactionBuilder::new()
            .read("a", 3)
            .read("b", &seen)
            .read("b", &Some(seen.clone()))
            .absent("c")
            .unchanged("p/".."p0", Revision::new(4))
            .write("a", "v")
            .delete("d")
            .build();
        let key = |text: &str| Key::try_from(text).unwrap();
        let was = Expectation::ModRevision(Revision::new(9));
        let range = KeyRange { start: "p/".into(), end: Some("p0".into()) };
        let read_set = vec![
            Read::key(key("a"), 3),
            Read::key(key("b"), was.clone()),
            Read::key(key("b"), was),
            Read::key(key("c"), Expectation::Absent),
            Read::range(range, Revision::new(4)),
        ];
        let set = WriteOp::set(key("a"), Value::try_from("v").unwrap());
        let write_set = vec![set, WriteOp::Delete { key: key("d") }];
        assert_eq!(built, Ok(WriteCommand::OptimisticTransaction { read_set, write_set }));
    }

    #[test]
    fn first_error_is_reported_when_built() {
        let check = |builder: TransactionBuilder, want: &str| {
            assert_eq!(builder.build().unwrap_err().to_string(), want);
        };
        let new = TransactionBuilder::new;
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        check(new().read("", 1).write(&long, ""), "key is 0 bytes, allowed are 1 to 1024");
        check(new().write(&long, ""), "key is 1025 bytes, allowed are 1 to 1024");
        check(new().unchanged("b".."a", Revision::new(1)), "a range starts at or after its end");
        let many = (0..=TXN_OPS_MAX).fold(new(), |builder, _| builder.delete("k"));
        check(many, "transaction has 1025 operations, limit is 1024");
        for ttl_ms in [0, LEASE_TTL_MS_MAX + 1] {
            let want = format!("time to live is {ttl_ms} ms, allowed are 1 to {LEASE_TTL_MS_MAX}");
            check(new().write_expiring("k", "", Expiry::After(ttl_ms)), &want);
        }
    }
}
