//! Bytes that nobody meant to send: mutations of good ones, and a measure of the cost of reading them.
//!
//! Promises that mutations come from proptest's choices alone, so a failing input shrinks and is
//! printed. [`allocated`] counts only if the test's binary has [`Counting`] as its allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use proptest::prelude::*;
use proptest::sample::Index;

/// The system's allocator, which counts the bytes that each thread asks for.
pub struct Counting;

thread_local! {
    static ASKED_BYTES: Cell<usize> = const { Cell::new(0) };
}

fn count(bytes: usize) {
    // A thread that is about to end counts no more.
    let _ = ASKED_BYTES.try_with(|asked| asked.set(asked.get().wrapping_add(bytes)));
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        count(bytes);
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, bytes) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Returns the bytes that `work` asks the allocator for on this thread, freed or not, and its result.
pub fn allocated<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = ASKED_BYTES.get();
    let result = work();
    (ASKED_BYTES.get().wrapping_sub(before), result)
}

/// One change of some bytes.
#[derive(Clone, Debug)]
pub enum Mutation {
    /// One bit of a byte is another.
    Flip(Index, u8),
    /// A byte is one of those at which numbers and lengths end.
    Edge(Index, usize),
    /// Bytes are missing.
    Remove(Index, usize),
    /// Bytes are there twice.
    Repeat(Index, usize),
    /// Bytes are there that never were.
    Insert(Index, Vec<u8>),
    /// The end is missing.
    Cut(Index),
    /// A number that is larger than anything, in the form of lengths.
    Announce(Index),
}

/// The values of [`Mutation::Edge`].
const EDGES: [u8; 8] = [0, 1, 2, 0x7f, 0x80, 0x81, 0xfe, 0xff];
/// 2^63 as a variable-length number, as postcard and WebAssembly write them.
const LARGEST: [u8; 10] = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];

/// Any mutation.
pub fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<Index>;
    let some = || prop::collection::vec(any::<u8>(), 1..12);
    prop_oneof![
        4 => (at(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        4 => (at(), 0..EDGES.len()).prop_map(|(at, edge)| Mutation::Edge(at, edge)),
        2 => (at(), 1..40usize).prop_map(|(at, bytes)| Mutation::Remove(at, bytes)),
        2 => (at(), 1..40usize).prop_map(|(at, bytes)| Mutation::Repeat(at, bytes)),
        2 => (at(), some()).prop_map(|(at, bytes)| Mutation::Insert(at, bytes)),
        1 => at().prop_map(Mutation::Cut),
        1 => at().prop_map(Mutation::Announce),
    ]
}

/// One of `valid`, changed up to four times.
pub fn mutated(valid: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let mutations = prop::collection::vec(mutation(), 1..=4);
    (prop::sample::select(valid), mutations).prop_map(|(mut bytes, mutations)| {
        for mutation in &mutations {
            mutation.apply(&mut bytes);
        }
        bytes
    })
}

impl Mutation {
    /// Changes `bytes`.
    pub fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len();
        let place = |at: &Index| at.index(length + 1);
        match self {
            Mutation::Flip(at, bit) if length > 0 => bytes[at.index(length)] ^= 1 << bit,
            Mutation::Edge(at, edge) if length > 0 => bytes[at.index(length)] = EDGES[*edge],
            Mutation::Flip(..) | Mutation::Edge(..) => {}
            Mutation::Remove(at, count) => {
                let start = place(at);
                bytes.drain(start..length.min(start + count));
            }
            Mutation::Repeat(at, count) => {
                let start = place(at);
                let part = bytes[start..length.min(start + count)].to_vec();
                bytes.splice(start..start, part);
            }
            Mutation::Insert(at, some) => {
                let start = place(at);
                bytes.splice(start..start, some.iter().copied());
            }
            Mutation::Cut(at) => bytes.truncate(place(at)),
            Mutation::Announce(at) => {
                let start = place(at);
                bytes.splice(start..length.min(start + 1), LARGEST);
            }
        }
    }
}
