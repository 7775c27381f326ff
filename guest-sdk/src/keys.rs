//! Composite keys that keep order: a tag, then typed parts.
//!
//! A key is `{TAG}` followed by its parts in the encoding of FoundationDB's tuple layer
//! (<https://github.com/apple/foundationdb/blob/main/design/tuple.md>): byte strings (0x01), text
//! (0x02), integers (0x0c to 0x1c), false and true (0x26, 0x27). Promises:
//! - **One tag, one shard.** The store takes the bytes inside the first `{...}` of a key as its tag, and
//!   here the key begins with it. A tag is at least one byte and has no `}`, so no part can move the key,
//!   braces included. `{cust-7}` routes a call to all keys of that tag.
//! - **Order.** Keys of one tag sort by their parts from left to right: byte strings before text
//!   before integers before booleans, each in its own order, and a key before those below it.
//! - **One form.** Different parts have different bytes, and no other form of them can be read.
//!
//! Leaves out the other types of the tuple layer (nil, nested tuples, floats, UUIDs), and order
//! between keys of different tags: those may be on different shards.
//!
//! ```
//! use aspen_guest::{keys::Key, store, testing::Harness};
//!
//! let cart = Key::tagged("cust-7").part("cart");
//! Harness::new().run(|| {
//!     store::put(cart.clone().part(42u64), "a lamp");
//!     for item in store::below(&cart) {
//!         let lamp: u64 = cart.parts_below(&item.key).unwrap().only().unwrap();
//!         assert_eq!(lamp, 42);
//!     }
//! });
//! ```

use core::fmt;

const BYTES: u8 = 0x01;
const TEXT: u8 = 0x02;
/// The code of zero: a code `n` higher is a positive number of `n` bytes, `n` lower a negative one.
const ZERO: u8 = 0x14;
const FALSE: u8 = 0x26;
const TRUE: u8 = 0x27;
/// Follows a zero byte inside a string; a zero byte without it ends the string.
const ESCAPE: u8 = 0xff;
/// The longest integer.
const INTEGER_BYTES_MAX: u8 = 8;

/// A key made of a tag and parts, or the start of such keys.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<u8>);

/// The parts of a key that was read, from left to right.
#[derive(Clone, Debug)]
pub struct Parts<'a>(&'a [u8]);

/// The reason why bytes are not such a key, or not one with these parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// A tag is empty or holds a `}`.
    Tag,
    /// The key does not begin with the wanted key.
    NotBelow,
    /// The key ends before the wanted part.
    Missing,
    /// The key has more parts than were wanted.
    Surplus,
    /// The next part has another type, or its number does not fit.
    Type,
    /// The bytes are no part in its one form: they are cut off, or have an unknown code, a number with a
    /// zero in front, or text that is not UTF-8.
    Malformed,
}

/// A type that can be a part of a key.
pub trait Part {
    /// Appends the part's code and bytes.
    fn append_to(&self, key: &mut Vec<u8>);
}

/// A type that a part can be read as. A number is read as any type that it fits.
pub trait FromPart: Sized {
    /// Takes the first part off `rest`; leaves `rest` alone if it fails.
    fn take_from(rest: &mut &[u8]) -> Result<Self, KeyError>;
}

impl Key {
    /// Returns the key of a tag alone, to add parts to. Panics, which ends the call, if the tag is empty or
    /// holds a `}`; use [`Key::try_tagged`] for a tag that comes with the call.
    pub fn tagged(tag: impl AsRef<[u8]>) -> Self {
        Self::try_tagged(tag).expect("a tag is not empty and has no }")
    }

    /// Returns a key as [`Key::tagged`] does, or an error for text that cannot be a tag.
    pub fn try_tagged(tag: impl AsRef<[u8]>) -> Result<Self, KeyError> {
        let tag = tag.as_ref();
        if tag.is_empty() || tag.contains(&b'}') {
            return Err(KeyError::Tag);
        }
        Ok(Self([b"{", tag, b"}"].concat()))
    }

    /// Returns the key with one more part. The store takes keys of up to 1,024 bytes: bound the strings
    /// that come with a call.
    pub fn part(mut self, part: impl Part) -> Self {
        part.append_to(&mut self.0);
        self
    }

    /// Returns the bytes of the key.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns start (included) and end (excluded) of all keys that have these parts and at least one more.
    ///
    /// Not every key that begins with these bytes is among them: `"a"` and `"a\0"` begin alike, because a
    /// zero byte ends a string unless 0xff follows. No part begins with 0xff.
    pub fn bounds_below(&self) -> (Vec<u8>, Vec<u8>) {
        ([&self.0[..], &[0x00]].concat(), [&self.0[..], &[ESCAPE]].concat())
    }

    /// Returns the parts that a key has beyond these.
    pub fn parts_below<'a>(&self, key: &'a [u8]) -> Result<Parts<'a>, KeyError> {
        let rest = key.strip_prefix(&self.0[..]).ok_or(KeyError::NotBelow)?;
        let is_inside_string = rest.first() == Some(&ESCAPE);
        if is_inside_string { Err(KeyError::NotBelow) } else { Ok(Parts(rest)) }
    }
}

impl AsRef<[u8]> for Key {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> Parts<'a> {
    /// Returns the tag of a key, and all its parts.
    pub fn of(key: &'a [u8]) -> Result<(&'a [u8], Self), KeyError> {
        let inside = key.strip_prefix(b"{").ok_or(KeyError::Tag)?;
        let close = inside.iter().position(|byte| *byte == b'}').ok_or(KeyError::Tag)?;
        let (tag, rest) = inside.split_at(close);
        if tag.is_empty() { Err(KeyError::Tag) } else { Ok((tag, Self(&rest[1..]))) }
    }

    /// Takes the next part. A part of another type stays: it can be read as its own type.
    pub fn take<T: FromPart>(&mut self) -> Result<T, KeyError> {
        T::take_from(&mut self.0)
    }

    /// Returns the one part that is left.
    pub fn only<T: FromPart>(mut self) -> Result<T, KeyError> {
        let part = self.take()?;
        self.end()?;
        Ok(part)
    }

    /// Checks that no part is left.
    pub fn end(self) -> Result<(), KeyError> {
        if self.0.is_empty() { Ok(()) } else { Err(KeyError::Surplus) }
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Tag => "a tag is not empty and has no }",
            Self::NotBelow => "key has another beginning",
            Self::Missing => "key has too few parts",
            Self::Surplus => "key has too many parts",
            Self::Type => "part of the key has another type",
            Self::Malformed => "key is not made of parts",
        })
    }
}

impl core::error::Error for KeyError {}

fn append_string(key: &mut Vec<u8>, code: u8, bytes: &[u8]) {
    key.push(code);
    for byte in bytes {
        key.push(*byte);
        if *byte == 0 {
            key.push(ESCAPE);
        }
    }
    key.push(0);
}

/// Appends a number. A negative one is the complement of its amount, so that a greater amount sorts lower.
fn append_integer(key: &mut Vec<u8>, is_negative: bool, amount: u64) {
    let bytes = (u64::BITS - amount.leading_zeros()).div_ceil(8) as usize;
    let shown = if is_negative { !amount } else { amount };
    key.push(if is_negative { ZERO - bytes as u8 } else { ZERO + bytes as u8 });
    key.extend_from_slice(&shown.to_be_bytes()[8 - bytes..]);
}

/// Returns the code of the next part, and the bytes after the code.
fn split_code(rest: &[u8]) -> Result<(u8, &[u8]), KeyError> {
    let (code, rest) = rest.split_first().ok_or(KeyError::Missing)?;
    let is_integer = code.abs_diff(ZERO) <= INTEGER_BYTES_MAX;
    let is_known = is_integer || [BYTES, TEXT, FALSE, TRUE].contains(code);
    if is_known { Ok((*code, rest)) } else { Err(KeyError::Malformed) }
}

fn take_string(rest: &mut &[u8], wanted: u8) -> Result<Vec<u8>, KeyError> {
    let (code, mut from) = split_code(rest)?;
    if code != wanted {
        return Err(KeyError::Type);
    }
    let mut string = Vec::new();
    loop {
        let zero = from.iter().position(|byte| *byte == 0).ok_or(KeyError::Malformed)?;
        string.extend_from_slice(&from[..zero]);
        from = &from[zero + 1..];
        match from.strip_prefix(&[ESCAPE]) {
            Some(after) => {
                string.push(0);
                from = after;
            }
            None => {
                *rest = from;
                return Ok(string);
            }
        }
    }
}

/// Returns true if the next part is negative, its amount, and the bytes after it.
fn split_integer(rest: &[u8]) -> Result<(bool, u64, &[u8]), KeyError> {
    let (code, rest) = split_code(rest)?;
    let bytes = usize::from(code.abs_diff(ZERO));
    if bytes > usize::from(INTEGER_BYTES_MAX) {
        return Err(KeyError::Type);
    }
    let (number, rest) = rest.split_at_checked(bytes).ok_or(KeyError::Malformed)?;
    let is_negative = code < ZERO;
    let complement = if is_negative { 0xff } else { 0 };
    let digit = |amount: u64, byte: &u8| amount << 8 | u64::from(byte ^ complement);
    let amount = number.iter().fold(0, digit);
    let is_short = number.first().is_none_or(|first| first ^ complement != 0);
    if is_short { Ok((is_negative, amount, rest)) } else { Err(KeyError::Malformed) }
}

impl<P: Part + ?Sized> Part for &P {
    fn append_to(&self, key: &mut Vec<u8>) {
        (**self).append_to(key);
    }
}

impl Part for str {
    fn append_to(&self, key: &mut Vec<u8>) {
        append_string(key, TEXT, self.as_bytes());
    }
}

impl Part for String {
    fn append_to(&self, key: &mut Vec<u8>) {
        self.as_str().append_to(key);
    }
}

impl FromPart for String {
    fn take_from(rest: &mut &[u8]) -> Result<Self, KeyError> {
        let mut after = *rest;
        let bytes = take_string(&mut after, TEXT)?;
        let text = Self::from_utf8(bytes).map_err(|_| KeyError::Malformed)?;
        *rest = after;
        Ok(text)
    }
}

impl Part for [u8] {
    fn append_to(&self, key: &mut Vec<u8>) {
        append_string(key, BYTES, self);
    }
}

impl<const N: usize> Part for [u8; N] {
    fn append_to(&self, key: &mut Vec<u8>) {
        self.as_slice().append_to(key);
    }
}

impl Part for Vec<u8> {
    fn append_to(&self, key: &mut Vec<u8>) {
        self.as_slice().append_to(key);
    }
}

impl FromPart for Vec<u8> {
    fn take_from(rest: &mut &[u8]) -> Result<Self, KeyError> {
        take_string(rest, BYTES)
    }
}

impl Part for bool {
    fn append_to(&self, key: &mut Vec<u8>) {
        key.push(if *self { TRUE } else { FALSE });
    }
}

impl FromPart for bool {
    fn take_from(rest: &mut &[u8]) -> Result<Self, KeyError> {
        let (code, after) = split_code(rest)?;
        if code != TRUE && code != FALSE {
            return Err(KeyError::Type);
        }
        *rest = after;
        Ok(code == TRUE)
    }
}

macro_rules! unsigned {
    ($($number:ty)*) => {$(
        impl Part for $number {
            fn append_to(&self, key: &mut Vec<u8>) {
                append_integer(key, false, u64::from(*self));
            }
        }

        impl FromPart for $number {
            fn take_from(rest: &mut &[u8]) -> Result<Self, KeyError> {
                let (is_negative, amount, after) = split_integer(rest)?;
                if is_negative {
                    return Err(KeyError::Type);
                }
                let number = amount.try_into().map_err(|_| KeyError::Type)?;
                *rest = after;
                Ok(number)
            }
        }
    )*};
}

macro_rules! signed {
    ($($number:ty)*) => {$(
        impl Part for $number {
            fn append_to(&self, key: &mut Vec<u8>) {
                append_integer(key, *self < 0, u64::from(self.unsigned_abs()));
            }
        }

        impl FromPart for $number {
            fn take_from(rest: &mut &[u8]) -> Result<Self, KeyError> {
                let (is_negative, amount, after) = split_integer(rest)?;
                // The amount of the lowest number is one more than that of the highest.
                let number = match is_negative {
                    true => 0i64.checked_sub_unsigned(amount).and_then(|n| n.try_into().ok()),
                    false => amount.try_into().ok(),
                };
                let number = number.ok_or(KeyError::Type)?;
                *rest = after;
                Ok(number)
            }
        }
    )*};
}

unsigned!(u8 u16 u32 u64);
signed!(i32 i64);
