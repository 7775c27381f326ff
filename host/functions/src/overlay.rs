//! A call's own writes, over the state that it started from.
//!
//! Promises that the call sees what it wrote with the versions that `apply` will give: version one
//! higher than stored, create revision kept, mod revision the call's own. One write per key is left
//! in the end; a key that was created and deleted again leaves none.
//! Leaves out fuel and shards: `imports.rs` asks for them.

use std::collections::BTreeMap;
use std::iter::Peekable;

use aspen_core::limits::{SCAN_ENTRIES_MAX, SCAN_PAGE_BYTES, TXN_BYTES_MAX, TXN_OPS_MAX};
use aspen_core::{
    Fault, GuestFault, Key, KeyRange, LeaseId, Record, Revision, Value, Version, View, WriteOp,
};

use crate::host::Stop;

/// The writes of one call.
pub(crate) struct Overlay {
    /// `None` is a delete of a key that is stored.
    writes: BTreeMap<Key, Option<Value>>,
    bytes: usize,
    revision: Revision,
}

/// What a scan found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The page.
    pub entries: Vec<(Vec<u8>, Record)>,
    /// The page was full before the range ended.
    pub more: bool,
}

impl Overlay {
    /// No writes yet; they will have `revision`.
    pub(crate) fn new(revision: Revision) -> Self {
        Self { writes: BTreeMap::new(), bytes: 0, revision }
    }

    /// What the call sees of a key.
    pub(crate) fn get(&self, view: &dyn View, key: &Key) -> Result<Option<Record>, Fault> {
        match self.writes.get(key) {
            None => view.get(key),
            Some(None) => Ok(None),
            Some(Some(value)) => Ok(Some(self.record(view.get(key)?.as_ref(), value))),
        }
    }

    /// The record that a write of `value` over `before` will make.
    fn record(&self, before: Option<&Record>, value: &Value) -> Record {
        let (version, create_revision) = match before {
            Some(record) => (record.version.next(), record.create_revision),
            None => (Version::ABSENT.next(), self.revision),
        };
        let (mod_revision, lease) = (self.revision, LeaseId::NONE);
        Record { value: value.clone(), version, create_revision, mod_revision, lease }
    }

    /// Creates or replaces.
    pub(crate) fn put(&mut self, key: Key, value: Value) -> Result<(), Stop> {
        self.write(key, Some(value))
    }

    /// Removes; whether the call saw a value there.
    pub(crate) fn delete(&mut self, view: &dyn View, key: Key) -> Result<bool, Stop> {
        let is_stored = view.get(&key)?.is_some();
        let existed = self.writes.get(&key).map_or(is_stored, Option::is_some);
        if is_stored {
            self.write(key, None)?;
        } else if let Some(write) = self.writes.remove(&key) {
            self.bytes -= size(&key, &write);
        }
        Ok(existed)
    }

    fn write(&mut self, key: Key, value: Option<Value>) -> Result<(), Stop> {
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

    /// A page of `range`. `pay` is asked for every key passed, with the bytes that it adds to the
    /// page; the scan ends with `pay`'s error before anything is added.
    pub(crate) fn scan(
        &self,
        view: &dyn View,
        range: &KeyRange,
        reverse: bool,
        limit: usize,
        pay: &mut dyn FnMut(usize) -> Result<(), Stop>,
    ) -> Result<Found, Stop> {
        if range.is_empty() {
            return Ok(Found::default());
        }
        let writes = self.writes.range::<[u8], _>(range.bounds());
        let writes: Box<dyn Iterator<Item = (&Key, &Option<Value>)>> =
            if reverse { Box::new(writes.rev()) } else { Box::new(writes) };
        let page = Page { found: Found::default(), bytes: 0, limit: limit.min(SCAN_ENTRIES_MAX) };
        let mut merge =
            Merge { overlay: self, writes: writes.peekable(), reverse, page, pay, stop: None };
        view.scan(range, reverse, &mut |key, record| merge.visit(key, record))?;
        merge.finish()
    }

    /// The writes in order of keys.
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

struct Page {
    found: Found,
    bytes: usize,
    limit: usize,
}

/// Merges the stored keys of a range, as they are visited, with the call's writes.
struct Merge<'a, W: Iterator<Item = (&'a Key, &'a Option<Value>)>> {
    overlay: &'a Overlay,
    writes: Peekable<W>,
    reverse: bool,
    page: Page,
    pay: &'a mut dyn FnMut(usize) -> Result<(), Stop>,
    stop: Option<Stop>,
}

impl<'a, W: Iterator<Item = (&'a Key, &'a Option<Value>)>> Merge<'a, W> {
    /// Takes the next stored record; whether the scan goes on.
    fn visit(&mut self, key: &[u8], record: Record) -> bool {
        while let Some((created, value)) = self.created_before(key) {
            let record = self.overlay.record(None, value);
            if !self.add(created.as_bytes(), record) {
                return false;
            }
        }
        match self.writes.next_if(|(written, _)| written.as_bytes() == key) {
            None => self.add(key, record),
            Some((_, Some(value))) => self.add(key, self.overlay.record(Some(&record), value)),
            Some((_, None)) => self.paid(0),
        }
    }

    /// The next write that comes before the stored `key`: one of a key that is not stored.
    fn created_before(&mut self, key: &[u8]) -> Option<(&'a Key, &'a Value)> {
        let reverse = self.reverse;
        let (created, value) = self.writes.next_if(|(written, _)| match reverse {
            false => written.as_bytes() < key,
            true => written.as_bytes() > key,
        })?;
        Some((created, value.as_ref().expect("only stored keys are deleted")))
    }

    /// Adds to the page; whether the scan goes on.
    fn add(&mut self, key: &[u8], record: Record) -> bool {
        let is_full =
            self.page.found.entries.len() >= self.page.limit || self.page.bytes > SCAN_PAGE_BYTES;
        if is_full {
            self.page.found.more = true;
            return false;
        }
        let bytes = key.len() + record.value.as_bytes().len();
        if !self.paid(bytes) {
            return false;
        }
        self.page.bytes += bytes;
        self.page.found.entries.push((key.to_vec(), record));
        true
    }

    fn paid(&mut self, bytes: usize) -> bool {
        self.stop = (self.pay)(bytes).err();
        self.stop.is_none()
    }

    /// Adds the writes behind the last stored key.
    fn finish(mut self) -> Result<Found, Stop> {
        let is_open = self.stop.is_none() && !self.page.found.more;
        while let Some((created, value)) = self.writes.next().filter(|_| is_open) {
            let value = value.as_ref().expect("only stored keys are deleted");
            if !self.add(created.as_bytes(), self.overlay.record(None, value)) {
                break;
            }
        }
        match self.stop {
            Some(stop) => Err(stop),
            None => Ok(self.page.found),
        }
    }
}

#[cfg(test)]
mod tests {
    use aspen_core::{Model, State};
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn key(text: &str) -> Key {
        Key::try_from(text).unwrap()
    }

    fn value(text: &str) -> Value {
        Value::try_from(text).unwrap()
    }

    fn stored(keys: &[&str]) -> Model {
        let mut model = Model::new();
        for name in keys {
            let (version, revision) = (Version::new(3), Revision::new(2));
            let record = Record {
                value: value("old"),
                version,
                create_revision: revision,
                mod_revision: revision,
                lease: LeaseId::NONE,
            };
            model.set(&key(name), record).unwrap();
        }
        model
    }

    fn keys(found: &Found) -> String {
        let keys = found.entries.iter().map(|(key, record)| {
            let (key, value) = (key.escape_ascii(), record.value.as_bytes().escape_ascii());
            format!("{key}={value}v{} ", record.version.get())
        });
        keys.collect::<String>() + if found.more { "more" } else { "" }
    }

    #[test]
    fn scan_merges_own_writes_in_both_directions() {
        let model = stored(&["b", "d", "f"]);
        let mut overlay = Overlay::new(Revision::new(9));
        for name in ["a", "c", "d", "g"] {
            overlay.put(key(name), value("new")).unwrap();
        }
        assert!(overlay.delete(&model, key("f")).unwrap());
        assert!(overlay.delete(&model, key("g")).unwrap());
        assert!(!overlay.delete(&model, key("z")).unwrap());
        let scan = |start: &'static str, end: &'static str, reverse, limit| {
            let end = (!end.is_empty()).then(|| Bytes::from(end));
            let range = KeyRange { start: Bytes::from(start), end };
            keys(&overlay.scan(&model, &range, reverse, limit, &mut |_| Ok(())).unwrap())
        };
        assert_eq!(scan("", "", false, 9), "a=newv1 b=oldv3 c=newv1 d=newv4 ");
        assert_eq!(scan("", "", true, 9), "d=newv4 c=newv1 b=oldv3 a=newv1 ");
        assert_eq!(scan("b", "d", false, 9), "b=oldv3 c=newv1 ");
        assert_eq!(scan("", "", false, 2), "a=newv1 b=oldv3 more");
        assert_eq!(scan("", "", true, 1), "d=newv4 more");
        assert_eq!(scan("", "", false, 0), "more");
        assert_eq!(scan("d", "b", false, 9), "");
    }

    #[test]
    fn created_and_deleted_key_leaves_no_write() {
        let model = stored(&["a"]);
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

    #[test]
    fn scan_stops_when_it_cannot_pay() {
        let model = stored(&["a", "b", "c"]);
        let mut overlay = Overlay::new(Revision::new(9));
        overlay.delete(&model, key("a")).unwrap();
        let mut left = 2;
        let mut pay = |_| {
            left -= 1;
            if left < 0 { Err(Stop::from(GuestFault::OutOfFuel)) } else { Ok(()) }
        };
        let found = overlay.scan(&model, &KeyRange::all(), false, 9, &mut pay);
        assert!(matches!(found, Err(Stop::Guest(GuestFault::OutOfFuel))));
    }

    proptest! {
        /// A scan over state and writes equals a scan after the writes were applied.
        #[test]
        fn scan_equals_the_state_after_commit(
            stored_keys in prop::collection::btree_set(0u8..20, 0..10),
            writes in prop::collection::vec((0u8..20, any::<bool>()), 0..20),
            (start, end) in (0u8..20, 0u8..20),
            reverse: bool,
            limit in 0usize..8,
        ) {
            let name = |number: u8| Key::new(vec![number]).unwrap();
            let mut model = Model::new();
            let record = stored(&["x"]).get(&key("x")).unwrap().unwrap();
            for number in stored_keys {
                model.set(&name(number), record.clone()).unwrap();
            }
            let mut overlay = Overlay::new(Revision::new(9));
            for (number, is_put) in writes {
                match is_put {
                    true => overlay.put(name(number), value("new")).unwrap(),
                    false => drop(overlay.delete(&model, name(number)).unwrap()),
                }
            }
            let range = KeyRange { start: Bytes::from(vec![start]), end: Some(Bytes::from(vec![end])) };
            let merged = overlay.scan(&model, &range, reverse, limit, &mut |_| Ok(())).unwrap();
            let mut after = model.clone();
            for number in 0..20 {
                match overlay.get(&model, &name(number)).unwrap() {
                    Some(record) => after.set(&name(number), record).unwrap(),
                    None if after.get(&name(number)).unwrap().is_some() => {
                        after.remove(&name(number)).unwrap();
                    }
                    None => {}
                }
            }
            let plain = Overlay::new(Revision::new(9));
            let applied = plain.scan(&after, &range, reverse, limit, &mut |_| Ok(())).unwrap();
            prop_assert_eq!(merged, applied);
        }
    }
}
