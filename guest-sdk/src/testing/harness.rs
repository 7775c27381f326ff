//! [`Harness`]: the door of the shard in memory.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread;

use super::host::{self, Crashed};
use super::world::{World, Writes};
use crate::prefix::prefix_end;
use crate::record::{Item, Versioned};

/// A shard in memory.
#[derive(Default)]
pub struct Harness {
    world: World,
}

impl Harness {
    /// An empty shard: revision 0, time 0, seed 0, an all-zero caller.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the shard after one more commit, which wrote `value` to `key`.
    pub fn with(mut self, key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.run(|| host::put(key.as_ref(), value.as_ref()));
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

    /// Applies the writes of a call that was attempted.
    pub(super) fn commit(&mut self, writes: Writes) {
        self.world.commit(writes);
    }

    /// Runs a function and keeps nothing. Returns its result or its panic, and the writes that it made.
    pub(super) fn attempt<T>(
        &mut self,
        function: impl FnOnce() -> T,
    ) -> (thread::Result<T>, Writes) {
        self.world.log.clear();
        host::enter(mem::take(&mut self.world));
        let result = catch_unwind(AssertUnwindSafe(function));
        self.world = host::leave();
        (result, mem::take(&mut self.world.writes))
    }

    /// Runs a function on a node that crashes after `host_calls` host calls, or at the latest when the
    /// function ends: nothing is kept.
    pub(super) fn crash_in<T>(&mut self, host_calls: u64, function: impl FnOnce() -> T) {
        self.world.host_calls_left = Some(host_calls);
        let (result, _) = self.attempt(function);
        self.world.host_calls_left = None;
        if let Err(panic) = result
            && !panic.is::<Crashed>()
        {
            resume_unwind(panic);
        }
    }

    /// Returns the value of a key.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.get_versioned(key).map(|found| found.value)
    }

    /// Returns the value of a key with its history.
    pub fn get_versioned(&self, key: impl AsRef<[u8]>) -> Option<Versioned> {
        self.world.records.get(key.as_ref()).cloned()
    }

    /// Returns all keys that begin with `prefix`, in order.
    pub fn scan(&self, prefix: impl AsRef<[u8]>) -> Vec<Item> {
        let end = prefix_end(prefix.as_ref());
        self.world.range(prefix.as_ref(), end.as_deref()).collect()
    }

    /// Returns the revision of the last commit.
    pub fn revision(&self) -> u64 {
        self.world.revision
    }

    /// Sets the result of `context::time_ms` from now on.
    pub fn set_time(&mut self, time_ms: u64) -> &mut Self {
        self.world.time_ms = time_ms;
        self
    }

    /// Sets the result of `context::seed` from now on.
    pub fn set_seed(&mut self, seed: u64) -> &mut Self {
        self.world.seed = seed;
        self
    }

    /// Sets the result of `context::caller` from now on.
    pub fn set_caller(&mut self, caller: [u8; 32]) -> &mut Self {
        self.world.caller = caller;
        self
    }

    /// Returns the lines that the last call logged.
    pub fn log_lines(&self) -> &[String] {
        &self.world.log
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Page;
    use crate::testing::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX, WRITES_MAX};
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
            let keys = page.items.into_iter().map(|item| String::from_utf8(item.key).unwrap());
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
