//! The price of a value that crosses the border of the guest part by part.
//!
//! Arguments and results pay it, besides the price of their bytes. Bytes in one piece
//! (`func(list<u8>) -> result<list<u8>, string>`) do not.

use aspen_core::val::Val;

use crate::profile::prices::{SLOW_BYTE_FUEL, VALUE_FUEL};

/// Returns the fuel of making a value with all its parts.
pub(super) fn value_fuel(val: &Val) -> u64 {
    let inside = match val {
        Val::Bytes(bytes) => SLOW_BYTE_FUEL * bytes.len() as u64,
        Val::List(vals) | Val::Tuple(vals) => vals.iter().map(value_fuel).sum(),
        Val::Record(fields) => fields.iter().map(|(_, val)| value_fuel(val)).sum(),
        Val::Variant(_, Some(val)) | Val::Option(Some(val)) => value_fuel(val),
        Val::Result(Ok(Some(val)) | Err(Some(val))) => value_fuel(val),
        _ => 0,
    };
    VALUE_FUEL + inside
}
