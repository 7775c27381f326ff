//! The reads of one transaction agree with each other, whatever other transactions did.
//!
//! A key that was read or written once is known: to read it again gives the same. A scan makes known
//! that the keys of its range which it did not give are absent.

use std::collections::BTreeMap;

use crate::history::explain::{list, name};
use crate::history::index::Index;
use crate::history::{Kind, Operation, Record, Violation};

/// The keys and ranges that a transaction has read or written.
#[derive(Default)]
struct OwnView<'a> {
    /// By key, its value, and whether the transaction wrote it.
    keys: BTreeMap<&'a str, (Option<&'a str>, bool)>,
    /// Ranges that were scanned: start and end.
    scanned: Vec<(&'a str, Option<&'a str>)>,
    wrong: Vec<(Kind, String)>,
}

/// Checks the reads of one transaction that happened.
pub fn check_reads(index: &Index<'_>, transaction: usize, violations: &mut Vec<Violation>) {
    let mut view = OwnView::default();
    for operation in &index.transaction(transaction).operations {
        match operation {
            Operation::Get { key, found } => view.read(key, found.as_ref(), Kind::ReadSkew),
            Operation::Scan { start, end, found } => view.scan(start, end.as_deref(), found),
            Operation::Set { key, value, .. } => {
                view.keys.insert(key, (Some(value), true));
            }
            Operation::Delete { key, .. } => {
                view.keys.insert(key, (None, true));
            }
        }
    }
    for (kind, what) in view.wrong {
        let text = format!("{} {what}{}", name(transaction), list(index, &[transaction]));
        violations.push(Violation { kind, transactions: vec![transaction], text });
    }
}

impl<'a> OwnView<'a> {
    /// A read of a key; `kind` if another one gave something else.
    fn read(&mut self, key: &'a str, found: Option<&'a Record>, kind: Kind) {
        let value = found.map(|record| &record.value[..]);
        let is_scanned = self.scanned.iter().any(|(start, end)| is_inside(key, start, *end));
        match self.keys.get(key) {
            Some((before, _)) if *before == value => {}
            Some((_, true)) => {
                self.wrong.push((Kind::InternalRead, format!("did not read its write of {key}")));
            }
            Some((_, false)) => {
                self.wrong.push((kind, format!("read {key} in two ways")));
            }
            None if is_scanned && found.is_some() => {
                self.wrong.push((Kind::Phantom, format!("scanned no {key}, and yet read it")));
            }
            None => {
                self.keys.insert(key, (value, false));
            }
        }
    }

    fn scan(&mut self, start: &'a str, end: Option<&'a str>, found: &'a [(String, Record)]) {
        let is_sorted = found.windows(2).all(|pair| pair[0].0 < pair[1].0);
        if !is_sorted || !found.iter().all(|(key, _)| is_inside(key, start, end)) {
            self.wrong.push((Kind::BadScan, "got a key twice, out of order or range".into()));
        }
        let is_given = |key: &str| found.iter().any(|(found, _)| found == key);
        let known: Vec<&str> = self.keys.keys().copied().collect();
        for key in known.into_iter().filter(|key| is_inside(key, start, end) && !is_given(key)) {
            self.read(key, None, Kind::Phantom);
        }
        for (key, record) in found {
            self.read(key, Some(record), Kind::ReadSkew);
        }
        self.scanned.push((start, end));
    }
}

fn is_inside(key: &str, start: &str, end: Option<&str>) -> bool {
    key >= start && end.is_none_or(|end| key < end)
}
