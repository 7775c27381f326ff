//! [`ReadAhead`]: a view for a function across shards, whose reads are not known beforehand.
//!
//! ```text
//! run 1   get a: not known yet            -> a is read from its shard
//! run 2   get a, get b: not known yet     -> b is read from its shard
//! run 3   get a, get b, put a, put b: returned     reads { a, b }, writes { a, b }
//! ```
//!
//! A run ends at the first read that is not known ([`ReadAhead::need`]). The driver then reads it and runs
//! the function again from the start. Functions are deterministic, so each run gets at least as far as the
//! run before. Promises that [`ReadAhead::reads`] names everything that a run was told, absent keys of
//! ranges included: a transaction that checks these reads makes the run one of a single moment. Leaves out
//! how the reads are done, and how often.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::ids::{ComponentHash, Name, Revision, ShardId};
use crate::key::{Key, KeyRange};
use crate::limits::{READ_BYTES_MAX, TXN_OPS_MAX};
use crate::protocol::Page;
use crate::refusal::Refusal;
use crate::transaction::Read;
use crate::view::{Alias, Components, HostError, Record, View};

/// The reads that are known so far, as a view for the next run.
#[derive(Debug)]
pub struct ReadAhead {
    component: ComponentHash,
    code: Bytes,
    records: BTreeMap<Key, Option<Record>>,
    scans: Vec<ScanProgress>,
    bytes: usize,
    need: RefCell<Option<Need>>,
}

/// The read that a run could not go on without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    Key(Key),
    /// The next page of a range.
    Page {
        /// The rest of the range that is not known yet.
        rest: KeyRange,
        /// True: from the end of the range.
        reverse: bool,
    },
}

#[derive(Debug)]
struct ScanProgress {
    range: KeyRange,
    reverse: bool,
    items: Vec<(Key, Record)>,
    /// The rest of the range that is not known yet.
    rest: Option<KeyRange>,
    /// The pieces that are known, each of a shard as of its revision.
    pieces: Vec<(KeyRange, ShardId, Revision)>,
}

impl ReadAhead {
    /// Begins with the component alone: no read is known.
    pub fn new(component: ComponentHash, code: Bytes) -> Self {
        let (records, scans, need) = Default::default();
        Self { component, code, records, scans, bytes: 0, need }
    }

    /// Takes the read that the last run could not go on without; `None` if the run reached its end.
    pub fn need(&mut self) -> Option<Need> {
        self.need.take()
    }

    /// Adds the record of a key.
    pub fn knows_key(&mut self, key: Key, record: Option<Record>) -> Result<(), Refusal> {
        self.bytes += key.as_bytes().len();
        self.bytes += record.as_ref().map_or(0, |record| record.value.as_bytes().len());
        self.records.insert(key, record);
        self.check()
    }

    /// Adds the next page of a range: one page of each shard that the range lies on. The known part
    /// of the range ends at the earliest end of a page that has more after it; items of other pages
    /// beyond that end are read again.
    pub fn knows_pages(
        &mut self,
        rest: &KeyRange,
        reverse: bool,
        pages: Vec<(ShardId, Page)>,
    ) -> Result<(), Refusal> {
        let is_it =
            |scan: &ScanProgress| scan.reverse == reverse && scan.rest.as_ref() == Some(rest);
        let at = self.scans.iter().position(is_it).unwrap_or_else(|| {
            let (items, pieces) = Default::default();
            let (range, rest) = (rest.clone(), Some(rest.clone()));
            self.scans.push(ScanProgress { range, reverse, items, rest, pieces });
            self.scans.len() - 1
        });
        let scan = &mut self.scans[at];
        let left = |(_, page): &(ShardId, Page)| {
            let last = page.items.last().filter(|_| page.more);
            last.map(|last| rest.beyond(&last.key, reverse))
        };
        let lefts = pages.iter().filter_map(left);
        scan.rest = match reverse {
            false => lefts.min_by(|a, b| a.start.cmp(&b.start)),
            true => lefts.max_by(|a, b| a.end.cmp(&b.end)),
        };
        let piece = match (&scan.rest, reverse) {
            (None, _) => rest.clone(),
            (Some(left), false) => {
                KeyRange { start: rest.start.clone(), end: Some(left.start.clone()) }
            }
            (Some(left), true) => {
                let start = left.end.clone().unwrap_or_default();
                KeyRange { start, end: rest.end.clone() }
            }
        };
        let mut items = BTreeMap::new();
        for (shard, page) in pages {
            scan.pieces.push((piece.clone(), shard, page.revision));
            let known = page.items.into_iter().filter(|item| piece.contains(item.key.as_bytes()));
            items.extend(known.map(|item| (item.key, item.record)));
        }
        for (key, record) in &items {
            self.bytes += key.as_bytes().len() + record.value.as_bytes().len();
        }
        match reverse {
            false => scan.items.extend(items),
            true => scan.items.extend(items.into_iter().rev()),
        }
        self.check()
    }

    fn check(&self) -> Result<(), Refusal> {
        let pieces: usize = self.scans.iter().map(|scan| scan.pieces.len()).sum();
        let reads = self.records.len() + pieces;
        if reads > TXN_OPS_MAX {
            return Err(Refusal::TooManyOperations { operations: reads as u64 });
        }
        let bytes = self.bytes as u64;
        if self.bytes > READ_BYTES_MAX { Err(Refusal::ReadsTooLarge { bytes }) } else { Ok(()) }
    }

    /// Returns all reads that the runs were told.
    pub fn reads(&self) -> Vec<Read> {
        let keys = self.records.iter().map(|(key, record)| Read::key(key.clone(), record));
        let pieces = self.scans.iter().flat_map(|scan| &scan.pieces);
        let ranges = pieces.filter(|(range, ..)| !range.is_empty());
        let ranges = ranges.map(|(range, shard, revision)| Read::Range {
            range: range.clone(),
            unchanged_since: *revision,
            shard: Some(*shard),
        });
        keys.chain(ranges).collect()
    }

    fn needs(&self, need: Need) -> HostError {
        *self.need.borrow_mut() = Some(need);
        HostError::new("reading ahead", "it is not known yet")
    }
}

impl View for ReadAhead {
    fn get(&self, key: &Key) -> Result<Option<Record>, HostError> {
        match self.records.get(key) {
            Some(record) => Ok(record.clone()),
            None => Err(self.needs(Need::Key(key.clone()))),
        }
    }

    fn scan(
        &self,
        range: &KeyRange,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], Record) -> bool,
    ) -> Result<(), HostError> {
        if range.is_empty() {
            return Ok(());
        }
        let is_it = |scan: &&ScanProgress| scan.range == *range && scan.reverse == reverse;
        let Some(scan) = self.scans.iter().find(is_it) else {
            return Err(self.needs(Need::Page { rest: range.clone(), reverse }));
        };
        for (key, record) in &scan.items {
            if !visit(key.as_bytes(), record.clone()) {
                return Ok(());
            }
        }
        match &scan.rest {
            Some(rest) => Err(self.needs(Need::Page { rest: rest.clone(), reverse })),
            None => Ok(()),
        }
    }

    fn components(&self) -> &dyn Components {
        self
    }
}

impl Components for ReadAhead {
    fn component(&self, hash: &ComponentHash) -> Result<Option<Bytes>, HostError> {
        Ok((*hash == self.component).then(|| self.code.clone()))
    }

    fn alias(&self, _name: &Name) -> Result<Option<Arc<Alias>>, HostError> {
        Ok(None)
    }

    fn aliases(&self) -> Result<Vec<(Name, Arc<Alias>)>, HostError> {
        Ok(vec![])
    }
}
