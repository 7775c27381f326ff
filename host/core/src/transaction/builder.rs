//! [`TransactionBuilder`]: makes a transaction in one chain of calls.
//!
//! ```
//! use aspen_core::ids::Revision;
//! use aspen_core::key::KeyRange;
//! use aspen_core::transaction::{TransactionBuilder, WriteCommand};
//! use aspen_core::view::Record;
//! # let seen: Option<Record> = None;
//! let command = TransactionBuilder::new()
//!     .read("b", &seen)                             // not written since it was read: the safe form
//!     .read("a", 3)                                 // has version 3
//!     .absent("c")                                  // does not exist
//!     .unchanged(KeyRange::prefix("p/"), Revision::new(40)) // no key in here changed since
//!     .write("a", "value")
//!     .delete("d")
//!     .build()?;
//! assert!(matches!(command, WriteCommand::OptimisticTransaction { .. }));
//! # Ok::<(), aspen_core::transaction::BuildError>(())
//! ```
//!
//! Promises that `build` reports the first key or value outside its limits.

use bytes::Bytes;
use snafu::Snafu;

use crate::ids::Revision;
use crate::key::{Key, KeyError, KeyRange, Value, ValueError};
use crate::refusal::Refusal;
use crate::transaction::operation::{Expiry, WriteOp};
use crate::transaction::read_set::{Expectation, Read};
use crate::transaction::transact::Transact;
use crate::transaction::write_command::WriteCommand;

/// Collects a read set and a write set.
#[derive(Clone, Debug, Default)]
pub struct TransactionBuilder {
    read_set: Vec<Read>,
    write_set: Vec<WriteOp>,
    error: Option<BuildError>,
}

/// The reasons for which a transaction cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
pub enum BuildError {
    /// A key is empty or too long.
    #[snafu(display("{source}"), context(false))]
    Key { source: KeyError },
    /// A value is too long.
    #[snafu(display("{source}"), context(false))]
    Value { source: ValueError },
    /// The transaction breaks a limit.
    #[snafu(display("{refusal}"))]
    Transaction { refusal: Refusal },
}

impl TransactionBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Expects something of a key. The record that `get` returned, by reference, means "not written
    /// since, not even with the same value". An integer means that version; it does not notice that
    /// a key was deleted and created again.
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

    /// Expects that no key in a range was written or removed after the revision at which the range
    /// was scanned.
    pub fn unchanged(mut self, range: impl Into<KeyRange>, since: Revision) -> Self {
        self.read_set.push(Read::range(range.into(), since));
        self
    }

    /// Creates or replaces a key. The key loses the time to live that it had.
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

    /// Removes a key; an absent key is no error.
    pub fn delete(self, key: impl AsRef<[u8]>) -> Self {
        self.with(|builder| {
            builder.write_set.push(WriteOp::Delete { key: to_key(key.as_ref())? });
            Ok(())
        })
    }

    /// Returns the transaction, if everything is within its limits.
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

    /// Adds a part, unless an error was found before; remembers the first error.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{LeaseId, Version};
    use crate::limits::{KEY_BYTES_MAX, LEASE_TTL_MS_MAX, TXN_OPS_MAX};
    use crate::view::Record;

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
