//! Composite keys: order, one form, one tag. Random parts, and the vectors of the specification.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]
#![cfg(not(target_arch = "wasm32"))]

use aspen_guest::keys::{Key, KeyError, Parts};
use proptest::prelude::*;

/// A part of any type; its order is the one that the encoding promises.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Any {
    Bytes(Vec<u8>),
    Text(String),
    Integer(i128),
    Flag(bool),
}

/// Short strings of few letters, so that many are equal or begin alike.
fn any_part() -> impl Strategy<Value = Any> {
    let byte = prop::sample::select(vec![0, 1, b'a', b'{', b'}', 0xfe, 0xff]);
    let letter = prop::sample::select(vec!['\0', '\u{1}', 'a', '{', '}', 'é', '\u{10ffff}']);
    let text = prop::collection::vec(letter, 0..4).prop_map(String::from_iter);
    let edge = (0..64u32, -2..=2i128).prop_map(|(bits, by)| (1i128 << bits) + by);
    let number = prop_oneof![
        any::<i64>().prop_map(i128::from),
        any::<u64>().prop_map(i128::from),
        (edge, any::<bool>()).prop_map(|(n, negate)| if negate { -n } else { n }),
    ];
    prop_oneof![
        prop::collection::vec(byte, 0..4).prop_map(Any::Bytes),
        text.prop_map(Any::Text),
        number
            .prop_filter("in range", |n| i64::try_from(*n).is_ok() || u64::try_from(*n).is_ok())
            .prop_map(Any::Integer),
        any::<bool>().prop_map(Any::Flag),
    ]
}

fn any_parts() -> impl Strategy<Value = Vec<Any>> {
    prop::collection::vec(any_part(), 0..4)
}

fn key(parts: &[Any]) -> Key {
    parts.iter().fold(Key::tagged("t"), |key, part| match part {
        Any::Bytes(bytes) => key.part(bytes),
        Any::Text(text) => key.part(text),
        Any::Flag(flag) => key.part(flag),
        Any::Integer(number) => match i64::try_from(*number) {
            Ok(number) => key.part(number),
            Err(_) => key.part(*number as u64),
        },
    })
}

fn read_next(parts: &mut Parts) -> Result<Any, KeyError> {
    let mut read = parts.take().map(Any::Bytes);
    if read == Err(KeyError::Type) {
        read = parts.take().map(Any::Text);
    }
    if read == Err(KeyError::Type) {
        read = parts.take().map(Any::Flag);
    }
    if read == Err(KeyError::Type) {
        read = parts.take::<i64>().map(|number| Any::Integer(number.into()));
    }
    if read == Err(KeyError::Type) {
        read = parts.take::<u64>().map(|number| Any::Integer(number.into()));
    }
    read
}

fn read_all(mut parts: Parts) -> Result<Vec<Any>, KeyError> {
    let mut all = vec![];
    loop {
        match read_next(&mut parts) {
            Ok(part) => all.push(part),
            Err(KeyError::Missing) => return Ok(all),
            Err(error) => return Err(error),
        }
    }
}

/// The tag as the store takes it (`host/core/src/placement/router.rs`).
fn store_tag(key: &[u8]) -> Option<&[u8]> {
    let inside = &key[key.iter().position(|byte| *byte == b'{')? + 1..];
    let close = inside.iter().position(|byte| *byte == b'}')?;
    Some(&inside[..close])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn order_is_kept(a in any_parts(), b in any_parts()) {
        prop_assert_eq!(key(&a).cmp(&key(&b)), a.cmp(&b));
    }

    #[test]
    fn parts_come_back(parts in any_parts()) {
        let key = key(&parts);
        let (tag, read) = Parts::of(key.as_bytes()).unwrap();
        prop_assert_eq!(tag, b"t");
        prop_assert_eq!(read_all(read), Ok(parts));
    }

    #[test]
    fn exactly_keys_below_are_within_the_bounds(above in any_parts(), other in any_parts()) {
        let (above_key, other_key) = (key(&above), key(&other));
        let is_below = other.len() > above.len() && other.starts_with(&above);
        let (start, end) = above_key.bounds_below();
        let is_within = *start <= *other_key.as_bytes() && *other_key.as_bytes() < *end;
        prop_assert_eq!(is_within, is_below);
        let rest = above_key.parts_below(other_key.as_bytes());
        let is_same = above == other;
        prop_assert_eq!(rest.is_ok(), is_below || is_same);
        if let Ok(rest) = rest {
            prop_assert_eq!(read_all(rest), Ok(other[above.len()..].to_vec()));
        }
    }

    #[test]
    fn bytes_are_refused_or_are_the_one_form_of_a_key(bytes in prop::collection::vec(
        prop_oneof![Just(0u8), Just(0xff), 0x01..=0x02u8, 0x0b..=0x1du8, 0x26..=0x27u8, any::<u8>()],
        0..16,
    )) {
        let raw = [b"{t}", &bytes[..]].concat();
        match read_all(Parts::of(&raw).unwrap().1) {
            Ok(parts) => prop_assert_eq!(key(&parts).as_bytes().to_vec(), raw),
            // The encoding has room for integers below the lowest i64.
            Err(KeyError::Type) => prop_assert!(bytes.contains(&0x0c)),
            Err(error) => prop_assert_eq!(error, KeyError::Malformed),
        }
    }

    #[test]
    fn store_sees_the_tag(tag in "[a{\0é]{1,4}", parts in any_parts()) {
        let key = Key::tagged(&tag);
        let key = [key.as_bytes(), &self::key(&parts).as_bytes()[3..]].concat();
        prop_assert_eq!(store_tag(&key), Some(tag.as_bytes()));
        prop_assert_eq!(Parts::of(&key).unwrap().0, tag.as_bytes());
    }
}

#[test]
fn bytes_are_those_of_the_tuple_layer() {
    let check = |key: Key, bytes: &[u8]| assert_eq!(key.as_bytes(), [b"{t}", bytes].concat());
    let new = || Key::tagged("t");
    check(new().part(b"foo\0bar"), b"\x01foo\0\xffbar\0");
    check(new().part("F\u{d4}O\0bar"), b"\x02F\xc3\x94O\0\xffbar\0");
    check(new().part(-5_551_212), b"\x11\xabK\x93");
    check(new().part(0), b"\x14");
    check(new().part(255u8).part(256), b"\x15\xff\x16\x01\x00");
    check(new().part(i64::MIN), b"\x0c\x7f\xff\xff\xff\xff\xff\xff\xff");
    check(new().part(u64::MAX), b"\x1c\xff\xff\xff\xff\xff\xff\xff\xff");
    check(new().part(false).part(true), b"\x26\x27");
}

#[test]
fn wrong_reads_have_typed_errors() {
    let key = Key::tagged("t").part(-1).part("a");
    let read = || key.parts_below(key.as_bytes()).unwrap();
    assert_eq!(read().end(), Ok(()));
    let parts = || Key::tagged("t").parts_below(key.as_bytes()).unwrap();
    assert_eq!(parts().take::<u64>(), Err(KeyError::Type));
    assert_eq!(parts().take::<String>(), Err(KeyError::Type));
    assert_eq!(parts().only::<i64>(), Err(KeyError::Surplus));
    assert_eq!(read().take::<i64>(), Err(KeyError::Missing));
    assert_eq!(Key::tagged("u").parts_below(key.as_bytes()).unwrap_err(), KeyError::NotBelow);
    assert_eq!(Parts::of(b"plain").unwrap_err(), KeyError::Tag);
    assert_eq!(Parts::of(b"{}x").unwrap_err(), KeyError::Tag);
    assert_eq!(Key::try_tagged("a}b"), Err(KeyError::Tag));
    assert_eq!(Key::try_tagged(""), Err(KeyError::Tag));
    let not_text = Parts::of(b"{t}\x02\xff\x00").unwrap().1;
    assert_eq!(not_text.only::<String>(), Err(KeyError::Malformed));
    let large = Key::tagged("t").part(256);
    let large = Key::tagged("t").parts_below(large.as_bytes()).unwrap().only::<u8>();
    assert_eq!(large, Err(KeyError::Type));
}
