//! [`Arguments`]: the arguments of a call, checked against the type of the function.
//!
//! Promises that arguments of another type never reach the guest: the call is refused before.

use aspen_core::val::{Val, decode_vals};
use bytes::Bytes;
use wasmtime::component::Val as GuestVal;

use super::convert::lower;
use super::value_fuel::value_fuel;
use crate::compile::compiler::Function;

/// Arguments in the form that the function takes.
pub(crate) enum Arguments {
    /// The one argument of a function that takes bytes in one piece.
    Raw(Bytes),
    /// The arguments, and the fuel of making them in the guest.
    Typed(Vec<GuestVal>, u64),
}

/// Returns encoded arguments in the form that the function takes; `None` if they are not of its type.
pub(crate) fn arguments(function: &Function, args: &Bytes) -> Option<Arguments> {
    let vals = decode_vals(args).ok()?;
    let params = &function.signature.params;
    if let ([Val::Bytes(bytes)], true) = (&vals[..], function.is_raw) {
        return Some(Arguments::Raw(bytes.clone()));
    }
    if vals.len() != params.len() {
        return None;
    }
    let fuel = vals.iter().map(value_fuel).sum();
    let vals = vals.iter().zip(params).map(|(val, param)| lower(val, &param.ty));
    Some(Arguments::Typed(vals.collect::<Option<_>>()?, fuel))
}
