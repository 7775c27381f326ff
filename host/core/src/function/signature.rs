//! The types of functions, as the host reads them from a component.
//!
//! The command line, the client and other languages check and print arguments by these types, without the
//! component. The text form is WIT's own.
//! Leaves out resources, futures and streams: no function of Aspen can have them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::ComponentHash;

/// The functions of a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    pub component: ComponentHash,
    /// Size of the component in bytes.
    pub bytes: u64,
    /// The functions, in order of names.
    pub functions: Vec<FunctionSignature>,
}

/// One exported function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionSignature {
    /// Name in WIT spelling.
    pub name: String,
    /// Parameters in order.
    pub params: Vec<Field>,
    /// The type of the result, if there is one.
    pub result: Option<Type>,
}

/// A named part: a parameter, or a field of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// Name in WIT spelling.
    pub name: String,
    pub ty: Type,
}

/// A value type of the component model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Type {
    /// `bool`
    Bool,
    /// `s8`
    S8,
    /// `u8`
    U8,
    /// `s16`
    S16,
    /// `u16`
    U16,
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `s64`
    S64,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<T>`
    List(Box<Type>),
    /// `record { field: T, ... }`
    Record(Vec<Field>),
    /// `tuple<T, ...>`
    Tuple(Vec<Type>),
    /// `variant { case(T), ... }`
    Variant(Vec<(String, Option<Type>)>),
    /// `enum { case, ... }`
    Enum(Vec<String>),
    /// `option<T>`
    Option(Box<Type>),
    /// `result<T, E>`
    Result(Option<Box<Type>>, Option<Box<Type>>),
    /// `flags { flag, ... }`
    Flags(Vec<String>),
}

impl Type {
    /// True for `list<u8>`: values hold it in one piece.
    pub fn is_bytes(&self) -> bool {
        matches!(self, Type::List(element) if **element == Type::U8)
    }
}

fn list<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    (open, close): (&str, &str),
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    f.write_str(open)?;
    for (at, item) in items.into_iter().enumerate() {
        write!(f, "{}{item}", if at == 0 { "" } else { ", " })?;
    }
    f.write_str(close)
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.ty)
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &Option<Box<Type>>| part.as_ref().map_or("_".into(), |t| t.to_string());
        match self {
            Type::Bool => f.write_str("bool"),
            Type::S8 => f.write_str("s8"),
            Type::U8 => f.write_str("u8"),
            Type::S16 => f.write_str("s16"),
            Type::U16 => f.write_str("u16"),
            Type::S32 => f.write_str("s32"),
            Type::U32 => f.write_str("u32"),
            Type::S64 => f.write_str("s64"),
            Type::U64 => f.write_str("u64"),
            Type::F32 => f.write_str("f32"),
            Type::F64 => f.write_str("f64"),
            Type::Char => f.write_str("char"),
            Type::String => f.write_str("string"),
            Type::List(element) => write!(f, "list<{element}>"),
            Type::Record(fields) => list(f, ("record { ", " }"), fields),
            Type::Tuple(parts) => list(f, ("tuple<", ">"), parts),
            Type::Variant(cases) => list(
                f,
                ("variant { ", " }"),
                cases.iter().map(|(name, payload)| match payload {
                    Some(payload) => format!("{name}({payload})"),
                    None => name.clone(),
                }),
            ),
            Type::Enum(cases) => list(f, ("enum { ", " }"), cases),
            Type::Option(inner) => write!(f, "option<{inner}>"),
            Type::Result(None, None) => f.write_str("result"),
            Type::Result(ok, None) => write!(f, "result<{}>", part(ok)),
            Type::Result(ok, err) => write!(f, "result<{}, {}>", part(ok), part(err)),
            Type::Flags(flags) => list(f, ("flags { ", " }"), flags),
        }
    }
}

/// `transfer: func(from: string, to: string, amount: u64) -> result<u64, string>`
impl fmt::Display for FunctionSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: func", self.name)?;
        list(f, ("(", ")"), &self.params)?;
        self.result.as_ref().map_or(Ok(()), |result| write!(f, " -> {result}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_reads_like_wit() {
        let field = |name: &str, ty| Field { name: name.into(), ty };
        let signature = FunctionSignature {
            name: "transfer".into(),
            params: vec![
                field("from", Type::String),
                field("tags", Type::List(Box::new(Type::U8))),
            ],
            result: Some(Type::Result(
                Some(Box::new(Type::Record(vec![field("left", Type::U64)]))),
                Some(Box::new(Type::Variant(vec![
                    ("no".into(), None),
                    ("low".into(), Some(Type::U64)),
                ]))),
            )),
        };
        assert_eq!(
            signature.to_string(),
            "transfer: func(from: string, tags: list<u8>) -> \
             result<record { left: u64 }, variant { no, low(u64) }>"
        );
    }
}
