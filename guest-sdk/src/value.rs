//! Values as types: numbers of 8 bytes, postcard, JSON.
//!
//! Promises that a value of another type is never read as the wanted one: the call ends instead. Going
//! on with a wrong value would be worse.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Returns a value that is a number of 8 bytes, little endian.
pub(crate) fn number(value: &[u8]) -> u64 {
    u64::from_le_bytes(value.try_into().expect("value is a number of 8 bytes"))
}

/// Returns the value of `key`, which is postcard and nothing more.
pub(crate) fn from_postcard<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> T {
    match postcard::take_from_bytes(value) {
        Ok((decoded, [])) => decoded,
        Ok(_) => undecodable::<T>(key, &"bytes are left over"),
        Err(error) => undecodable::<T>(key, &error),
    }
}

/// Returns the bytes of a value in postcard.
pub(crate) fn to_postcard<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    postcard::to_allocvec(value).expect("the type can be written in postcard")
}

/// Returns the value of `key`, which is JSON.
pub(crate) fn from_json<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> T {
    let decoded = serde_json::from_slice(value);
    decoded.unwrap_or_else(|error| undecodable::<T>(key, &error))
}

/// Returns the bytes of a value in JSON.
pub(crate) fn to_json<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("the type can be written in JSON")
}

/// Ends the call. Inside a node nobody reads the text, so there it has no details.
#[expect(clippy::panic, reason = "a panic ends the call, which the caller of `get_as` is told")]
fn undecodable<T>(key: &[u8], why: &dyn std::fmt::Display) -> ! {
    if cfg!(target_arch = "wasm32") {
        panic!("value is of another type");
    }
    let (key, name) = (key.escape_ascii(), std::any::type_name::<T>());
    panic!("value of {key} is no {name}: {why}");
}
