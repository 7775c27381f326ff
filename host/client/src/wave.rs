//! Typed values as text: WAVE, the component model's value encoding
//! (bytecodealliance/wasm-tools, `wasm-wave`), over our own [`Val`] and [`Type`].
//!
//! [`parse_args`] reads each text as its type: `1` becomes the integer type of the parameter, and a wrong
//! argument is refused before anything is sent. A string needs no quotes.
//! Leaves out streaming: texts are arguments on a command line.

mod ty;
mod val;

use aspen_core::function::{Field, FunctionSignature, Type};
use aspen_core::val::Val;
use snafu::{OptionExt, ResultExt, Snafu, ensure};

use crate::wave::ty::{WaveType, kind};
use crate::wave::val::WaveVal;

/// Why texts are no arguments of a function.
#[derive(Debug, Snafu)]
pub enum WaveError {
    /// The function takes more or fewer arguments.
    #[snafu(display("{function} takes {expected} arguments, {found} were given: {signature}"))]
    Count {
        function: String,
        /// Arguments that it takes.
        expected: usize,
        /// Arguments given.
        found: usize,
        signature: String,
    },
    /// An argument does not have its type.
    #[snafu(display("argument {name} must be {ty}, not {text:?}: {source}"))]
    Argument {
        /// The name of the parameter.
        name: String,
        /// Its type.
        ty: Type,
        /// The text given.
        text: String,
        #[snafu(source(from(wasm_wave::parser::ParserError, Box::new)))]
        source: Box<wasm_wave::parser::ParserError>,
    },
    /// A type that has no text form (an empty record or the like).
    #[snafu(display("argument {name} of type {ty} has no text form"))]
    NoText {
        /// The name of the parameter.
        name: String,
        /// Its type.
        ty: Type,
    },
}

/// Reads the arguments of a function from texts.
pub fn parse_args(
    function: &FunctionSignature,
    texts: &[impl AsRef<str>],
) -> Result<Vec<Val>, WaveError> {
    let (expected, found) = (function.params.len(), texts.len());
    let count = || CountSnafu {
        function: function.name.clone(),
        expected,
        found,
        signature: function.to_string(),
    };
    ensure!(expected == found, count());
    function.params.iter().zip(texts).map(|(field, text)| parse(field, text.as_ref())).collect()
}

fn parse(field: &Field, text: &str) -> Result<Val, WaveError> {
    let Field { name, ty } = field;
    let quoted = text.trim_start().starts_with('"');
    if *ty == Type::String && !quoted {
        return Ok(Val::String(text.into()));
    }
    if ty.is_bytes() && !text.trim_start().starts_with('[') {
        return Ok(Val::Bytes(text.as_bytes().to_vec().into()));
    }
    kind(ty).context(NoTextSnafu { name, ty: ty.clone() })?;
    let parsed = wasm_wave::from_str::<WaveVal>(&WaveType(ty.clone()), text);
    Ok(parsed.context(ArgumentSnafu { name, ty: ty.clone(), text })?.0)
}

/// Writes a value as WAVE text; bytes that are printable UTF-8 as a string.
pub fn print(val: &Val) -> String {
    if let Val::Bytes(bytes) = val
        && let Ok(text) = std::str::from_utf8(bytes)
        && !text.contains(|c: char| c.is_control() && c != '\n')
    {
        return format!("{text:?}");
    }
    wasm_wave::to_string(&WaveVal(val.clone())).unwrap_or_else(|_| format!("{val:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, ty: Type) -> Field {
        Field { name: name.into(), ty }
    }

    #[test]
    fn text_round_trips_by_type() {
        let record =
            Type::Record(vec![field("a", Type::U8), field("b", Type::Option(Box::new(Type::S64)))]);
        let check = |ty: Type, text: &str, want: &str| {
            let val = parse(&field("x", ty.clone()), text).unwrap();
            assert_eq!(print(&val), want);
            assert_eq!(parse(&field("x", ty), &print(&val)).unwrap(), val);
        };
        check(Type::U64, " 7 ", "7");
        check(Type::String, "plain words", "\"plain words\"");
        check(Type::String, "\"quo\\\"ted\"", "\"quo\\\"ted\"");
        check(record.clone(), "{b: some(-1), a: 3}", "{a: 3, b: some(-1)}");
        check(Type::List(Box::new(Type::U8)), "[200, 1]", "[200, 1]");
        check(Type::Result(None, Some(Box::new(Type::Char))), "err('x')", "err('x')");
        check(Type::Flags(vec!["r".into(), "w".into()]), "{w, r}", "{r, w}");
        check(Type::Variant(vec![("low".into(), Some(Type::F64))]), "low(1.5)", "low(1.5)");
        check(
            Type::Tuple(vec![Type::Bool, Type::Enum(vec!["red".into()])]),
            "(true, red)",
            "(true, red)",
        );
    }

    #[test]
    fn wrong_arguments_are_named() {
        let function = FunctionSignature {
            name: "f".into(),
            params: vec![field("amount", Type::U8)],
            result: None,
        };
        let message = |texts: &[&str]| parse_args(&function, texts).unwrap_err().to_string();
        assert_eq!(message(&[]), "f takes 1 arguments, 0 were given: f: func(amount: u8)");
        assert!(message(&["300"]).starts_with("argument amount must be u8, not \"300\""));
        assert!(message(&["{"]).starts_with("argument amount must be u8"));
    }
}
