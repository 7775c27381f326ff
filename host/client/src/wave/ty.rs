//! A type as the WAVE parser sees it.
//!
//! Leaves out values (`wave/val.rs`).

use std::borrow::Cow;

use aspen_core::function::Type;
use wasm_wave::wasm::{WasmType, WasmTypeKind};

/// A type of a function's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaveType(pub Type);

/// Returns the parser's kind of a type; `None` for a type without a text form.
pub fn kind(ty: &Type) -> Option<WasmTypeKind> {
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
