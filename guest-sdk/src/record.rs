//! The records of the store: a value with its history, a key with its record, a page of keys.

use serde::de::DeserializeOwned;

use crate::value;

/// A value and its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The value.
    pub value: Vec<u8>,
    /// The number of writes to the key since it was created: 1, 2, 3, ...
    pub version: u64,
    /// The revision that created the key.
    pub create_revision: u64,
    /// The revision that last wrote it; for this call's own writes the revision they will have.
    pub mod_revision: u64,
}

/// A key with its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The key.
    pub key: Vec<u8>,
    /// Its value and history.
    pub record: Versioned,
}

/// One page of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In order of keys, or against it.
    pub items: Vec<Item>,
    /// The page was full before the range ended: scan on from the last key.
    pub more: bool,
}

impl Item {
    /// Returns the value as [`crate::store::get_as`] does, without another host call.
    pub fn value_as<T: DeserializeOwned>(&self) -> T {
        value::from_postcard(&self.key, &self.record.value)
    }

    /// Returns the value as [`crate::store::get_u64`] does, without another host call.
    pub fn value_u64(&self) -> u64 {
        value::number(&self.record.value)
    }
}
