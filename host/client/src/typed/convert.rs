//! Rust values as values of the component model, and back.
//!
//! Each type of WIT has one Rust type: integers, floats, `bool`, `char` and `string` have their
//! namesakes, `list<T>` is a `Vec<T>`, and `option`, `result` and tuples (up to 12 parts) are Rust's own.
//! Types with a name in WIT get their conversion from [`crate::wit!`].
//! Promises that `from_val(into_val(x))` is `x`, bit by bit for floats, and that a value of another
//! type gives a [`Mismatch`] with the place.

use std::convert::Infallible;

use aspen_core::val::Val;
use snafu::Snafu;

/// A value is not of the type that was expected.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
#[snafu(display("{place}expected {expected}, found {found}"))]
pub struct Mismatch {
    /// The place in the value, as `receipt.from-balance: `; empty for the value itself.
    place: Box<str>,
    expected: Box<str>,
    found: Box<str>,
}

impl Mismatch {
    /// Makes a mismatch of the value itself.
    pub fn new(expected: impl Into<String>, found: &Val) -> Self {
        Self::other(expected, kind(found))
    }

    /// Makes a mismatch of a part that is missing or too much.
    pub(super) fn other(expected: impl Into<String>, found: impl Into<String>) -> Self {
        let (expected, found) = (expected.into(), found.into());
        Self { place: "".into(), expected: expected.into(), found: found.into() }
    }

    /// Returns the same mismatch, seen from the value around it.
    pub(super) fn within(mut self, part: &str) -> Self {
        let rest = if self.place.is_empty() { ": " } else { "." };
        self.place = [part, rest, &self.place].concat().into();
        self
    }
}

/// Returns the type of a value, in WIT's words.
fn kind(val: &Val) -> String {
    match val {
        Val::Bool(_) => "bool",
        Val::S8(_) => "s8",
        Val::U8(_) => "u8",
        Val::S16(_) => "s16",
        Val::U16(_) => "u16",
        Val::S32(_) => "s32",
        Val::U32(_) => "u32",
        Val::S64(_) => "s64",
        Val::U64(_) => "u64",
        Val::F32(_) => "f32",
        Val::F64(_) => "f64",
        Val::Char(_) => "char",
        Val::String(_) => "string",
        Val::Bytes(_) => "list<u8>",
        Val::List(_) => "another list",
        Val::Record(fields) => {
            let names: Vec<&str> = fields.iter().map(|(name, _)| name.as_str()).collect();
            return format!("record {{ {} }}", names.join(", "));
        }
        Val::Tuple(parts) => return format!("a tuple of {}", parts.len()),
        Val::Variant(case, _) => return format!("case {case} of a variant"),
        Val::Enum(case) => return format!("case {case} of an enum"),
        Val::Option(_) => "option",
        Val::Result(_) => "result",
        Val::Flags(_) => "flags",
    }
    .into()
}

/// A Rust value that a function can take.
pub trait IntoVal: Sized {
    /// Converts to the value that travels.
    fn into_val(self) -> Val;

    /// Converts a list. Bytes have a form of their own, so this is a method.
    fn list_into_val(list: Vec<Self>) -> Val {
        Val::List(list.into_iter().map(Self::into_val).collect())
    }
}

/// A Rust value that a function can return.
pub trait FromVal: Sized {
    /// Converts from the value that travelled.
    fn from_val(val: Val) -> Result<Self, Mismatch>;

    /// Converts from a list.
    fn list_from_val(val: Val) -> Result<Vec<Self>, Mismatch> {
        let Val::List(vals) = val else { return Err(Mismatch::new("list", &val)) };
        let element = |(at, val)| {
            Self::from_val(val).map_err(|mismatch: Mismatch| mismatch.within(&format!("[{at}]")))
        };
        vals.into_iter().enumerate().map(element).collect()
    }
}

/// The content of `ok` or `err` of a `result`: a value, or nothing, which is `()`.
pub trait IntoPayload {
    /// Converts to the value that travels, if any.
    fn into_payload(self) -> Option<Val>;
}

/// The result of a function: a value, or nothing, which is `()`. [`Infallible`] is the error of a
/// function that has none.
pub trait FromPayload: Sized {
    /// Converts from the value that travelled, if any.
    fn from_payload(payload: Option<Val>) -> Result<Self, Mismatch>;
}

impl<T: IntoVal> IntoPayload for T {
    fn into_payload(self) -> Option<Val> {
        Some(self.into_val())
    }
}

impl IntoPayload for () {
    fn into_payload(self) -> Option<Val> {
        None
    }
}

impl<T: FromVal> FromPayload for T {
    fn from_payload(payload: Option<Val>) -> Result<Self, Mismatch> {
        payload.map_or_else(|| Err(Mismatch::other("a value", "none")), T::from_val)
    }
}

impl FromPayload for () {
    fn from_payload(payload: Option<Val>) -> Result<Self, Mismatch> {
        payload.map_or(Ok(()), |val| Err(Mismatch::new("no value", &val)))
    }
}

impl FromPayload for Infallible {
    fn from_payload(payload: Option<Val>) -> Result<Self, Mismatch> {
        let found = payload.as_ref().map_or("one without a payload".into(), kind);
        Err(Mismatch::other("no error", found))
    }
}

/// Types that are one case of [`Val`] each.
macro_rules! plain {
    ($($rust:ty, $case:ident, $wit:literal, $into:expr, $from:expr;)*) => { $(
        impl IntoVal for $rust {
            fn into_val(self) -> Val {
                Val::$case($into(self))
            }
        }

        impl FromVal for $rust {
            fn from_val(val: Val) -> Result<Self, Mismatch> {
                match val {
                    Val::$case(plain) => Ok($from(plain)),
                    other => Err(Mismatch::new($wit, &other)),
                }
            }
        }
    )* };
}

plain! {
    bool, Bool, "bool", bool::from, bool::from;
    i8, S8, "s8", i8::from, i8::from;
    i16, S16, "s16", i16::from, i16::from;
    u16, U16, "u16", u16::from, u16::from;
    i32, S32, "s32", i32::from, i32::from;
    u32, U32, "u32", u32::from, u32::from;
    i64, S64, "s64", i64::from, i64::from;
    u64, U64, "u64", u64::from, u64::from;
    f32, F32, "f32", f32::to_bits, f32::from_bits;
    f64, F64, "f64", f64::to_bits, f64::from_bits;
    char, Char, "char", char::from, char::from;
    String, String, "string", String::from, String::from;
}

impl IntoVal for u8 {
    fn into_val(self) -> Val {
        Val::U8(self)
    }

    fn list_into_val(list: Vec<u8>) -> Val {
        Val::Bytes(list.into())
    }
}

impl FromVal for u8 {
    fn from_val(val: Val) -> Result<Self, Mismatch> {
        let Val::U8(number) = val else { return Err(Mismatch::new("u8", &val)) };
        Ok(number)
    }

    fn list_from_val(val: Val) -> Result<Vec<u8>, Mismatch> {
        let Val::Bytes(bytes) = val else { return Err(Mismatch::new("list<u8>", &val)) };
        Ok(bytes.into())
    }
}

impl IntoVal for &str {
    fn into_val(self) -> Val {
        self.into()
    }
}

impl IntoVal for &[u8] {
    fn into_val(self) -> Val {
        Val::Bytes(self.to_vec().into())
    }
}

impl<T: IntoVal> IntoVal for Vec<T> {
    fn into_val(self) -> Val {
        T::list_into_val(self)
    }
}

impl<T: FromVal> FromVal for Vec<T> {
    fn from_val(val: Val) -> Result<Self, Mismatch> {
        T::list_from_val(val)
    }
}

impl<T: IntoVal> IntoVal for Option<T> {
    fn into_val(self) -> Val {
        Val::Option(self.map(|inner| Box::new(inner.into_val())))
    }
}

impl<T: FromVal> FromVal for Option<T> {
    fn from_val(val: Val) -> Result<Self, Mismatch> {
        match val {
            Val::Option(inner) => inner.map(|inner| T::from_val(*inner)).transpose(),
            other => Err(Mismatch::new("option", &other)),
        }
    }
}

impl<T: IntoPayload, E: IntoPayload> IntoVal for Result<T, E> {
    fn into_val(self) -> Val {
        Val::Result(match self {
            Ok(ok) => Ok(ok.into_payload().map(Box::new)),
            Err(err) => Err(err.into_payload().map(Box::new)),
        })
    }
}

impl<T: FromPayload, E: FromPayload> FromVal for Result<T, E> {
    fn from_val(val: Val) -> Result<Self, Mismatch> {
        match val {
            Val::Result(Ok(ok)) => {
                let ok = T::from_payload(ok.map(|val| *val));
                ok.map(Ok).map_err(|mismatch| mismatch.within("ok"))
            }
            Val::Result(Err(err)) => {
                let err = E::from_payload(err.map(|val| *val));
                err.map(Err).map_err(|mismatch| mismatch.within("err"))
            }
            other => Err(Mismatch::new("result", &other)),
        }
    }
}

/// Tuples, as long as Rust's own traits support them.
macro_rules! tuples {
    ($(($($part:ident $at:tt),+))*) => { $(
        impl<$($part: IntoVal),+> IntoVal for ($($part,)+) {
            fn into_val(self) -> Val {
                Val::Tuple(vec![$(self.$at.into_val()),+])
            }
        }

        impl<$($part: FromVal),+> FromVal for ($($part,)+) {
            fn from_val(val: Val) -> Result<Self, Mismatch> {
                const PARTS: usize = [$($at),+].len();
                match val {
                    Val::Tuple(vals) if vals.len() == PARTS => {
                        let mut vals = vals.into_iter();
                        Ok(($(tuple_part::<$part>($at, vals.next())?,)+))
                    }
                    other => Err(Mismatch::new(format!("a tuple of {PARTS}"), &other)),
                }
            }
        }
    )* };
}

fn tuple_part<T: FromVal>(at: usize, val: Option<Val>) -> Result<T, Mismatch> {
    T::from_payload(val).map_err(|mismatch| mismatch.within(&at.to_string()))
}

tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10)
    (A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7, I 8, J 9, K 10, L 11)
}
