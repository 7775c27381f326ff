//! A shard in memory, to test functions natively with `cargo test`.
//!
//! Promises the rules of a real call: the function sees its own writes; `Ok` applies them at one new
//! revision with versions as the state machine counts them, `Err` or a panic throws them away; the
//! limits on keys, values and the write set hold (a real call ends where this panics).
//! Leaves out fuel, memory limits and sharding: for those run the component on a node. Lost replies,
//! crashes and many clients are in [`faults`].
//!
//! ```
//! use aspen_guest::{store, testing::Harness};
//!
//! let mut shard = Harness::new().with("name", "ada");
//! let greet = || store::get("name").ok_or("nobody").map(|name| store::put("greeted", name));
//! shard.call(greet).unwrap();
//! assert_eq!(shard.get("greeted"), Some(b"ada".to_vec()));
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::mem;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use crate::store::{Entry, Page, Versioned, prefix_end};

pub mod faults;

const KEY_BYTES_MAX: usize = 1024;
const VALUE_BYTES_MAX: usize = 1 << 20;
const WRITES_MAX: usize = 1024;
const WRITES_BYTES_MAX: usize = 4 << 20;
const KEYS_ASKED_MAX: usize = 1024;
const PAGE_ENTRIES_MAX: usize = 1000;
const PAGE_BYTES: usize = 1 << 20;
const LOG_LINES_MAX: usize = 64;
const LOG_LINE_BYTES_MAX: usize = 256;

/// A shard in memory.
#[derive(Default)]
pub struct Harness {
    world: World,
}

/// What a call writes; `None` is a delete.
type Writes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Unwinds a function whose node crashes.
struct Crashed;

/// What the functions of `store` and `context` see.
#[derive(Default)]
struct World {
    records: BTreeMap<Vec<u8>, Versioned>,
    writes: Writes,
    /// After this many more host calls the node crashes.
    host_calls_left: Option<u64>,
    revision: u64,
    time_ms: u64,
    seed: u64,
    caller: [u8; 32],
    log: Vec<String>,
}

thread_local! {
    /// The world of the call that runs on this thread.
    static RUNNING: RefCell<Option<World>> = const { RefCell::new(None) };
}

impl Harness {
    /// An empty shard: revision 0, time 0, seed 0, an all-zero caller.
    pub fn new() -> Self {
        Self::default()
    }

    /// The shard after one more commit that wrote `value` to `key`.
    pub fn with(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.run(|| crate::store::put(key, value));
        self
    }

    /// Calls a function that returns a `result`: an `Err` throws its writes away.
    pub fn call<T, E>(&mut self, function: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.enter(function, Result::is_ok)
    }

    /// Calls a function that returns anything else: its writes are applied unless it panics.
    pub fn run<T>(&mut self, function: impl FnOnce() -> T) -> T {
        self.enter(function, |_| true)
    }

    fn enter<T>(&mut self, function: impl FnOnce() -> T, is_ok: impl FnOnce(&T) -> bool) -> T {
        let (result, writes) = self.attempt(function);
        let value = result.unwrap_or_else(|panic| resume_unwind(panic));
        if is_ok(&value) {
            self.world.commit(writes);
        }
        value
    }

    /// Runs a function and keeps nothing: what it returned, or its panic, and what it would write.
    fn attempt<T>(&mut self, function: impl FnOnce() -> T) -> (thread::Result<T>, Writes) {
        self.world.log.clear();
        let world = mem::take(&mut self.world);
        let nested = RUNNING.with_borrow_mut(|running| running.replace(world)).is_some();
        assert!(!nested, "a function cannot call another one");
        let result = catch_unwind(AssertUnwindSafe(function));
        let world = RUNNING.with_borrow_mut(Option::take);
        self.world = world.expect("the world was put there before the call");
        (result, mem::take(&mut self.world.writes))
    }

    /// Runs a function on a node that crashes after so many host calls, or at the latest when the
    /// function ends: nothing is kept.
    fn crash_in<T>(&mut self, host_calls: u64, function: impl FnOnce() -> T) {
        self.world.host_calls_left = Some(host_calls);
        let (result, _) = self.attempt(function);
        self.world.host_calls_left = None;
        if let Err(panic) = result
            && !panic.is::<Crashed>()
        {
            resume_unwind(panic);
        }
    }

    /// The value of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.get_versioned(key).map(|found| found.value)
    }

    /// The value of a key with its history.
    pub fn get_versioned(&self, key: impl AsRef<[u8]>) -> Option<Versioned> {
        self.world.records.get(key.as_ref()).cloned()
    }

    /// All keys that begin with `prefix`, in order.
    pub fn scan(&self, prefix: impl AsRef<[u8]>) -> Vec<Entry> {
        let end = prefix_end(prefix.as_ref());
        self.world.range(prefix.as_ref(), end.as_deref()).collect()
    }

    /// The revision of the last commit.
    pub fn revision(&self) -> u64 {
        self.world.revision
    }

    /// Sets what `context::time_ms` says from now on.
    pub fn set_time(&mut self, time_ms: u64) -> &mut Self {
        self.world.time_ms = time_ms;
        self
    }

    /// Sets what `context::seed` says from now on.
    pub fn set_seed(&mut self, seed: u64) -> &mut Self {
        self.world.seed = seed;
        self
    }

    /// Sets what `context::caller` says from now on.
    pub fn set_caller(&mut self, caller: [u8; 32]) -> &mut Self {
        self.world.caller = caller;
        self
    }

    /// What the last call logged.
    pub fn log_lines(&self) -> &[String] {
        &self.world.log
    }
}

impl World {
    fn commit(&mut self, writes: Writes) {
        if writes.is_empty() {
            return;
        }
        self.writes = writes;
        for key in self.writes.keys().cloned().collect::<Vec<_>>() {
            match self.get(&key) {
                Some(record) => self.records.insert(key, record),
                None => self.records.remove(&key),
            };
        }
        self.writes.clear();
        self.revision += 1;
    }

    /// A key as the running call sees it.
    fn get(&self, key: &[u8]) -> Option<Versioned> {
        let stored = self.records.get(key);
        let Some(write) = self.writes.get(key) else { return stored.cloned() };
        let value = write.clone()?;
        let mod_revision = self.revision + 1;
        let (version, create_revision) = match stored {
            Some(stored) => (stored.version + 1, stored.create_revision),
            None => (1, mod_revision),
        };
        Some(Versioned { value, version, create_revision, mod_revision })
    }

    fn range(&self, start: &[u8], end: Option<&[u8]>) -> impl DoubleEndedIterator<Item = Entry> {
        let end = end.map_or(Bound::Unbounded, Bound::Excluded);
        let bounds = (Bound::Included(start), end);
        let is_empty = matches!(end, Bound::Excluded(end) if end <= start);
        let mut keys = Vec::new();
        if !is_empty {
            keys.extend(self.records.range::<[u8], _>(bounds).map(|(key, _)| key.clone()));
            keys.extend(self.writes.range::<[u8], _>(bounds).map(|(key, _)| key.clone()));
            keys.sort();
            keys.dedup();
        }
        keys.into_iter().filter_map(|key| self.get(&key).map(|item| Entry { key, item }))
    }

    fn scan(&self, start: &[u8], end: Option<&[u8]>, reverse: bool, limit: u32) -> Page {
        let limit = PAGE_ENTRIES_MAX.min(limit as usize);
        let mut range = self.range(start, end);
        let mut page = Page { entries: vec![], more: false };
        let mut bytes = 0;
        while let Some(entry) = if reverse { range.next_back() } else { range.next() } {
            if page.entries.len() == limit || bytes > PAGE_BYTES {
                page.more = true;
                break;
            }
            bytes += entry.key.len() + entry.item.value.len();
            page.entries.push(entry);
        }
        page
    }

    fn write(&mut self, key: &[u8], value: Option<Vec<u8>>) {
        self.writes.insert(key.to_vec(), value);
        let size = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| {
            key.len() + value.as_ref().map_or(0, Vec::len)
        };
        let bytes: usize = self.writes.iter().map(size).sum();
        assert!(self.writes.len() <= WRITES_MAX, "a call writes at most {WRITES_MAX} keys");
        assert!(bytes <= WRITES_BYTES_MAX, "a call writes at most {WRITES_BYTES_MAX} bytes");
    }
}

fn with<T>(use_world: impl FnOnce(&mut World) -> T) -> T {
    RUNNING.with_borrow_mut(|running| {
        let running = running.as_mut();
        let world = running.expect("store and context work inside Harness::call and run");
        if let Some(left) = &mut world.host_calls_left {
            *left = left.checked_sub(1).unwrap_or_else(|| resume_unwind(Box::new(Crashed)));
        }
        use_world(world)
    })
}

fn check_key(key: &[u8]) {
    let bytes = key.len();
    let is_good = (1..=KEY_BYTES_MAX).contains(&bytes);
    assert!(is_good, "key is {bytes} bytes, allowed are 1 to {KEY_BYTES_MAX}");
}

pub(crate) fn get(key: &[u8]) -> Option<Versioned> {
    check_key(key);
    with(|world| world.get(key))
}

pub(crate) fn get_many(keys: &[Vec<u8>]) -> Vec<Option<Versioned>> {
    assert!(keys.len() <= KEYS_ASKED_MAX, "at most {KEYS_ASKED_MAX} keys are read at once");
    keys.iter().map(|key| get(key)).collect()
}

pub(crate) fn exists(key: &[u8]) -> bool {
    get(key).is_some()
}

pub(crate) fn scan(start: &[u8], end: Option<&[u8]>, reverse: bool, limit: u32) -> Page {
    with(|world| world.scan(start, end, reverse, limit))
}

pub(crate) fn put(key: &[u8], value: &[u8]) {
    check_key(key);
    let bytes = value.len();
    assert!(bytes <= VALUE_BYTES_MAX, "value is {bytes} bytes, limit is {VALUE_BYTES_MAX}");
    with(|world| world.write(key, Some(value.to_vec())));
}

pub(crate) fn delete(key: &[u8]) -> bool {
    let existed = exists(key);
    with(|world| match world.records.contains_key(key) {
        true => world.write(key, None),
        // Nothing was stored before this call: there is nothing left to write.
        false => drop(world.writes.remove(key)),
    });
    existed
}

pub(crate) fn revision() -> u64 {
    with(|world| world.revision + 1)
}

pub(crate) fn time_ms() -> u64 {
    with(|world| world.time_ms)
}

pub(crate) fn seed() -> u64 {
    with(|world| world.seed)
}

pub(crate) fn caller() -> Vec<u8> {
    with(|world| world.caller.to_vec())
}

pub(crate) fn log(line: &str) {
    with(|world| {
        if world.log.len() < LOG_LINES_MAX {
            world.log.push(line[..line.floor_char_boundary(LOG_LINE_BYTES_MAX)].to_string());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{context, store};

    #[test]
    fn error_and_panic_throw_the_writes_away() {
        let mut shard = Harness::new().with("key", "old");
        let change = || {
            store::put("key", "new");
            store::put("other", "new");
            assert_eq!(store::get("key"), Some(b"new".to_vec()));
        };
        let refused: Result<(), &str> = shard.call(|| {
            change();
            Err("no")
        });
        assert_eq!(refused, Err("no"));
        let panics = || {
            change();
            panic!("on purpose")
        };
        assert!(catch_unwind(AssertUnwindSafe(|| shard.run::<()>(panics))).is_err());
        assert_eq!((shard.get("key"), shard.get("other")), (Some(b"old".to_vec()), None));
        assert_eq!(shard.revision(), 1);
    }

    #[test]
    fn versions_count_as_in_the_state_machine() {
        let mut shard = Harness::new().with("key", "1");
        shard.run(|| {
            store::delete("key");
            store::put("key", "2");
            let seen = store::get_versioned("key").unwrap();
            assert_eq!((seen.version, seen.create_revision, seen.mod_revision), (2, 1, 2));
        });
        let kept = shard.get_versioned("key").unwrap();
        assert_eq!((kept.version, kept.create_revision, kept.mod_revision), (2, 1, 2));
        assert!(shard.run(|| store::delete("key")));
        assert!(!shard.run(|| store::delete("key")));
        assert_eq!(shard.revision(), 3, "a call that changes nothing is no commit");
        let shard = shard.with("key", "again");
        assert_eq!(shard.get_versioned("key").unwrap().version, 1);
    }

    #[test]
    fn scans_merge_and_page() {
        let mut shard = Harness::new().with("a/1", "").with("a/2", "").with("b", "");
        let keys = |page: Page| {
            let keys = page.entries.into_iter().map(|entry| String::from_utf8(entry.key).unwrap());
            (keys.collect::<Vec<_>>().join(" "), page.more)
        };
        shard.run(|| {
            store::put("a/3", "");
            store::delete("a/2");
            assert_eq!(keys(store::prefix("a/", 9)), ("a/1 a/3".into(), false));
            assert_eq!(keys(store::scan("", None, 2)), ("a/1 a/3".into(), true));
            assert_eq!(keys(store::scan_reverse("", Some(b"b"), 1)), ("a/3".into(), true));
            assert_eq!(keys(store::scan("b", Some(b"a"), 9)), (String::new(), false));
            assert_eq!(store::get_many(["a/1", "a/2"]).iter().flatten().count(), 1);
        });
        assert_eq!(shard.scan("a/").len(), 2);
    }

    #[test]
    fn context_is_what_the_test_says() {
        let mut shard = Harness::new().with("key", "");
        shard.set_time(5).set_seed(6).set_caller([7; 32]);
        shard.run(|| {
            assert_eq!((context::revision(), context::time_ms(), context::seed()), (2, 5, 6));
            assert_eq!(context::caller(), [7; 32]);
            context::log("é".repeat(200));
        });
        assert_eq!(shard.log_lines(), ["é".repeat(128)]);
    }

    #[test]
    fn limits_hold() {
        let fails = |call: fn()| {
            let mut shard = Harness::new();
            catch_unwind(AssertUnwindSafe(|| shard.run(call))).unwrap_err();
            assert_eq!(shard.revision(), 0);
        };
        fails(|| store::put("", ""));
        fails(|| store::put([0; KEY_BYTES_MAX + 1], ""));
        fails(|| store::put("key", vec![0; VALUE_BYTES_MAX + 1]));
        fails(|| (0..=WRITES_MAX).for_each(|at| store::put(at.to_string(), "")));
        fails(|| (0..5).for_each(|at| store::put(at.to_string(), vec![0; VALUE_BYTES_MAX])));
    }
}
