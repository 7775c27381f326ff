//! What the log entry says about the call: revision, time, chance, caller.
//!
//! Promises that every replica sees the same. In a native test the values come from
//! [`crate::testing::Harness`].

#[cfg(target_arch = "wasm32")]
use crate::raw::context as imports;
#[cfg(not(target_arch = "wasm32"))]
use crate::testing as imports;

/// The revision that this call's writes will have.
pub fn revision() -> u64 {
    imports::revision()
}

/// Entry time: milliseconds since 1970-01-01 UTC, stamped by the leader, never going back.
pub fn time_ms() -> u64 {
    imports::time_ms()
}

/// A random number that the leader drew for this entry. Derive all chance from it.
pub fn seed() -> u64 {
    imports::seed()
}

/// Who asked: an ed25519 public key; all zero inside the node's own process.
pub fn caller() -> [u8; 32] {
    imports::caller().try_into().expect("the host gives 32 bytes")
}

/// A line for the operator of this node: the first 64 lines of a call, 256 bytes of each. It is not
/// replicated and not part of the result.
pub fn log(line: impl AsRef<str>) {
    imports::log(line.as_ref());
}
