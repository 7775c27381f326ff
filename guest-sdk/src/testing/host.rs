//! The host functions in a native test, on the world of the call that runs on this thread.
//!
//! Promises that they panic where a node would end the call.

use std::cell::RefCell;
use std::panic::resume_unwind;

use super::limits::{
    KEY_BYTES_MAX, KEYS_ASKED_MAX, LOG_LINE_BYTES_MAX, LOG_LINES_MAX, VALUE_BYTES_MAX,
};
use super::world::World;
use crate::record::{Page, Versioned};

/// Unwinds a function whose node crashes.
pub(super) struct Crashed;

thread_local! {
    /// The world of the call that runs on this thread.
    static RUNNING: RefCell<Option<World>> = const { RefCell::new(None) };
}

/// Makes `world` that of the call which begins on this thread.
pub(super) fn enter(world: World) {
    let nested = RUNNING.with_borrow_mut(|running| running.replace(world)).is_some();
    assert!(!nested, "a function cannot call another one");
}

/// Takes the world back at the end of the call.
pub(super) fn leave() -> World {
    let world = RUNNING.with_borrow_mut(Option::take);
    world.expect("the world was put there before the call")
}

/// Gives the running call's world to `use_world`: one host call.
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
