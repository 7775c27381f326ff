//! The keys of the shard that runs the call.
//!
//! Promises that a call sees its own writes, and nothing of calls that come later. A key is 1 to
//! 1,024 bytes, a value up to 1 MiB; breaking a limit, or using a key of another shard, ends the
//! call and keeps nothing that it wrote. Numbers are kept as 8 bytes, little endian; other types in
//! postcard (short, with no names: fields and cases can only be added by a new type) or in JSON
//! (readable by anyone, several times as long, and dearer in fuel).

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::keys::Key;
use crate::prefix::prefix_end;
use crate::range::{self, Range};
pub use crate::record::{Item, Page, Versioned};
use crate::{imports, value};

/// Returns the value of a key, if the key exists.
pub fn get(key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    get_versioned(key).map(|found| found.value)
}

/// Returns the value of a key with its history, if the key exists.
pub fn get_versioned(key: impl AsRef<[u8]>) -> Option<Versioned> {
    imports::get(key.as_ref())
}

/// Returns the values of up to 1,024 keys, in the order of the keys. Costs the fuel of one host call, and
/// the fuel of a [`get`] for each key; it saves the time of the calls between.
pub fn get_many(keys: impl IntoIterator<Item: AsRef<[u8]>>) -> Vec<Option<Versioned>> {
    let keys: Vec<Vec<u8>> = keys.into_iter().map(|key| key.as_ref().to_vec()).collect();
    imports::get_many(&keys)
}

/// Returns true if a key exists. This is cheaper than reading its value.
pub fn exists(key: impl AsRef<[u8]>) -> bool {
    imports::exists(key.as_ref())
}

/// Creates or replaces a key. A call writes at most 1,024 keys and 4 MiB of keys and values.
pub fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
    range::notice(key.as_ref());
    imports::put(key.as_ref(), value.as_ref());
}

/// Removes a key. Returns true if the key existed.
pub fn delete(key: impl AsRef<[u8]>) -> bool {
    range::notice(key.as_ref());
    imports::delete(key.as_ref())
}

/// Returns a page of the keys from `start` (included; empty: the first) to `end` (excluded; `None`: the
/// last), at most `limit` of them and at most 1,000.
pub fn scan(start: impl AsRef<[u8]>, end: Option<&[u8]>, limit: u32) -> Page {
    imports::scan(start.as_ref(), end, false, limit)
}

/// Returns a page as [`scan`] does, from the end of the range to its start.
pub fn scan_reverse(start: impl AsRef<[u8]>, end: Option<&[u8]>, limit: u32) -> Page {
    imports::scan(start.as_ref(), end, true, limit)
}

/// Returns a page of the keys that begin with `prefix`.
pub fn prefix(prefix: impl AsRef<[u8]>, limit: u32) -> Page {
    let end = prefix_end(prefix.as_ref());
    scan(prefix, end.as_deref(), limit)
}

/// Returns the keys from `start` (included; empty: the first) to `end` (excluded; `None`: the last), one by
/// one, from either end. A call sees the keys of its shard, a call across shards sees all keys.
pub fn range(start: impl AsRef<[u8]>, end: Option<&[u8]>) -> Range {
    Range::new(start.as_ref().to_vec(), end.map(<[u8]>::to_vec))
}

/// Returns the keys that begin with `prefix`, one by one, from either end.
pub fn prefix_iter(prefix: impl AsRef<[u8]>) -> Range {
    Range::new(prefix.as_ref().to_vec(), prefix_end(prefix.as_ref()))
}

/// Returns the keys that have the parts of `key` and at least one more, one by one, from either end.
pub fn below(key: &Key) -> Range {
    let (start, end) = key.bounds_below();
    Range::new(start, Some(end))
}

/// Returns the value of a key that [`put_as`] wrote as the same type. Panics, which ends the call, if the
/// key holds anything else, or anything more: going on with a wrong value would be worse.
pub fn get_as<T: DeserializeOwned>(key: impl AsRef<[u8]>) -> Option<T> {
    let value = get(key.as_ref())?;
    Some(value::from_postcard(key.as_ref(), &value))
}

/// Keeps a value of any type, in postcard.
pub fn put_as<T: Serialize + ?Sized>(key: impl AsRef<[u8]>, value: &T) {
    put(key, value::to_postcard(value));
}

/// Returns a value as [`get_as`] does, from JSON.
pub fn get_json<T: DeserializeOwned>(key: impl AsRef<[u8]>) -> Option<T> {
    let value = get(key.as_ref())?;
    Some(value::from_json(key.as_ref(), &value))
}

/// Keeps a value of any type, in JSON.
pub fn put_json<T: Serialize + ?Sized>(key: impl AsRef<[u8]>, value: &T) {
    put(key, value::to_json(value));
}

/// Returns the value of a key that [`put_u64`] wrote. Panics, which ends the call, if the key holds anything
/// other than 8 bytes: going on with a wrong number would be worse.
pub fn get_u64(key: impl AsRef<[u8]>) -> Option<u64> {
    get(key).map(|value| value::number(&value))
}

/// Keeps a number as 8 bytes, little endian.
pub fn put_u64(key: impl AsRef<[u8]>, number: u64) {
    put(key, number.to_le_bytes());
}
