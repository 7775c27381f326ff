//! Converts values between the form of the log and that of wasmtime.
//!
//! Promises that a value of another type than the function's is refused, and that the NaN of a float is
//! always the same one. Leaves out values of types that the upload check refuses.

use aspen_core::function::Type;
use aspen_core::val::Val;
use bytes::Bytes;
use wasmtime::component::Val as GuestVal;

const NAN_32: u32 = 0x7fc0_0000;
const NAN_64: u64 = 0x7ff8_0000_0000_0000;

/// Returns the value as the guest gets it; `None` if it is not of the type.
pub(super) fn lower(val: &Val, ty: &Type) -> Option<GuestVal> {
    let boxed = |val: &Val, ty: &Type| lower(val, ty).map(Box::new);
    Some(match (val, ty) {
        (Val::Bool(truth), Type::Bool) => GuestVal::Bool(*truth),
        (Val::S8(number), Type::S8) => GuestVal::S8(*number),
        (Val::U8(number), Type::U8) => GuestVal::U8(*number),
        (Val::S16(number), Type::S16) => GuestVal::S16(*number),
        (Val::U16(number), Type::U16) => GuestVal::U16(*number),
        (Val::S32(number), Type::S32) => GuestVal::S32(*number),
        (Val::U32(number), Type::U32) => GuestVal::U32(*number),
        (Val::S64(number), Type::S64) => GuestVal::S64(*number),
        (Val::U64(number), Type::U64) => GuestVal::U64(*number),
        (Val::F32(bits), Type::F32) => GuestVal::Float32(f32::from_bits(same_nan_32(*bits))),
        (Val::F64(bits), Type::F64) => GuestVal::Float64(f64::from_bits(same_nan_64(*bits))),
        (Val::Char(char), Type::Char) => GuestVal::Char(*char),
        (Val::String(text), Type::String) => GuestVal::String(text.clone()),
        (Val::Bytes(bytes), Type::List(_)) if ty.is_bytes() => {
            GuestVal::List(bytes.iter().map(|byte| GuestVal::U8(*byte)).collect())
        }
        (Val::List(vals), Type::List(element)) => {
            let vals = vals.iter().map(|val| lower(val, element));
            GuestVal::List(vals.collect::<Option<_>>()?)
        }
        (Val::Record(fields), Type::Record(types)) if fields.len() == types.len() => {
            let fields = fields.iter().zip(types).map(|((name, val), field)| {
                (*name == field.name).then_some(())?;
                Some((name.clone(), lower(val, &field.ty)?))
            });
            GuestVal::Record(fields.collect::<Option<_>>()?)
        }
        (Val::Tuple(vals), Type::Tuple(types)) if vals.len() == types.len() => {
            let vals = vals.iter().zip(types).map(|(val, ty)| lower(val, ty));
            GuestVal::Tuple(vals.collect::<Option<_>>()?)
        }
        (Val::Variant(case, payload), Type::Variant(cases)) => {
            let (_, ty) = cases.iter().find(|(name, _)| name == case)?;
            GuestVal::Variant(case.clone(), maybe(payload, ty.as_ref())?)
        }
        (Val::Enum(case), Type::Enum(cases)) => {
            cases.contains(case).then(|| GuestVal::Enum(case.clone()))?
        }
        (Val::Option(None), Type::Option(_)) => GuestVal::Option(None),
        (Val::Option(Some(val)), Type::Option(ty)) => GuestVal::Option(Some(boxed(val, ty)?)),
        (Val::Result(Ok(val)), Type::Result(ty, _)) => {
            GuestVal::Result(Ok(maybe(val, ty.as_deref())?))
        }
        (Val::Result(Err(val)), Type::Result(_, ty)) => {
            GuestVal::Result(Err(maybe(val, ty.as_deref())?))
        }
        (Val::Flags(set), Type::Flags(flags)) => {
            // In declared order and once each: one value has one form.
            let mut rest = flags.iter();
            let is_good = set.iter().all(|flag| rest.any(|declared| declared == flag));
            is_good.then(|| GuestVal::Flags(set.clone()))?
        }
        _ => return None,
    })
}

/// Returns a payload, which exists exactly if its type does.
fn maybe(val: &Option<Box<Val>>, ty: Option<&Type>) -> Option<Option<Box<GuestVal>>> {
    match (val, ty) {
        (None, None) => Some(None),
        (Some(val), Some(ty)) => Some(Some(Box::new(lower(val, ty)?))),
        _ => None,
    }
}

/// Returns the value as the log holds it; `None` if it is of no type that functions may have.
pub(super) fn lift(val: GuestVal, ty: &Type) -> Option<Val> {
    let boxed = |val: Option<Box<GuestVal>>, ty: Option<&Type>| match (val, ty) {
        (None, None) => Some(None),
        (Some(val), Some(ty)) => Some(Some(Box::new(lift(*val, ty)?))),
        _ => None,
    };
    Some(match (val, ty) {
        (GuestVal::Bool(truth), _) => Val::Bool(truth),
        (GuestVal::S8(number), _) => Val::S8(number),
        (GuestVal::U8(number), _) => Val::U8(number),
        (GuestVal::S16(number), _) => Val::S16(number),
        (GuestVal::U16(number), _) => Val::U16(number),
        (GuestVal::S32(number), _) => Val::S32(number),
        (GuestVal::U32(number), _) => Val::U32(number),
        (GuestVal::S64(number), _) => Val::S64(number),
        (GuestVal::U64(number), _) => Val::U64(number),
        (GuestVal::Float32(float), _) => Val::F32(same_nan_32(float.to_bits())),
        (GuestVal::Float64(float), _) => Val::F64(same_nan_64(float.to_bits())),
        (GuestVal::Char(char), _) => Val::Char(char),
        (GuestVal::String(text), _) => Val::String(text),
        (GuestVal::List(vals), ty) if ty.is_bytes() => {
            let bytes = vals.into_iter().map(|val| match val {
                GuestVal::U8(byte) => Some(byte),
                _ => None,
            });
            Val::Bytes(Bytes::from(bytes.collect::<Option<Vec<u8>>>()?))
        }
        (GuestVal::List(vals), Type::List(element)) => {
            let vals = vals.into_iter().map(|val| lift(val, element));
            Val::List(vals.collect::<Option<_>>()?)
        }
        (GuestVal::Record(fields), Type::Record(types)) => {
            let fields = fields.into_iter().zip(types);
            let fields = fields.map(|((name, val), field)| Some((name, lift(val, &field.ty)?)));
            Val::Record(fields.collect::<Option<_>>()?)
        }
        (GuestVal::Tuple(vals), Type::Tuple(types)) => {
            let vals = vals.into_iter().zip(types).map(|(val, ty)| lift(val, ty));
            Val::Tuple(vals.collect::<Option<_>>()?)
        }
        (GuestVal::Variant(case, payload), Type::Variant(cases)) => {
            let (_, ty) = cases.iter().find(|(name, _)| *name == case)?;
            Val::Variant(case, boxed(payload, ty.as_ref())?)
        }
        (GuestVal::Enum(case), _) => Val::Enum(case),
        (GuestVal::Option(None), _) => Val::Option(None),
        (GuestVal::Option(val), Type::Option(ty)) => Val::Option(boxed(val, Some(ty))?),
        (GuestVal::Result(Ok(val)), Type::Result(ty, _)) => {
            Val::Result(Ok(boxed(val, ty.as_deref())?))
        }
        (GuestVal::Result(Err(val)), Type::Result(_, ty)) => {
            Val::Result(Err(boxed(val, ty.as_deref())?))
        }
        (GuestVal::Flags(flags), _) => Val::Flags(flags),
        _ => return None,
    })
}

fn same_nan_32(bits: u32) -> u32 {
    if f32::from_bits(bits).is_nan() { NAN_32 } else { bits }
}

fn same_nan_64(bits: u64) -> u64 {
    if f64::from_bits(bits).is_nan() { NAN_64 } else { bits }
}

#[cfg(test)]
mod tests {
    use aspen_core::function::Field;

    use super::*;

    fn text(text: &str) -> String {
        text.into()
    }

    /// Each value with its type, and with a similar value of another type.
    fn samples() -> Vec<(Val, Type, Val)> {
        let list = |ty| Type::List(Box::new(ty));
        let some = |val| Some(Box::new(val));
        let field = |name: &str, ty| Field { name: name.into(), ty };
        vec![
            (Val::Bool(true), Type::Bool, Val::U8(1)),
            (Val::U64(7), Type::U64, Val::U32(7)),
            (Val::F32(1.5f32.to_bits()), Type::F32, Val::F64(0)),
            (Val::F64(2.5f64.to_bits()), Type::F64, Val::F32(0)),
            (Val::Char('x'), Type::Char, Val::from("x")),
            (Val::from("x"), Type::String, Val::Char('x')),
            (Val::Bytes(Bytes::from_static(b"ab")), list(Type::U8), Val::List(vec![Val::U16(1)])),
            (Val::List(vec![Val::U64(1)]), list(Type::U64), Val::List(vec![Val::U8(1)])),
            (
                Val::Record(vec![(text("a"), Val::U8(1))]),
                Type::Record(vec![field("a", Type::U8)]),
                Val::Record(vec![(text("b"), Val::U8(1))]),
            ),
            (
                Val::Tuple(vec![Val::U8(1)]),
                Type::Tuple(vec![Type::U8]),
                Val::Tuple(vec![Val::U8(1), Val::U8(2)]),
            ),
            (
                Val::Variant(text("a"), some(Val::U8(1))),
                Type::Variant(vec![(text("a"), Some(Type::U8)), (text("b"), None)]),
                Val::Variant(text("b"), some(Val::U8(1))),
            ),
            (Val::Enum(text("a")), Type::Enum(vec![text("a")]), Val::Enum(text("b"))),
            (
                Val::Option(some(Val::U8(1))),
                Type::Option(Box::new(Type::U8)),
                Val::Option(some(Val::U16(1))),
            ),
            (
                Val::Result(Err(some(Val::from("no")))),
                Type::Result(None, Some(Box::new(Type::String))),
                Val::Result(Ok(some(Val::from("no")))),
            ),
            (
                Val::Flags(vec![text("a"), text("c")]),
                Type::Flags(vec![text("a"), text("b"), text("c")]),
                Val::Flags(vec![text("c"), text("a")]),
            ),
        ]
    }

    #[test]
    fn values_of_their_type_round_trip_and_others_are_refused() {
        for (val, ty, wrong) in samples() {
            let lowered = lower(&val, &ty);
            assert_eq!(lowered.and_then(|lowered| lift(lowered, &ty)), Some(val.clone()));
            assert!(lower(&wrong, &ty).is_none(), "{wrong:?} is no {ty}");
        }
    }

    #[test]
    fn every_nan_becomes_the_same() {
        for bits in [f64::NAN.to_bits() | 1, (-f64::NAN).to_bits(), NAN_64] {
            let lowered = lower(&Val::F64(bits), &Type::F64).and_then(|val| lift(val, &Type::F64));
            assert_eq!(lowered, Some(Val::F64(NAN_64)));
        }
        assert_eq!(lift(GuestVal::Float32(-f32::NAN), &Type::F32), Some(Val::F32(NAN_32)));
    }
}
