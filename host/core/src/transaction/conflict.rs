//! [`ConflictError`]: a key that was not as a transaction expected.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{Revision, Version};
use crate::key::Key;
use crate::transaction::read_set::Expectation;
use crate::view::Record;

/// A key that was not as the transaction expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictError {
    pub key: Key,
    pub expected: Expectation,
    /// The present version and mod revision.
    pub actual: Actual,
    /// The present record, if it was asked for, exists, and fits: the records of one answer carry
    /// [`crate::limits::RESULTS_BYTES_MAX`] bytes at most.
    pub record: Option<Record>,
}

/// The numbers of a key without its value. Both are 0 if the key is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actual {
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

impl Actual {
    /// Returns the numbers of a record, or those of an absent key.
    pub fn of(record: Option<&Record>) -> Actual {
        match record {
            Some(record) => Actual { version: record.version, mod_revision: record.mod_revision },
            None => Actual { version: Version::ABSENT, mod_revision: Revision::default() },
        }
    }
}
