//! The keys of the shard that runs the call.
//!
//! Promises that a call sees its own writes, and nothing of calls that come later. A key is 1 to
//! 1,024 bytes, a value up to 1 MiB; breaking a limit, or using a key of another shard, ends the
//! call and keeps nothing it wrote. Numbers are kept as 8 bytes, little endian; other types in
//! postcard (short, with no names: fields and cases can only be added by a new type) or in JSON
//! (readable by anyone, several times as long, and dearer in fuel).

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::keys::Key;
use crate::range::{self, Range};
#[cfg(target_arch = "wasm32")]
use crate::raw::store as imports;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing as imports;

/// A value and its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The value.
    pub value: Vec<u8>,
    /// Writes to the key since it was created: 1, 2, 3, ...
    pub version: u64,
    /// The revision that created the key.
    pub create_revision: u64,
    /// The revision that last wrote it; for this call's own writes the revision they will have.
    pub mod_revision: u64,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// Its value.
    pub item: Versioned,
}

/// One page of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In order of keys, or against it.
    pub entries: Vec<Entry>,
    /// The page was full before the range ended: scan on from the last key.
    pub more: bool,
}

/// The value of a key, if there is one.
pub fn get(key: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    get_versioned(key).map(|found| found.value)
}

/// The value of a key with its history, if there is one.
pub fn get_versioned(key: impl AsRef<[u8]>) -> Option<Versioned> {
    imports::get(key.as_ref()).map(versioned)
}

/// The values of up to 1,024 keys, in the order asked, for the price of one host call.
pub fn get_many(keys: impl IntoIterator<Item: AsRef<[u8]>>) -> Vec<Option<Versioned>> {
    let keys: Vec<Vec<u8>> = keys.into_iter().map(|key| key.as_ref().to_vec()).collect();
    imports::get_many(&keys).into_iter().map(|found| found.map(versioned)).collect()
}

/// Whether a key exists: cheaper than reading its value.
pub fn exists(key: impl AsRef<[u8]>) -> bool {
    imports::exists(key.as_ref())
}

/// Creates or replaces a key. A call writes at most 1,024 keys and 4 MiB of keys and values.
pub fn put(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) {
    range::notice(key.as_ref());
    imports::put(key.as_ref(), value.as_ref());
}

/// Removes a key; whether there was one.
pub fn delete(key: impl AsRef<[u8]>) -> bool {
    range::notice(key.as_ref());
    imports::delete(key.as_ref())
}

/// A page of the keys from `start` (included; empty: the first) to `end` (excluded; `None`: the
/// last), at most `limit` of them and at most 1,000.
pub fn scan(start: impl AsRef<[u8]>, end: Option<&[u8]>, limit: u32) -> Page {
    page(imports::scan(start.as_ref(), end, false, limit))
}

/// As [`scan`], from the end of the range to its start.
pub fn scan_reverse(start: impl AsRef<[u8]>, end: Option<&[u8]>, limit: u32) -> Page {
    page(imports::scan(start.as_ref(), end, true, limit))
}

/// A page of the keys that begin with `prefix`.
pub fn prefix(prefix: impl AsRef<[u8]>, limit: u32) -> Page {
    let end = prefix_end(prefix.as_ref());
    scan(prefix, end.as_deref(), limit)
}

/// The keys from `start` (included; empty: the first) to `end` (excluded; `None`: the last), one by
/// one, from either end. A call sees those of its shard, one across shards all of them.
pub fn range(start: impl AsRef<[u8]>, end: Option<&[u8]>) -> Range {
    Range::new(start.as_ref().to_vec(), end.map(<[u8]>::to_vec))
}

/// The keys that begin with `prefix`, one by one, from either end.
pub fn prefix_iter(prefix: impl AsRef<[u8]>) -> Range {
    Range::new(prefix.as_ref().to_vec(), prefix_end(prefix.as_ref()))
}

/// The keys that have the parts of `key` and at least one more, one by one, from either end.
pub fn below(key: &Key) -> Range {
    let (start, end) = key.bounds_below();
    Range::new(start, Some(end))
}

/// The value of a key that [`put_as`] wrote as the same type. Panics, which ends the call, if it
/// holds anything else, or anything more: going on with a wrong value would be worse.
pub fn get_as<T: DeserializeOwned>(key: impl AsRef<[u8]>) -> Option<T> {
    let value = get(key.as_ref())?;
    Some(decode(key.as_ref(), &value))
}

/// Keeps a value of any type, in postcard.
pub fn put_as<T: Serialize + ?Sized>(key: impl AsRef<[u8]>, value: &T) {
    put(key, postcard::to_allocvec(value).expect("the type can be written in postcard"));
}

/// As [`get_as`], of a value that is JSON.
pub fn get_json<T: DeserializeOwned>(key: impl AsRef<[u8]>) -> Option<T> {
    let value = get(key.as_ref())?;
    let decoded = serde_json::from_slice(&value);
    Some(decoded.unwrap_or_else(|error| undecodable::<T>(key.as_ref(), &error)))
}

/// Keeps a value of any type, in JSON.
pub fn put_json<T: Serialize + ?Sized>(key: impl AsRef<[u8]>, value: &T) {
    put(key, serde_json::to_vec(value).expect("the type can be written in JSON"));
}

fn decode<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> T {
    match postcard::take_from_bytes(value) {
        Ok((decoded, [])) => decoded,
        Ok(_) => undecodable::<T>(key, &"bytes are left over"),
        Err(error) => undecodable::<T>(key, &error),
    }
}

/// Ends the call. Inside a node nobody reads the text, so there it has no details to carry.
fn undecodable<T>(key: &[u8], why: &dyn std::fmt::Display) -> ! {
    if cfg!(target_arch = "wasm32") {
        panic!("value is of another type");
    }
    let (key, name) = (key.escape_ascii(), std::any::type_name::<T>());
    panic!("value of {key} is no {name}: {why}");
}

/// The value of a key that [`put_u64`] wrote. Panics, which ends the call, if it holds anything
/// other than 8 bytes: going on with a wrong number would be worse.
pub fn get_u64(key: impl AsRef<[u8]>) -> Option<u64> {
    get(key).map(|value| number(&value))
}

/// Keeps a number as 8 bytes, little endian.
pub fn put_u64(key: impl AsRef<[u8]>, number: u64) {
    put(key, number.to_le_bytes());
}

fn number(value: &[u8]) -> u64 {
    u64::from_le_bytes(value.try_into().expect("value is a number of 8 bytes"))
}

impl Entry {
    /// The value as [`get_as`] gives it, without another host call.
    pub fn value_as<T: DeserializeOwned>(&self) -> T {
        decode(&self.key, &self.item.value)
    }

    /// The value as [`get_u64`] gives it, without another host call.
    pub fn value_u64(&self) -> u64 {
        number(&self.item.value)
    }
}

/// The first key beyond all that begin with `prefix`; `None` if there is no such key.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

#[cfg(target_arch = "wasm32")]
fn versioned(from: imports::Versioned) -> Versioned {
    let imports::Versioned { value, version, create_revision, mod_revision } = from;
    Versioned { value, version, create_revision, mod_revision }
}

#[cfg(target_arch = "wasm32")]
fn page(from: imports::Page) -> Page {
    let entry = |from: imports::Entry| Entry { key: from.key, item: versioned(from.item) };
    Page { entries: from.entries.into_iter().map(entry).collect(), more: from.more }
}

#[cfg(not(target_arch = "wasm32"))]
fn versioned(from: Versioned) -> Versioned {
    from
}

#[cfg(not(target_arch = "wasm32"))]
fn page(from: Page) -> Page {
    from
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_ends_before_the_next_prefix() {
        let check =
            |prefix: &[u8], end: Option<&[u8]>| assert_eq!(prefix_end(prefix).as_deref(), end);
        check(b"a", Some(b"b"));
        check(b"a\xff", Some(b"b"));
        check(b"a\xffb", Some(b"a\xffc"));
        check(b"\xff\xff", None);
        check(b"", None);
    }
}
