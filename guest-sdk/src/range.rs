//! An iterator over a range of keys that fetches pages as it goes.
//!
//! Promises that each key is given once and in order, from either end, as it is at that moment: a
//! write of this call ahead of the iterator is seen, one behind it is not. So a loop may delete or
//! change what it was given, or anything else.
//! The first page is small and each next one twice as long, so that taking one entry costs little
//! and reading all of them costs few host calls. Only a write to keys that were fetched and not yet
//! given makes it fetch again.
//! Leaves out a bound: whoever loops over data that grows takes `take(n)`, for fuel is limited.

use std::cell::{Cell, RefCell};
use std::vec::IntoIter;

use crate::store::{Entry, scan, scan_reverse};

/// Entries of the first page.
const PAGE_FIRST: u32 = 4;
/// Entries of the longest page: what the store gives at once.
const PAGE_MAX: u32 = 1000;

/// The keys of a range, from its start, or with `rev()` from its end.
#[derive(Debug)]
pub struct Range {
    /// First key not given from the front.
    start: Vec<u8>,
    /// First key beyond; with `None` the range has no end.
    end: Option<Vec<u8>>,
    front: Ahead,
    back: Ahead,
    /// How many of `WRITTEN` were looked at.
    seen: usize,
}

/// What was fetched and not yet given, in the order in which it will be.
#[derive(Debug)]
struct Ahead {
    entries: IntoIter<Entry>,
    /// The entries reach to the other end of the range.
    is_whole: bool,
    /// Entries of the next page.
    limit: u32,
}

thread_local! {
    static RANGES: Cell<usize> = const { Cell::new(0) };
    /// Keys that the call wrote while there were ranges.
    static WRITTEN: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Tells all ranges that the call writes this key.
pub(crate) fn notice(key: &[u8]) {
    if RANGES.get() > 0 {
        WRITTEN.with_borrow_mut(|written| written.push(key.to_vec()));
    }
}

impl Range {
    pub(crate) fn new(start: Vec<u8>, end: Option<Vec<u8>>) -> Self {
        RANGES.set(RANGES.get() + 1);
        let seen = WRITTEN.with_borrow(Vec::len);
        Self { start, end, front: Ahead::new(), back: Ahead::new(), seen }
    }

    /// Forgets what was fetched if the call has written there since.
    fn look_at_writes(&mut self) {
        WRITTEN.with_borrow(|written| {
            for key in &written[self.seen..] {
                if *key < self.start || !is_before(key, self.end.as_deref()) {
                    continue;
                }
                if self.front.is_whole || self.front.last().is_some_and(|last| key <= last) {
                    self.front = Ahead::new();
                }
                if self.back.is_whole || self.back.last().is_some_and(|last| last <= key) {
                    self.back = Ahead::new();
                }
            }
            self.seen = written.len();
        });
    }
}

impl Iterator for Range {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        self.look_at_writes();
        let Self { start, end, front, .. } = self;
        let entry = front.next(|limit| scan(&*start, end.as_deref(), limit))?;
        // The back may have given it meanwhile.
        let is_left = is_before(&entry.key, end.as_deref());
        is_left.then(|| {
            start.clone_from(&entry.key);
            start.push(0);
            entry
        })
    }
}

impl DoubleEndedIterator for Range {
    fn next_back(&mut self) -> Option<Entry> {
        self.look_at_writes();
        let Self { start, end, back, .. } = self;
        let entry = back.next(|limit| scan_reverse(&*start, end.as_deref(), limit))?;
        let is_left = entry.key >= *start;
        is_left.then(|| {
            *end = Some(entry.key.clone());
            entry
        })
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        RANGES.set(RANGES.get() - 1);
        if RANGES.get() == 0 {
            WRITTEN.with_borrow_mut(Vec::clear);
        }
    }
}

impl Ahead {
    fn new() -> Self {
        Self { entries: Vec::new().into_iter(), is_whole: false, limit: PAGE_FIRST }
    }

    fn last(&self) -> Option<&Vec<u8>> {
        self.entries.as_slice().last().map(|entry| &entry.key)
    }

    fn next(&mut self, fetch: impl FnOnce(u32) -> crate::store::Page) -> Option<Entry> {
        if self.entries.as_slice().is_empty() && !self.is_whole {
            let page = fetch(self.limit);
            self.limit = PAGE_MAX.min(self.limit * 2);
            self.is_whole = !page.more;
            self.entries = page.entries.into_iter();
        }
        self.entries.next()
    }
}

fn is_before(key: &[u8], end: Option<&[u8]>) -> bool {
    end.is_none_or(|end| key < end)
}
