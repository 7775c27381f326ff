//! Typed values as text: WAVE, the component model's value encoding
//! (bytecodealliance/wasm-tools, `wasm-wave`), over our own [`Val`] and [`Type`].
//!
//! `parse` needs the type, so `1` becomes whatever integer is wanted and a wrong argument is
//! refused before anything is sent. A plain word where a string is wanted may stand without quotes.
//! Leaves out streaming: texts are arguments on a command line.

use std::borrow::Cow;

use aspen_core::{Field, FunctionSignature, Type, Val};
use snafu::{OptionExt, ResultExt, Snafu, ensure};
use wasm_wave::wasm::{WasmType, WasmTypeKind, WasmValue, WasmValueError};

/// Why texts are no arguments of a function.
#[derive(Debug, Snafu)]
pub enum WaveError {
    /// More or fewer than it takes.
    #[snafu(display("{function} takes {expected} arguments, {found} were given: {signature}"))]
    Count {
        /// The function.
        function: String,
        /// How many it takes.
        expected: usize,
        /// How many there are.
        found: usize,
        /// Its types.
        signature: String,
    },
    /// One of them does not have its type.
    #[snafu(display("argument {name} must be {ty}, not {text:?}: {source}"))]
    Argument {
        /// Which.
        name: String,
        /// Its type.
        ty: Type,
        /// What was given.
        text: String,
        /// What the parser says.
        #[snafu(source(from(wasm_wave::parser::ParserError, Box::new)))]
        source: Box<wasm_wave::parser::ParserError>,
    },
    /// A type that has no text form (an empty record or the like).
    #[snafu(display("argument {name} of type {ty} has no text form"))]
    NoText {
        /// Which.
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
    let parsed = wasm_wave::from_str::<Wave>(&WaveType(ty.clone()), text);
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
    wasm_wave::to_string(&Wave(val.clone())).unwrap_or_else(|_| format!("{val:?}"))
}

#[derive(Clone, Debug)]
struct Wave(Val);

#[derive(Clone, Debug, PartialEq, Eq)]
struct WaveType(Type);

fn kind(ty: &Type) -> Option<WasmTypeKind> {
    Some(match ty {
        Type::Bool => WasmTypeKind::Bool,
        Type::S8 => WasmTypeKind::S8,
        Type::U8 => WasmTypeKind::U8,
        Type::S16 => WasmTypeKind::S16,
        Type::U16 => WasmTypeKind::U16,
        Type::S32 => WasmTypeKind::S32,
        Type::U32 => WasmTypeKind::U32,
        Type::S64 => WasmTypeKind::S64,
        Type::U64 => WasmTypeKind::U64,
        Type::F32 => WasmTypeKind::F32,
        Type::F64 => WasmTypeKind::F64,
        Type::Char => WasmTypeKind::Char,
        Type::String => WasmTypeKind::String,
        Type::List(_) => WasmTypeKind::List,
        Type::Record(fields) if fields.is_empty() => return None,
        Type::Record(_) => WasmTypeKind::Record,
        Type::Tuple(_) => WasmTypeKind::Tuple,
        Type::Variant(_) => WasmTypeKind::Variant,
        Type::Enum(_) => WasmTypeKind::Enum,
        Type::Option(_) => WasmTypeKind::Option,
        Type::Result(..) => WasmTypeKind::Result,
        Type::Flags(_) => WasmTypeKind::Flags,
    })
}

fn boxed(ty: &Option<Box<Type>>) -> Option<WaveType> {
    ty.as_ref().map(|ty| WaveType((**ty).clone()))
}

impl std::fmt::Display for WaveType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl WasmType for WaveType {
    fn kind(&self) -> WasmTypeKind {
        kind(&self.0).unwrap_or(WasmTypeKind::Unsupported)
    }

    fn list_element_type(&self) -> Option<Self> {
        match &self.0 {
            Type::List(element) => Some(WaveType((**element).clone())),
            _ => None,
        }
    }

    fn record_fields(&self) -> Box<dyn Iterator<Item = (Cow<'_, str>, Self)> + '_> {
        let Type::Record(fields) = &self.0 else { return Box::new(std::iter::empty()) };
        Box::new(fields.iter().map(|f| (f.name.as_str().into(), WaveType(f.ty.clone()))))
    }

    fn tuple_element_types(&self) -> Box<dyn Iterator<Item = Self> + '_> {
        let Type::Tuple(parts) = &self.0 else { return Box::new(std::iter::empty()) };
        Box::new(parts.iter().map(|ty| WaveType(ty.clone())))
    }

    fn variant_cases(&self) -> Box<dyn Iterator<Item = (Cow<'_, str>, Option<Self>)> + '_> {
        let Type::Variant(cases) = &self.0 else { return Box::new(std::iter::empty()) };
        Box::new(cases.iter().map(|(name, ty)| (name.as_str().into(), ty.clone().map(WaveType))))
    }

    fn enum_cases(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        let Type::Enum(cases) = &self.0 else { return Box::new(std::iter::empty()) };
        Box::new(cases.iter().map(|name| name.as_str().into()))
    }

    fn option_some_type(&self) -> Option<Self> {
        match &self.0 {
            Type::Option(some) => Some(WaveType((**some).clone())),
            _ => None,
        }
    }

    fn result_types(&self) -> Option<(Option<Self>, Option<Self>)> {
        match &self.0 {
            Type::Result(ok, err) => Some((boxed(ok), boxed(err))),
            _ => None,
        }
    }

    fn flags_names(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        let Type::Flags(flags) = &self.0 else { return Box::new(std::iter::empty()) };
        Box::new(flags.iter().map(|name| name.as_str().into()))
    }
}

/// The pairs of `make_x` and `unwrap_x` for the simple kinds.
macro_rules! simple {
    ($($make:ident $unwrap:ident $variant:ident $ty:ty;)*) => {$(
        fn $make(val: $ty) -> Self {
            Wave(Val::$variant(val))
        }

        fn $unwrap(&self) -> $ty {
            match &self.0 {
                Val::$variant(val) => *val,
                other => unreachable!("kind() of {other:?} is another"),
            }
        }
    )*};
}

type Payload<'a> = Option<Cow<'a, Wave>>;

fn payload(val: &Option<Box<Val>>) -> Payload<'_> {
    val.as_ref().map(|val| Cow::Owned(Wave((**val).clone())))
}

fn put(val: Option<Wave>) -> Option<Box<Val>> {
    val.map(|val| Box::new(val.0))
}

impl WasmValue for Wave {
    type Type = WaveType;

    fn kind(&self) -> WasmTypeKind {
        match &self.0 {
            Val::Bool(_) => WasmTypeKind::Bool,
            Val::S8(_) => WasmTypeKind::S8,
            Val::U8(_) => WasmTypeKind::U8,
            Val::S16(_) => WasmTypeKind::S16,
            Val::U16(_) => WasmTypeKind::U16,
            Val::S32(_) => WasmTypeKind::S32,
            Val::U32(_) => WasmTypeKind::U32,
            Val::S64(_) => WasmTypeKind::S64,
            Val::U64(_) => WasmTypeKind::U64,
            Val::F32(_) => WasmTypeKind::F32,
            Val::F64(_) => WasmTypeKind::F64,
            Val::Char(_) => WasmTypeKind::Char,
            Val::String(_) => WasmTypeKind::String,
            Val::Bytes(_) | Val::List(_) => WasmTypeKind::List,
            Val::Record(_) => WasmTypeKind::Record,
            Val::Tuple(_) => WasmTypeKind::Tuple,
            Val::Variant(..) => WasmTypeKind::Variant,
            Val::Enum(_) => WasmTypeKind::Enum,
            Val::Option(_) => WasmTypeKind::Option,
            Val::Result(_) => WasmTypeKind::Result,
            Val::Flags(_) => WasmTypeKind::Flags,
        }
    }

    simple! {
        make_bool unwrap_bool Bool bool;
        make_s8 unwrap_s8 S8 i8;
        make_u8 unwrap_u8 U8 u8;
        make_s16 unwrap_s16 S16 i16;
        make_u16 unwrap_u16 U16 u16;
        make_s32 unwrap_s32 S32 i32;
        make_u32 unwrap_u32 U32 u32;
        make_s64 unwrap_s64 S64 i64;
        make_u64 unwrap_u64 U64 u64;
        make_char unwrap_char Char char;
    }

    fn make_f32(val: f32) -> Self {
        Wave(Val::F32(val.to_bits()))
    }

    fn make_f64(val: f64) -> Self {
        Wave(Val::F64(val.to_bits()))
    }

    fn make_string(val: Cow<str>) -> Self {
        Wave(Val::String(val.into_owned()))
    }

    fn make_list(
        ty: &WaveType,
        vals: impl IntoIterator<Item = Self>,
    ) -> Result<Self, WasmValueError> {
        if !ty.0.is_bytes() {
            return Ok(Wave(Val::List(vals.into_iter().map(|val| val.0).collect())));
        }
        let bytes: Vec<u8> = vals.into_iter().map(|val| val.unwrap_u8()).collect();
        Ok(Wave(Val::Bytes(bytes.into())))
    }

    fn make_record<'a>(
        ty: &WaveType,
        fields: impl IntoIterator<Item = (&'a str, Self)>,
    ) -> Result<Self, WasmValueError> {
        let mut given: Vec<(&str, Val)> = fields.into_iter().map(|(n, v)| (n, v.0)).collect();
        let in_order = ty.record_fields().map(|(name, _)| {
            let at = given.iter().position(|(given, _)| *given == name);
            let at = at.ok_or_else(|| WasmValueError::MissingField(name.to_string()))?;
            Ok((name.to_string(), given.swap_remove(at).1))
        });
        Ok(Wave(Val::Record(in_order.collect::<Result<_, WasmValueError>>()?)))
    }

    fn make_tuple(
        _: &WaveType,
        vals: impl IntoIterator<Item = Self>,
    ) -> Result<Self, WasmValueError> {
        Ok(Wave(Val::Tuple(vals.into_iter().map(|val| val.0).collect())))
    }

    fn make_variant(_: &WaveType, case: &str, val: Option<Self>) -> Result<Self, WasmValueError> {
        Ok(Wave(Val::Variant(case.into(), put(val))))
    }

    fn make_enum(_: &WaveType, case: &str) -> Result<Self, WasmValueError> {
        Ok(Wave(Val::Enum(case.into())))
    }

    fn make_option(_: &WaveType, val: Option<Self>) -> Result<Self, WasmValueError> {
        Ok(Wave(Val::Option(put(val))))
    }

    fn make_result(
        _: &WaveType,
        val: Result<Option<Self>, Option<Self>>,
    ) -> Result<Self, WasmValueError> {
        Ok(Wave(Val::Result(val.map(put).map_err(put))))
    }

    fn make_flags<'a>(
        ty: &WaveType,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, WasmValueError> {
        let set: Vec<&str> = names.into_iter().collect();
        let in_order = ty.flags_names().filter(|name| set.contains(&name.as_ref()));
        Ok(Wave(Val::Flags(in_order.map(|name| name.to_string()).collect())))
    }

    fn unwrap_f32(&self) -> f32 {
        let Val::F32(bits) = &self.0 else { unreachable!("kind() is f32") };
        f32::from_bits(*bits)
    }

    fn unwrap_f64(&self) -> f64 {
        let Val::F64(bits) = &self.0 else { unreachable!("kind() is f64") };
        f64::from_bits(*bits)
    }

    fn unwrap_string(&self) -> Cow<'_, str> {
        let Val::String(text) = &self.0 else { unreachable!("kind() is string") };
        text.as_str().into()
    }

    fn unwrap_list(&self) -> Box<dyn Iterator<Item = Cow<'_, Self>> + '_> {
        match &self.0 {
            Val::List(vals) => Box::new(vals.iter().map(|val| Cow::Owned(Wave(val.clone())))),
            Val::Bytes(bytes) => Box::new(bytes.iter().map(|b| Cow::Owned(Wave(Val::U8(*b))))),
            other => unreachable!("kind() of {other:?} is not list"),
        }
    }

    fn unwrap_record(&self) -> Box<dyn Iterator<Item = (Cow<'_, str>, Cow<'_, Self>)> + '_> {
        let Val::Record(fields) = &self.0 else { unreachable!("kind() is record") };
        let field = |(name, val): &'_ (String, Val)| (name.clone(), Wave(val.clone()));
        Box::new(fields.iter().map(field).map(|(name, val)| (Cow::Owned(name), Cow::Owned(val))))
    }

    fn unwrap_tuple(&self) -> Box<dyn Iterator<Item = Cow<'_, Self>> + '_> {
        let Val::Tuple(vals) = &self.0 else { unreachable!("kind() is tuple") };
        Box::new(vals.iter().map(|val| Cow::Owned(Wave(val.clone()))))
    }

    fn unwrap_variant(&self) -> (Cow<'_, str>, Payload<'_>) {
        let Val::Variant(case, val) = &self.0 else { unreachable!("kind() is variant") };
        (case.as_str().into(), payload(val))
    }

    fn unwrap_enum(&self) -> Cow<'_, str> {
        let Val::Enum(case) = &self.0 else { unreachable!("kind() is enum") };
        case.as_str().into()
    }

    fn unwrap_option(&self) -> Payload<'_> {
        let Val::Option(val) = &self.0 else { unreachable!("kind() is option") };
        payload(val)
    }

    fn unwrap_result(&self) -> Result<Payload<'_>, Payload<'_>> {
        let Val::Result(result) = &self.0 else { unreachable!("kind() is result") };
        result.as_ref().map(payload).map_err(payload)
    }

    fn unwrap_flags(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        let Val::Flags(flags) = &self.0 else { unreachable!("kind() is flags") };
        Box::new(flags.iter().map(|name| name.as_str().into()))
    }
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
