//! Reads the types of functions from a validated component, without compiling it.
//!
//! Promises a bounded description. A type of few bytes can name itself twice at every level and
//! unfold without end, so levels and parts are counted.

use aspen_core::function::{Field, FunctionSignature, Type};
use aspen_core::limits::VAL_DEPTH_MAX;
use wasmparser::PrimitiveValType;
use wasmparser::component_types::{
    ComponentDefinedType, ComponentDefinedTypeId, ComponentFuncTypeId, ComponentValType,
};
use wasmparser::types::TypesRef;

/// Parts of all types of one function: far above those of real functions.
const PARTS_MAX: usize = 1000;

/// The reason why a function's type is not supported.
pub(super) type Unsupported = &'static str;

/// Returns the signature of a function.
pub(super) fn signature(
    types: TypesRef<'_>,
    name: &str,
    function: ComponentFuncTypeId,
) -> Result<FunctionSignature, Unsupported> {
    let mut reader = Reader { types, parts: 0 };
    let function = &types[function];
    if function.async_ {
        return Err("it is asynchronous");
    }
    let params = function.params.iter().map(|(name, ty)| reader.field(name, ty, 0));
    let params = params.collect::<Result<_, _>>()?;
    let result = function.result.as_ref().map(|ty| reader.value(ty, 0)).transpose()?;
    Ok(FunctionSignature { name: name.to_string(), params, result })
}

struct Reader<'a> {
    types: TypesRef<'a>,
    parts: usize,
}

impl Reader<'_> {
    fn field(&mut self, name: &str, ty: &ComponentValType, depth: usize) -> Read<Field> {
        Ok(Field { name: name.to_string(), ty: self.value(ty, depth)? })
    }

    fn value(&mut self, ty: &ComponentValType, depth: usize) -> Read<Type> {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return Err("its types have more than 1000 parts");
        }
        // A result is unwrapped before it is encoded. One level below the limit is safe for both.
        if depth + 1 >= VAL_DEPTH_MAX {
            return Err("its types are nested too deep");
        }
        match ty {
            ComponentValType::Primitive(ty) => primitive(*ty),
            ComponentValType::Type(id) => self.defined(*id, depth + 1),
        }
    }

    fn boxed(&mut self, ty: &ComponentValType, depth: usize) -> Read<Box<Type>> {
        self.value(ty, depth).map(Box::new)
    }

    fn maybe(&mut self, ty: &Option<ComponentValType>, depth: usize) -> Read<Option<Box<Type>>> {
        ty.as_ref().map(|ty| self.boxed(ty, depth)).transpose()
    }

    fn defined(&mut self, id: ComponentDefinedTypeId, depth: usize) -> Read<Type> {
        let types = self.types;
        Ok(match &types[id] {
            ComponentDefinedType::Primitive(ty) => primitive(*ty)?,
            ComponentDefinedType::List { element, .. } => Type::List(self.boxed(element, depth)?),
            ComponentDefinedType::Record(record) => {
                let fields = record.fields.iter().map(|(name, ty)| self.field(name, ty, depth));
                Type::Record(fields.collect::<Read<_>>()?)
            }
            ComponentDefinedType::Tuple(tuple) => {
                let parts = tuple.types.iter().map(|ty| self.value(ty, depth));
                Type::Tuple(parts.collect::<Read<_>>()?)
            }
            ComponentDefinedType::Variant(variant) => {
                let cases = variant.cases.iter().map(|(name, case)| {
                    let payload = case.ty.as_ref().map(|ty| self.value(ty, depth)).transpose()?;
                    Ok((name.to_string(), payload))
                });
                Type::Variant(cases.collect::<Read<_>>()?)
            }
            ComponentDefinedType::Enum(cases) => {
                Type::Enum(cases.iter().map(ToString::to_string).collect())
            }
            ComponentDefinedType::Flags(flags) => {
                Type::Flags(flags.iter().map(ToString::to_string).collect())
            }
            ComponentDefinedType::Option { ty, .. } => Type::Option(self.boxed(ty, depth)?),
            ComponentDefinedType::Result { ok, err, .. } => {
                Type::Result(self.maybe(ok, depth)?, self.maybe(err, depth)?)
            }
            ComponentDefinedType::Own(_) | ComponentDefinedType::Borrow(_) => {
                return Err("it uses a resource");
            }
            ComponentDefinedType::Future { .. } | ComponentDefinedType::Stream { .. } => {
                return Err("it uses a future or a stream");
            }
            _ => return Err("it uses a type that Aspen has no values for"),
        })
    }
}

type Read<T> = Result<T, Unsupported>;

fn primitive(ty: PrimitiveValType) -> Read<Type> {
    Ok(match ty {
        PrimitiveValType::Bool => Type::Bool,
        PrimitiveValType::S8 => Type::S8,
        PrimitiveValType::U8 => Type::U8,
        PrimitiveValType::S16 => Type::S16,
        PrimitiveValType::U16 => Type::U16,
        PrimitiveValType::S32 => Type::S32,
        PrimitiveValType::U32 => Type::U32,
        PrimitiveValType::S64 => Type::S64,
        PrimitiveValType::U64 => Type::U64,
        PrimitiveValType::F32 => Type::F32,
        PrimitiveValType::F64 => Type::F64,
        PrimitiveValType::Char => Type::Char,
        PrimitiveValType::String => Type::String,
        PrimitiveValType::ErrorContext => return Err("it uses an error context"),
    })
}
