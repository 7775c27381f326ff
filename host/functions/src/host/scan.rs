//! A page of a scan: the stored keys of a range, merged with the call's own writes.
//!
//! Promises the page that a scan would give after the writes were applied, in both directions. A page
//! ends at its limit of entries, or after the entry that brings it above `SCAN_PAGE_BYTES`.
//! Leaves out prices: the caller is asked to pay for every key.

use std::iter::Peekable;

use aspen_core::key::{Key, KeyRange, Value};
use aspen_core::limits::{SCAN_ENTRIES_MAX, SCAN_PAGE_BYTES};
use aspen_core::view::{Record, View};

use super::call_stop::CallStop;
use super::overlay::{Overlay, Write};

/// One page of a scan.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ScanPage {
    pub items: Vec<(Vec<u8>, Record)>,
    /// The page was full before the range ended.
    pub more: bool,
}

/// Returns a page of `range`. Calls `pay` for every key passed, with the bytes that the key adds to
/// the page; an error of `pay` ends the scan before the key is added.
pub(super) fn scan(
    overlay: &Overlay,
    view: &dyn View,
    range: &KeyRange,
    reverse: bool,
    limit: usize,
    pay: &mut dyn FnMut(usize) -> Result<(), CallStop>,
) -> Result<ScanPage, CallStop> {
    if range.is_empty() {
        return Ok(ScanPage::default());
    }
    let writes = overlay.writes_in(range, reverse).peekable();
    let limit = limit.min(SCAN_ENTRIES_MAX);
    let page = ScanPage::default();
    let mut merge = Merge { overlay, writes, reverse, limit, page, bytes: 0, pay, stop: None };
    view.scan(range, reverse, &mut |key, record| merge.visit(key, record))?;
    merge.finish()
}

/// Merges the stored keys of a range, as the view visits them, with the call's writes.
struct Merge<'a, W: Iterator<Item = Write<'a>>> {
    overlay: &'a Overlay,
    writes: Peekable<W>,
    reverse: bool,
    limit: usize,
    page: ScanPage,
    /// Keys and values of the page.
    bytes: usize,
    pay: &'a mut dyn FnMut(usize) -> Result<(), CallStop>,
    stop: Option<CallStop>,
}

impl<'a, W: Iterator<Item = Write<'a>>> Merge<'a, W> {
    /// Takes the next stored record. Returns true if the scan goes on.
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

    /// Returns the next write of a key that comes before the stored `key`, and so is not stored.
    fn created_before(&mut self, key: &[u8]) -> Option<(&'a Key, &'a Value)> {
        let reverse = self.reverse;
        let (created, value) = self.writes.next_if(|(written, _)| match reverse {
            false => written.as_bytes() < key,
            true => written.as_bytes() > key,
        })?;
        Some((created, value.as_ref().expect("only stored keys are deleted")))
    }

    /// Adds to the page. Returns true if the scan goes on.
    fn add(&mut self, key: &[u8], record: Record) -> bool {
        if self.page.items.len() >= self.limit || self.bytes > SCAN_PAGE_BYTES {
            self.page.more = true;
            return false;
        }
        let bytes = key.len() + record.value.as_bytes().len();
        if !self.paid(bytes) {
            return false;
        }
        self.bytes += bytes;
        self.page.items.push((key.to_vec(), record));
        true
    }

    fn paid(&mut self, bytes: usize) -> bool {
        self.stop = (self.pay)(bytes).err();
        self.stop.is_none()
    }

    /// Adds the writes behind the last stored key.
    fn finish(mut self) -> Result<ScanPage, CallStop> {
        let is_open = self.stop.is_none() && !self.page.more;
        while let Some((created, value)) = self.writes.next().filter(|_| is_open) {
            let value = value.as_ref().expect("only stored keys are deleted");
            if !self.add(created.as_bytes(), self.overlay.record(None, value)) {
                break;
            }
        }
        match self.stop {
            Some(stop) => Err(stop),
            None => Ok(self.page),
        }
    }
}

#[cfg(test)]
mod tests {
    use aspen_core::function::GuestFault;
    use aspen_core::ids::{LeaseId, Revision, Version};
    use aspen_core::state::{Model, State};
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

    fn keys(page: &ScanPage) -> String {
        let keys = page.items.iter().map(|(key, record)| {
            let (key, value) = (key.escape_ascii(), record.value.as_bytes().escape_ascii());
            format!("{key}={value}v{} ", record.version.get())
        });
        keys.collect::<String>() + if page.more { "more" } else { "" }
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
        let page = |start: &'static str, end: &'static str, reverse, limit| {
            let end = (!end.is_empty()).then(|| Bytes::from(end));
            let range = KeyRange { start: Bytes::from(start), end };
            keys(&scan(&overlay, &model, &range, reverse, limit, &mut |_| Ok(())).unwrap())
        };
        assert_eq!(page("", "", false, 9), "a=newv1 b=oldv3 c=newv1 d=newv4 ");
        assert_eq!(page("", "", true, 9), "d=newv4 c=newv1 b=oldv3 a=newv1 ");
        assert_eq!(page("b", "d", false, 9), "b=oldv3 c=newv1 ");
        assert_eq!(page("", "", false, 2), "a=newv1 b=oldv3 more");
        assert_eq!(page("", "", true, 1), "d=newv4 more");
        assert_eq!(page("", "", false, 0), "more");
        assert_eq!(page("d", "b", false, 9), "");
    }

    #[test]
    fn scan_stops_when_it_cannot_pay() {
        let model = stored(&["a", "b", "c"]);
        let mut overlay = Overlay::new(Revision::new(9));
        overlay.delete(&model, key("a")).unwrap();
        let mut left = 2;
        let mut pay = |_| {
            left -= 1;
            if left < 0 { Err(CallStop::from(GuestFault::OutOfFuel)) } else { Ok(()) }
        };
        let found = scan(&overlay, &model, &KeyRange::all(), false, 9, &mut pay);
        assert!(matches!(found, Err(CallStop::Guest(GuestFault::OutOfFuel))));
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
            let merged = scan(&overlay, &model, &range, reverse, limit, &mut |_| Ok(())).unwrap();
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
            let applied = scan(&plain, &after, &range, reverse, limit, &mut |_| Ok(())).unwrap();
            prop_assert_eq!(merged, applied);
        }
    }
}
