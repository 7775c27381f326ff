//! A key goes with its lease, by entry time and nothing else.
//!
//! A read of the key in an entry of the log tells the entry's time as well: the key is there if
//! that is before the time at which the lease is over, and gone if it is not.

use aspen_client::Timestamp;

/// A key with a lease that is over at `due`, unless it was kept alive since, was read at `time`.
///
/// # Panics
/// If the key stays too long or goes too early.
pub fn check(key: &str, is_there: bool, time: Timestamp, due: Timestamp) {
    let rest = due.get() as i64 - time.get() as i64;
    assert_eq!(is_there, rest > 0, "leases: {key} with {rest} ms left: is there = {is_there}");
}
