//! [`Record`]: a value with the history of its key in three numbers, and the rule that sets them.

use serde::{Deserialize, Serialize};

use crate::ids::{LeaseId, Revision, Version};
use crate::key::Value;

/// A value with its history in three numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub value: Value,
    /// Writes since the key was created.
    pub version: Version,
    /// The revision that created it.
    pub create_revision: Revision,
    /// The revision that last wrote it.
    pub mod_revision: Revision,
    /// The lease that the key is attached to, if any.
    pub lease: LeaseId,
}

impl Record {
    /// Makes the record that a write of `value` at `revision` leaves over `before`: the version is one
    /// higher, and the create revision stays. A write of an absent key creates it at version 1.
    ///
    /// The one place that sets versions and revisions: `apply` writes this record, and a function sees
    /// it over its own writes.
    pub fn written(
        before: Option<&Record>,
        value: Value,
        revision: Revision,
        lease: LeaseId,
    ) -> Record {
        let version = Record::version_of(before).next();
        let create_revision = before.map_or(revision, |record| record.create_revision);
        Record { value, version, create_revision, mod_revision: revision, lease }
    }

    /// Returns the version of a key with this record; [`Version::ABSENT`] without one.
    pub fn version_of(record: Option<&Record>) -> Version {
        record.map_or(Version::ABSENT, |record| record.version)
    }
}
