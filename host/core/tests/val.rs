//! Typed values as bytes: every kind round-trips, the form is pinned, attacks fail cheaply.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

use aspen_core::limits::{VAL_DEPTH_MAX, VALS_BYTES_MAX};
use aspen_core::val::{Val, ValError, decode_vals, encode_vals};
use bytes::Bytes;

fn samples() -> Vec<Val> {
    let text = |text: &str| text.to_string();
    vec![
        Val::Bool(true),
        Val::S8(-1),
        Val::U8(255),
        Val::S16(i16::MIN),
        Val::U16(300),
        Val::S32(-70_000),
        Val::U32(u32::MAX),
        Val::S64(i64::MIN),
        Val::U64(u64::MAX),
        Val::F32(1.5f32.to_bits()),
        Val::F64(f64::NAN.to_bits()),
        Val::Char('é'),
        Val::from("aspen"),
        Val::Bytes(Bytes::from_static(&[0, 255])),
        Val::List(vec![Val::U64(1), Val::U64(128)]),
        Val::Record(vec![(text("left"), Val::U64(7))]),
        Val::Tuple(vec![Val::Bool(false), Val::from("")]),
        Val::Variant(text("low"), Some(Box::new(Val::U64(3)))),
        Val::Enum(text("red")),
        Val::Option(None),
        Val::Result(Err(Some(Box::new(Val::from("no"))))),
        Val::Flags(vec![text("a"), text("b")]),
    ]
}

#[test]
fn every_kind_round_trips() {
    let bytes = encode_vals(&samples()).unwrap();
    assert_eq!(decode_vals(&bytes).unwrap(), samples());
}

/// Stored logs hold this form: these bytes can never change.
#[test]
fn form_is_pinned() {
    let vals =
        [Val::from("ab"), Val::U64(300), Val::S8(-2), Val::Option(Some(Box::new(Val::Bool(true))))];
    let bytes = encode_vals(&vals).unwrap();
    assert_eq!(bytes[..], [1, 4, 13, 2, b'a', b'b', 9, 0xac, 2, 2, 3, 20, 1, 1, 1]);
    let all = encode_vals(&samples()).unwrap();
    assert_eq!((all.len(), seahash::hash(&all)), (126, 6972878926636060282));
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = encode_vals(&samples()).unwrap();
    for end in 0..bytes.len() {
        assert!(decode_vals(&bytes.slice(..end)).is_err(), "{end}");
    }
}

#[test]
fn attacks_on_the_decoder_fail_cheaply() {
    let check = |bytes: Vec<u8>, want| assert_eq!(decode_vals(&bytes.into()), Err(want));
    let nested = [vec![1, 1], [15, 1].repeat(VAL_DEPTH_MAX), vec![1, 1]].concat();
    check(nested, ValError::Deep);
    check(vec![1, 1, 15, 0xff, 0xff, 0xff, 0x7f], ValError::Short);
    check(vec![1, 1, 14, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], ValError::Short);
    check(vec![1, 1, 9, 0x80, 0], ValError::Malformed);
    check(vec![1, 1, 3, 0x80, 2], ValError::Malformed);
    check(vec![1, 1, 13, 1, 0xff], ValError::Malformed);
    check(vec![1, 1, 99], ValError::Malformed);
    check(vec![1, 0, 0], ValError::Trailing { bytes: 1 });
    check(vec![2, 0], ValError::Form { form: 2 });
    check(vec![], ValError::Short);
    check([vec![1, 0x81, 0x80, 4], [1, 1].repeat(65_537)].concat(), ValError::Many);
    check(vec![0; VALS_BYTES_MAX + 1], ValError::Large { bytes: VALS_BYTES_MAX + 1 });
}

#[test]
fn too_large_values_are_not_encoded() {
    let long = Val::String("x".repeat(VALS_BYTES_MAX));
    assert!(matches!(encode_vals(&[long]), Err(ValError::Large { .. })));
    let mut deep = Val::Bool(true);
    for _ in 0..VAL_DEPTH_MAX {
        deep = Val::Option(Some(Box::new(deep)));
    }
    assert_eq!(encode_vals(&[deep]), Err(ValError::Deep));
}
