//! A caller's keys, values and names as types that hold their limits.

use aspen_core::ids::Name;
use aspen_core::key::{Key, Value};
use bytes::Bytes;

use crate::error::Invalid;

pub fn to_key(key: impl AsRef<[u8]>) -> Result<Key, Invalid> {
    Ok(Key::new(Bytes::copy_from_slice(key.as_ref()))?)
}

pub fn to_value(value: impl AsRef<[u8]>) -> Result<Value, Invalid> {
    Ok(Value::new(Bytes::copy_from_slice(value.as_ref()))?)
}

pub fn to_name(name: &str) -> Result<Name, Invalid> {
    Ok(Name::new(name)?)
}
