//! Keys, values and key ranges: bytes within their limits.
//!
//! Promises that every [`Key`] and [`Value`] in the program is within its limit, because none can be made
//! otherwise: no other code checks again. Order of keys is order of bytes.
//! Leaves out the meaning of the bytes.

use std::fmt;
use std::ops::{Bound, Range, RangeFrom, RangeFull};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use snafu::{Snafu, ensure};

use crate::limits::{KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// A key: 1 to 1,024 bytes of any value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Bytes", into = "Bytes")]
pub struct Key(Bytes);

/// The error for bytes of a length that no [`Key`] has.
#[derive(Clone, Debug, Snafu, PartialEq, Eq)]
#[snafu(display("key is {bytes} bytes, allowed are 1 to {KEY_BYTES_MAX}"))]
pub struct KeyError {
    bytes: usize,
}

impl Key {
    /// Checks the length and wraps the bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, KeyError> {
        let bytes = bytes.into();
        ensure!((1..=KEY_BYTES_MAX).contains(&bytes.len()), KeySnafu { bytes: bytes.len() });
        Ok(Self(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the next key in order: this key and a zero byte. `None` at the length limit.
    pub fn successor(&self) -> Option<Key> {
        Key::new([&self.0[..], &[0]].concat()).ok()
    }
}

impl TryFrom<Bytes> for Key {
    type Error = KeyError;
    fn try_from(bytes: Bytes) -> Result<Self, KeyError> {
        Self::new(bytes)
    }
}

impl TryFrom<&str> for Key {
    type Error = KeyError;
    fn try_from(text: &str) -> Result<Self, KeyError> {
        Self::new(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<Key> for Bytes {
    fn from(key: Key) -> Bytes {
        key.0
    }
}

/// Prints printable text as it is, other bytes as `\x00`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

/// A value: 0 to 1 MiB.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Bytes", into = "Bytes")]
pub struct Value(Bytes);

/// The error for bytes of a length that no [`Value`] has.
#[derive(Clone, Debug, Snafu, PartialEq, Eq)]
#[snafu(display("value is {bytes} bytes, limit is {VALUE_BYTES_MAX}"))]
pub struct ValueError {
    bytes: usize,
}

impl Value {
    /// Checks the length and wraps the bytes.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, ValueError> {
        let bytes = bytes.into();
        ensure!(bytes.len() <= VALUE_BYTES_MAX, ValueSnafu { bytes: bytes.len() });
        Ok(Self(bytes))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl TryFrom<Bytes> for Value {
    type Error = ValueError;
    fn try_from(bytes: Bytes) -> Result<Self, ValueError> {
        Self::new(bytes)
    }
}

impl TryFrom<&str> for Value {
    type Error = ValueError;
    fn try_from(text: &str) -> Result<Self, ValueError> {
        Self::new(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<Value> for Bytes {
    fn from(value: Value) -> Bytes {
        value.0
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.len().min(32)];
        write!(f, "Value({} bytes: {})", self.0.len(), shown.escape_ascii())
    }
}

/// Keys from `start` (included; empty = the first key) to `end` (excluded; `None` = to the last
/// key).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    /// The first key of the range, or empty.
    pub start: Bytes,
    /// The first key beyond the range.
    pub end: Option<Bytes>,
}

impl KeyRange {
    /// Returns the range of all keys.
    pub fn all() -> Self {
        Self { start: Bytes::new(), end: None }
    }

    /// Returns the range of all keys that begin with `prefix`; an empty prefix means every key.
    pub fn prefix(prefix: impl Into<Bytes>) -> Self {
        let start: Bytes = prefix.into();
        let mut end = start.to_vec();
        while end.last() == Some(&0xff) {
            end.pop();
        }
        let end = end.last_mut().map(|last| *last += 1).map(|()| Bytes::from(end));
        Self { start, end }
    }

    /// True if `key` lies inside.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= &self.start[..] && self.end.as_ref().is_none_or(|end| key < &end[..])
    }

    /// True if no key can lie inside: `start` is not before `end`.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| self.start >= *end)
    }

    /// Returns the rest of the range after `last`: the range of the next page.
    pub fn after(&self, last: &Key) -> Self {
        let start = Bytes::from([last.as_bytes(), &[0]].concat());
        Self { start, end: self.end.clone() }
    }

    /// Returns the rest of the range beyond `last`, in the direction of a scan.
    pub fn beyond(&self, last: &Key, reverse: bool) -> Self {
        match reverse {
            false => self.after(last),
            true => Self { start: self.start.clone(), end: Some(last.clone().into()) },
        }
    }

    /// Returns bounds for a `BTreeMap` keyed by byte slices. The range must not be empty.
    pub fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        let end = self.end.as_ref().map_or(Bound::Unbounded, |end| Bound::Excluded(&end[..]));
        (Bound::Included(&self.start[..]), end)
    }
}

/// From the first key to before the second.
impl<K: AsRef<[u8]>> From<Range<K>> for KeyRange {
    fn from(range: Range<K>) -> Self {
        let end = Bytes::copy_from_slice(range.end.as_ref());
        Self { start: Bytes::copy_from_slice(range.start.as_ref()), end: Some(end) }
    }
}

/// From the key to the last one. Not a prefix: see [`KeyRange::prefix`].
impl<K: AsRef<[u8]>> From<RangeFrom<K>> for KeyRange {
    fn from(range: RangeFrom<K>) -> Self {
        Self { start: Bytes::copy_from_slice(range.start.as_ref()), end: None }
    }
}

/// Every key.
impl From<RangeFull> for KeyRange {
    fn from(_: RangeFull) -> Self {
        Self::all()
    }
}

impl fmt::Debug for KeyRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..", self.start.escape_ascii())?;
        self.end.as_ref().map_or(Ok(()), |end| write!(f, "{}", end.escape_ascii()))
    }
}

impl std::borrow::Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_is_checked_when_made() {
        for (bytes, good) in
            [(0, false), (1, true), (KEY_BYTES_MAX, true), (KEY_BYTES_MAX + 1, false)]
        {
            assert_eq!(Key::new(vec![7; bytes]).is_ok(), good, "{bytes}");
        }
        assert!(Value::new(vec![0; VALUE_BYTES_MAX]).is_ok());
        let error = Value::new(vec![0; VALUE_BYTES_MAX + 1]).unwrap_err();
        assert_eq!(error.to_string(), "value is 1048577 bytes, limit is 1048576");
    }

    #[test]
    fn prefix_range_ends_behind_its_last_key() {
        let check = |prefix: &[u8], inside: &[u8], outside: &[u8]| {
            let range = KeyRange::prefix(prefix.to_vec());
            assert!(range.contains(inside), "{range:?} {inside:?}");
            assert!(!range.contains(outside), "{range:?} {outside:?}");
        };
        check(b"a", b"a", b"b");
        check(b"a", b"a\xff\xff", b"`");
        check(b"a\xff", b"a\xff\x01", b"b");
        assert_eq!(KeyRange::prefix(&b"\xff\xff"[..]).end, None);
        assert_eq!(KeyRange::prefix(&b""[..]), KeyRange::all());
    }
}
