//! The facts that the log entry gives a call: revision, time, chance, caller.
//!
//! Promises that every replica sees the same. In a native test the values come from
//! [`crate::testing::Harness`].

use crate::imports;

/// Returns the revision that this call's writes will have.
pub fn revision() -> u64 {
    imports::revision()
}

/// Returns the entry time: milliseconds since 1970-01-01 UTC, stamped by the leader, never going back.
pub fn time_ms() -> u64 {
    imports::time_ms()
}

/// Returns a random number that the leader drew for this entry. Derive all chance from it.
pub fn seed() -> u64 {
    imports::seed()
}

/// Returns the caller: an ed25519 public key; all zero inside the node's own process.
pub fn caller() -> [u8; 32] {
    imports::caller().try_into().expect("the host gives 32 bytes")
}

/// Logs a line for the operator of this node. A node keeps the first 64 lines of a call, 256 bytes of each.
/// They are not replicated and not part of the result.
pub fn log(line: impl AsRef<str>) {
    imports::log(line.as_ref());
}
