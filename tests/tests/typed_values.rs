//! Every kind of type goes through the form in which values travel and comes back the same, and a
//! value of another type is told apart.

#![cfg(not(madsim))]

use std::convert::Infallible;
use std::fmt::Debug;

use aspen_client::Val;
use aspen_client::typed::{FromPayload, FromVal, IntoVal};
use aspen_core::val::{decode_vals, encode_vals};
use aspen_tests::typed::bank::Receipt;
use aspen_tests::typed::echo::*;
use proptest::prelude::*;

fn check<T: IntoVal + FromVal + Clone + PartialEq + Debug>(value: T) {
    let bytes = encode_vals(&[value.clone().into_val()]).unwrap();
    let vals = decode_vals(&bytes).unwrap();
    let [val] = <[Val; 1]>::try_from(vals).unwrap();
    assert_eq!(T::from_val(val), Ok(value));
}

fn color() -> impl Strategy<Value = Color> {
    prop::sample::select(vec![Color::Red, Color::Green, Color::Blue])
}

fn point() -> impl Strategy<Value = Point> {
    (-1e9..1e9, -1e9..1e9).prop_map(|(x, y)| Point { x, y })
}

fn others() -> impl Strategy<Value = Others> {
    let values = any::<(bool, char, String, Vec<u8>)>();
    (values, -1e9f32..1e9, -1e9..1e9).prop_map(|((truth, letter, text, bytes), single, double)| {
        Others { truth, letter, text, single, double, bytes }
    })
}

fn figure() -> impl Strategy<Value = Figure> {
    let points = || prop::collection::vec(point(), 0..4);
    prop_oneof![
        point().prop_map(Figure::Dot),
        points().prop_map(Figure::Polygon),
        (color(), points()).prop_map(Figure::Painted),
        Just(Figure::Nothing),
    ]
}

fn problem() -> impl Strategy<Value = Problem> {
    prop_oneof![
        Just(Problem::Refused),
        any::<u64>().prop_map(Problem::TooMuch),
        others().prop_map(Problem::Because),
    ]
}

proptest! {
    #[test]
    fn typed_values_plain(
        (a, b, c, d) in any::<(i8, u8, i16, u16)>(),
        (e, f, g, h) in any::<(i32, u32, i64, u64)>(),
        others in others(),
        rights in any::<(bool, bool, bool)>(),
    ) {
        check((a, b, c, d, e, f, g, h));
        check(Numbers { a, b, c, d, e, f, g, h });
        check((others.truth, others.letter, others.text.clone(), others.single, others.double));
        check(others);
        let (read, write, grant_all) = rights;
        check(Rights { read, write, grant_all });
        check(Receipt { from_balance: h, to_balance: 0 });
    }

    #[test]
    fn typed_values_inside_each_other(
        color in color(),
        figure in figure(),
        problems in prop::collection::vec(problem(), 0..4),
        deep in any::<Option<Option<Vec<Option<String>>>>>(),
        bytes in any::<Vec<Option<Vec<u8>>>>(),
        type_ in any::<String>(),
        result in any::<Result<Result<u8, String>, (i64, Vec<char>)>>(),
    ) {
        check(figure.clone());
        check(vec![Some(figure), None]);
        check(problems.into_iter().map(Err).chain([Ok(())]).collect::<Vec<_>>());
        check(deep);
        check(bytes);
        check(Keywords { type_, self_: true, async_: Some(color) });
        check((Choice::Some(color), Choice::None));
        check(result);
        check([Err(()), Ok(color)].to_vec());
    }
}

#[test]
fn typed_values_are_exact_at_the_edges() {
    check((i8::MIN, i16::MIN, i32::MIN, i64::MIN));
    check((u8::MAX, u16::MAX, u32::MAX, u64::MAX));
    check(('\0', char::MAX, String::new(), Vec::<u8>::new(), Vec::<String>::new()));
    check((f64::INFINITY, f64::MIN_POSITIVE, f32::NEG_INFINITY, (0u8,)));
    check((1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12u64));
    for float in [-0.0, f64::NAN] {
        let back = f64::from_val(float.into_val()).unwrap();
        assert_eq!(back.to_bits(), float.to_bits());
    }
    // Borrowed arguments are the same values.
    assert_eq!("text".into_val(), String::from("text").into_val());
    assert_eq!([1u8, 2].as_slice().into_val(), vec![1u8, 2].into_val());
    assert_eq!(vec![1u8, 2].into_val(), Val::Bytes(vec![1, 2].into()));
    assert_eq!(Some("text").into_val(), Some(String::from("text")).into_val());
}

#[test]
fn typed_values_of_another_type_say_where() {
    fn check<T: FromPayload + Debug>(val: impl IntoVal, message: &str) {
        assert_eq!(T::from_payload(Some(val.into_val())).unwrap_err().to_string(), message);
    }
    check::<u64>("text", "expected u64, found string");
    check::<()>(true, "expected no value, found bool");
    check::<Infallible>(7u8, "expected no error, found u8");
    check::<Vec<u8>>(vec!["a"], "expected list<u8>, found another list");
    check::<Vec<u32>>(vec![1u8], "expected list, found list<u8>");
    check::<Vec<Option<u8>>>(vec![Some(1u16)], "[0]: expected u8, found u16");
    check::<(u8, u8)>((1u8,), "expected a tuple of 2, found a tuple of 1");
    check::<(u8, (u8, bool))>((1u8, (2u8, 3u8)), "1.1: expected bool, found u8");
    check::<Result<(), u8>>(Ok::<u8, u8>(1), "ok: expected no value, found u8");
    check::<Result<u8, u8>>(Err::<u8, ()>(()), "err: expected a value, found none");
    check::<Receipt>(7u64, "expected record receipt, found u64");
    check::<Receipt>(
        Point { x: 0.0, y: 0.0 },
        "expected record receipt { from-balance, to-balance }, found record { x, y }",
    );
    let half = Val::Record(vec![("x".into(), Val::F64(0)), ("y".into(), Val::U8(0))]);
    let half = Val::Variant("dot".into(), Some(Box::new(half)));
    let error = Figure::from_val(half).unwrap_err().to_string();
    assert_eq!(error, "figure.dot.point.y: expected f64, found u8");
    let case = Val::Variant("circle".into(), None);
    let error = Figure::from_val(case).unwrap_err().to_string();
    assert_eq!(error, "expected variant figure as this client knows it, found circle");
    let error = Figure::from_val(Val::Variant("dot".into(), None)).unwrap_err().to_string();
    assert_eq!(error, "figure.dot: expected a value, found none");
    let error = Color::from_val(Val::Enum("pink".into())).unwrap_err().to_string();
    assert_eq!(error, "expected enum color as this client knows it, found pink");
    let error = Rights::from_val(Val::Flags(vec!["fly".into()])).unwrap_err().to_string();
    assert_eq!(error, "expected flags rights as this client knows it, found fly");
    let error = u8::from_payload(None).unwrap_err().to_string();
    assert_eq!(error, "expected a value, found none");
}
