//! [`Val`]: a value of the component model.
//!
//! Leaves out types: a value does not name its record type; see [`crate::function::Type`].

use bytes::Bytes;

/// A value. Floats are kept as their bits, so that equality and hashing are exact.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Val {
    /// `bool`
    Bool(bool),
    /// `s8`
    S8(i8),
    /// `u8`
    U8(u8),
    /// `s16`
    S16(i16),
    /// `u16`
    U16(u16),
    /// `s32`
    S32(i32),
    /// `u32`
    U32(u32),
    /// `s64`
    S64(i64),
    /// `u64`
    U64(u64),
    /// `f32`, as bits
    F32(u32),
    /// `f64`, as bits
    F64(u64),
    /// `char`
    Char(char),
    /// `string`
    String(String),
    /// `list<u8>`, in one piece
    Bytes(Bytes),
    /// any other list
    List(Vec<Val>),
    /// `record`: names and values in declared order
    Record(Vec<(String, Val)>),
    /// `tuple`
    Tuple(Vec<Val>),
    /// `variant`: the case and its payload
    Variant(String, Option<Box<Val>>),
    /// `enum`: the case
    Enum(String),
    /// `option`
    Option(Option<Box<Val>>),
    /// `result`
    Result(Result<Option<Box<Val>>, Option<Box<Val>>>),
    /// `flags`: those that are set, in declared order
    Flags(Vec<String>),
}

impl From<&str> for Val {
    fn from(text: &str) -> Val {
        Val::String(text.into())
    }
}

impl From<String> for Val {
    fn from(text: String) -> Val {
        Val::String(text)
    }
}

impl From<u64> for Val {
    fn from(number: u64) -> Val {
        Val::U64(number)
    }
}

impl From<u32> for Val {
    fn from(number: u32) -> Val {
        Val::U32(number)
    }
}

impl From<i64> for Val {
    fn from(number: i64) -> Val {
        Val::S64(number)
    }
}

impl From<bool> for Val {
    fn from(truth: bool) -> Val {
        Val::Bool(truth)
    }
}
