//! A call's own writes, over the state that it started from.
//!
//! Promises that the call sees its writes with the versions that `apply` will give them. In the end
//! one write per key is left; a key that the call created and deleted again leaves none.
//! Leaves out fuel and shards, which `imports.rs` checks, and scans, which are in `scan.rs`.

use std::collections::BTreeMap;

use aspen_core::function::GuestFault;
use aspen_core::ids::{LeaseId, Revision};
use aspen_core::key::{Key, KeyRange, Value};
use aspen_core::limits::{TXN_BYTES_MAX, TXN_OPS_MAX};
use aspen_core::transaction::WriteOp;
use aspen_core::view::{HostError, Record, View};

use super::call_stop::CallStop;

/// A write of the call in its key's place: its value, or `None` for a delete of a stored key.
pub(super) type Write<'a> = (&'a Key, &'a Option<Value>);

/// The writes of one call.
pub(crate) struct Overlay {
    /// `None` is a delete of a key that is stored.
    writes: BTreeMap<Key, Option<Value>>,
    bytes: usize,
    revision: Revision,
}

impl Overlay {
    /// No writes yet; they will have `revision`.
    pub(super) fn new(revision: Revision) -> Self {
        Self { writes: BTreeMap::new(), bytes: 0, revision }
    }

    /// Returns the record of a key as the call sees it.
    pub(super) fn get(&self, view: &dyn View, key: &Key) -> Result<Option<Record>, HostError> {
        match self.writes.get(key) {
            None => view.get(key),
            Some(None) => Ok(None),
            Some(Some(value)) => Ok(Some(self.record(view.get(key)?.as_ref(), value))),
        }
    }

    /// Returns the record that a write of `value` over the stored record `before` will make.
    pub(super) fn record(&self, before: Option<&Record>, value: &Value) -> Record {
        Record::written(before, value.clone(), self.revision, LeaseId::NONE)
    }

    /// Creates or replaces a key.
    pub(super) fn put(&mut self, key: Key, value: Value) -> Result<(), CallStop> {
        self.write(key, Some(value))
    }

    /// Removes a key. Returns true if the call saw a value there.
    pub(super) fn delete(&mut self, view: &dyn View, key: Key) -> Result<bool, CallStop> {
        let is_stored = view.get(&key)?.is_some();
        let existed = self.writes.get(&key).map_or(is_stored, Option::is_some);
        if is_stored {
            self.write(key, None)?;
        } else if let Some(write) = self.writes.remove(&key) {
            self.bytes -= size(&key, &write);
        }
        Ok(existed)
    }

    fn write(&mut self, key: Key, value: Option<Value>) -> Result<(), CallStop> {
        self.bytes += size(&key, &value);
        if let Some(replaced) = self.writes.get(&key) {
            self.bytes -= size(&key, replaced);
        }
        self.writes.insert(key, value);
        if self.writes.len() > TXN_OPS_MAX || self.bytes > TXN_BYTES_MAX {
            return Err(GuestFault::TooManyWrites.into());
        }
        Ok(())
    }

    /// Returns the writes to the keys of `range`, which is not empty, in order of keys or against it.
    pub(super) fn writes_in(
        &self,
        range: &KeyRange,
        reverse: bool,
    ) -> Box<dyn Iterator<Item = Write<'_>> + '_> {
        let writes = self.writes.range::<[u8], _>(range.bounds());
        if reverse { Box::new(writes.rev()) } else { Box::new(writes) }
    }

    /// Returns the writes in order of keys.
    pub(crate) fn into_writes(self) -> Vec<WriteOp> {
        let write = |(key, value)| match value {
            Some(value) => WriteOp::set(key, value),
            None => WriteOp::Delete { key },
        };
        self.writes.into_iter().map(write).collect()
    }
}

fn size(key: &Key, value: &Option<Value>) -> usize {
    key.as_bytes().len() + value.as_ref().map_or(0, |value| value.as_bytes().len())
}

#[cfg(test)]
mod tests {
    use aspen_core::ids::Version;
    use aspen_core::state::{Model, State};

    use super::*;

    fn key(text: &str) -> Key {
        Key::try_from(text).unwrap()
    }

    fn value(text: &str) -> Value {
        Value::try_from(text).unwrap()
    }

    #[test]
    fn created_and_deleted_key_leaves_no_write() {
        let mut model = Model::new();
        let record = Record {
            value: value("old"),
            version: Version::new(3),
            create_revision: Revision::new(2),
            mod_revision: Revision::new(2),
            lease: LeaseId::NONE,
        };
        model.set(&key("a"), record).unwrap();
        let mut overlay = Overlay::new(Revision::new(9));
        overlay.put(key("b"), value("x")).unwrap();
        overlay.delete(&model, key("b")).unwrap();
        overlay.delete(&model, key("a")).unwrap();
        overlay.put(key("a"), value("y")).unwrap();
        let seen = overlay.get(&model, &key("a")).unwrap().unwrap();
        assert_eq!((seen.version.get(), seen.create_revision.get()), (4, 2));
        assert_eq!(overlay.bytes, 2);
        let write = WriteOp::set(key("a"), value("y"));
        assert_eq!(overlay.into_writes(), [write]);
    }

    #[test]
    fn writes_are_bounded_in_number_and_bytes() {
        let mut overlay = Overlay::new(Revision::new(1));
        for at in 0..TXN_OPS_MAX {
            overlay.put(key(&at.to_string()), value("")).unwrap();
        }
        assert!(overlay.put(key("0"), value("again")).is_ok());
        assert!(overlay.put(key("one more"), value("")).is_err());
        let mut overlay = Overlay::new(Revision::new(1));
        let large = Value::new(vec![0; 1 << 20]).unwrap();
        let puts = ["a", "b", "c"].map(|name| overlay.put(key(name), large.clone()).is_ok());
        assert_eq!(puts, [true; 3]);
        assert!(overlay.put(key("a"), large.clone()).is_ok());
        assert!(overlay.put(key("d"), large).is_err());
    }
}
