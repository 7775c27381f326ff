//! An iterator over a range of keys that fetches pages as it goes.
//!
//! Promises to give each key once and in order, from either end, as the key is at that moment: it sees a
//! write of this call ahead of it, and not one behind it. So a loop may delete or change the keys that it
//! was given, or any others.
//! The first page is small and each next one twice as long, so that taking one key costs little and
//! reading all of them costs few host calls. Only a write to keys that were fetched and not yet given
//! makes it fetch again.
//! Leaves out a bound: a loop over data that grows needs `take(n)`, for fuel is limited.

use std::cell::{Cell, RefCell};
use std::vec::IntoIter;

use crate::imports;
use crate::record::{Item, Page};

/// Keys of the first page.
const PAGE_FIRST: u32 = 4;
/// Keys of the longest page: the limit of a scan.
const PAGE_MAX: u32 = 1000;

/// The keys of a range, from its start, or with `rev()` from its end.
#[derive(Debug)]
pub struct Range {
    /// The first key not given from the front.
    start: Vec<u8>,
    /// The first key beyond; with `None` the range has no end.
    end: Option<Vec<u8>>,
    front: Ahead,
    back: Ahead,
    /// Keys of `WRITTEN` that the range has looked at.
    seen: usize,
}

/// The keys that were fetched and not yet given, in their order.
#[derive(Debug)]
struct Ahead {
    items: IntoIter<Item>,
    /// The keys reach to the other end of the range.
    is_whole: bool,
    /// Keys of the next page.
    limit: u32,
}

thread_local! {
    static RANGES: Cell<usize> = const { Cell::new(0) };
    /// Keys that the call wrote while ranges existed.
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

    /// Forgets the fetched keys if the call has written among them since.
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
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        self.look_at_writes();
        let Self { start, end, front, .. } = self;
        let item = front.next(|limit| imports::scan(start, end.as_deref(), false, limit))?;
        // The other end may have given it meanwhile.
        let is_left = is_before(&item.key, end.as_deref());
        is_left.then(|| {
            start.clone_from(&item.key);
            start.push(0);
            item
        })
    }
}

impl DoubleEndedIterator for Range {
    fn next_back(&mut self) -> Option<Item> {
        self.look_at_writes();
        let Self { start, end, back, .. } = self;
        let item = back.next(|limit| imports::scan(start, end.as_deref(), true, limit))?;
        let is_left = item.key >= *start;
        is_left.then(|| {
            *end = Some(item.key.clone());
            item
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
        Self { items: Vec::new().into_iter(), is_whole: false, limit: PAGE_FIRST }
    }

    fn last(&self) -> Option<&Vec<u8>> {
        self.items.as_slice().last().map(|item| &item.key)
    }

    fn next(&mut self, fetch: impl FnOnce(u32) -> Page) -> Option<Item> {
        if self.items.as_slice().is_empty() && !self.is_whole {
            let page = fetch(self.limit);
            self.limit = PAGE_MAX.min(self.limit * 2);
            self.is_whole = !page.more;
            self.items = page.items.into_iter();
        }
        self.items.next()
    }
}

fn is_before(key: &[u8], end: Option<&[u8]>) -> bool {
    end.is_none_or(|end| key < end)
}
