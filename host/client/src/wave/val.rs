//! A value as the WAVE parser makes it and the WAVE printer reads it.
//!
//! Promises fields and flags in the order of their type, and bytes for `list<u8>`. The printer asks a
//! value only for the kind that `kind()` returned, so that the other accessors have no answer.

use std::borrow::Cow;

use aspen_core::val::Val;
use wasm_wave::wasm::{WasmType, WasmTypeKind, WasmValue, WasmValueError};

use crate::wave::ty::WaveType;

/// A value of a call.
#[derive(Clone, Debug)]
pub struct WaveVal(pub Val);

/// Ends an accessor of another kind than the value has.
#[expect(clippy::panic, reason = "wasm-wave asks for the kind that kind() returned, and no other")]
fn wrong_kind(val: &Val) -> ! {
    panic!("kind() of {val:?} is another")
}

/// Writes the pairs of `make_x` and `unwrap_x` for the simple kinds.
macro_rules! simple {
    ($($make:ident $unwrap:ident $variant:ident $ty:ty;)*) => {$(
        fn $make(val: $ty) -> Self {
            WaveVal(Val::$variant(val))
        }

        fn $unwrap(&self) -> $ty {
            match &self.0 {
                Val::$variant(val) => *val,
                other => wrong_kind(other),
            }
        }
    )*};
}

type Payload<'a> = Option<Cow<'a, WaveVal>>;

fn payload(val: &Option<Box<Val>>) -> Payload<'_> {
    val.as_ref().map(|val| Cow::Owned(WaveVal((**val).clone())))
}

fn put(val: Option<WaveVal>) -> Option<Box<Val>> {
    val.map(|val| Box::new(val.0))
}

impl WasmValue for WaveVal {
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
        WaveVal(Val::F32(val.to_bits()))
    }

    fn make_f64(val: f64) -> Self {
        WaveVal(Val::F64(val.to_bits()))
    }

    fn make_string(val: Cow<str>) -> Self {
        WaveVal(Val::String(val.into_owned()))
    }

    fn make_list(
        ty: &WaveType,
        vals: impl IntoIterator<Item = Self>,
    ) -> Result<Self, WasmValueError> {
        if !ty.0.is_bytes() {
            return Ok(WaveVal(Val::List(vals.into_iter().map(|val| val.0).collect())));
        }
        let bytes: Vec<u8> = vals.into_iter().map(|val| val.unwrap_u8()).collect();
        Ok(WaveVal(Val::Bytes(bytes.into())))
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
        Ok(WaveVal(Val::Record(in_order.collect::<Result<_, WasmValueError>>()?)))
    }

    fn make_tuple(
        _: &WaveType,
        vals: impl IntoIterator<Item = Self>,
    ) -> Result<Self, WasmValueError> {
        Ok(WaveVal(Val::Tuple(vals.into_iter().map(|val| val.0).collect())))
    }

    fn make_variant(_: &WaveType, case: &str, val: Option<Self>) -> Result<Self, WasmValueError> {
        Ok(WaveVal(Val::Variant(case.into(), put(val))))
    }

    fn make_enum(_: &WaveType, case: &str) -> Result<Self, WasmValueError> {
        Ok(WaveVal(Val::Enum(case.into())))
    }

    fn make_option(_: &WaveType, val: Option<Self>) -> Result<Self, WasmValueError> {
        Ok(WaveVal(Val::Option(put(val))))
    }

    fn make_result(
        _: &WaveType,
        val: Result<Option<Self>, Option<Self>>,
    ) -> Result<Self, WasmValueError> {
        Ok(WaveVal(Val::Result(val.map(put).map_err(put))))
    }

    fn make_flags<'a>(
        ty: &WaveType,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, WasmValueError> {
        let set: Vec<&str> = names.into_iter().collect();
        let in_order = ty.flags_names().filter(|name| set.contains(&name.as_ref()));
        Ok(WaveVal(Val::Flags(in_order.map(|name| name.to_string()).collect())))
    }

    fn unwrap_f32(&self) -> f32 {
        let Val::F32(bits) = &self.0 else { wrong_kind(&self.0) };
        f32::from_bits(*bits)
    }

    fn unwrap_f64(&self) -> f64 {
        let Val::F64(bits) = &self.0 else { wrong_kind(&self.0) };
        f64::from_bits(*bits)
    }

    fn unwrap_string(&self) -> Cow<'_, str> {
        let Val::String(text) = &self.0 else { wrong_kind(&self.0) };
        text.as_str().into()
    }

    fn unwrap_list(&self) -> Box<dyn Iterator<Item = Cow<'_, Self>> + '_> {
        match &self.0 {
            Val::List(vals) => Box::new(vals.iter().map(|val| Cow::Owned(WaveVal(val.clone())))),
            Val::Bytes(bytes) => Box::new(bytes.iter().map(|b| Cow::Owned(WaveVal(Val::U8(*b))))),
            other => wrong_kind(other),
        }
    }

    fn unwrap_record(&self) -> Box<dyn Iterator<Item = (Cow<'_, str>, Cow<'_, Self>)> + '_> {
        let Val::Record(fields) = &self.0 else { wrong_kind(&self.0) };
        let field = |(name, val): &'_ (String, Val)| (name.clone(), WaveVal(val.clone()));
        Box::new(fields.iter().map(field).map(|(name, val)| (Cow::Owned(name), Cow::Owned(val))))
    }

    fn unwrap_tuple(&self) -> Box<dyn Iterator<Item = Cow<'_, Self>> + '_> {
        let Val::Tuple(vals) = &self.0 else { wrong_kind(&self.0) };
        Box::new(vals.iter().map(|val| Cow::Owned(WaveVal(val.clone()))))
    }

    fn unwrap_variant(&self) -> (Cow<'_, str>, Payload<'_>) {
        let Val::Variant(case, val) = &self.0 else { wrong_kind(&self.0) };
        (case.as_str().into(), payload(val))
    }

    fn unwrap_enum(&self) -> Cow<'_, str> {
        let Val::Enum(case) = &self.0 else { wrong_kind(&self.0) };
        case.as_str().into()
    }

    fn unwrap_option(&self) -> Payload<'_> {
        let Val::Option(val) = &self.0 else { wrong_kind(&self.0) };
        payload(val)
    }

    fn unwrap_result(&self) -> Result<Payload<'_>, Payload<'_>> {
        let Val::Result(result) = &self.0 else { wrong_kind(&self.0) };
        result.as_ref().map(payload).map_err(payload)
    }

    fn unwrap_flags(&self) -> Box<dyn Iterator<Item = Cow<'_, str>> + '_> {
        let Val::Flags(flags) = &self.0 else { wrong_kind(&self.0) };
        Box::new(flags.iter().map(|name| name.as_str().into()))
    }
}
