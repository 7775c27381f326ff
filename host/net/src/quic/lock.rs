//! Locking the mutexes of the transport.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks. The data behind a poisoned lock is still consistent: no lock of this transport is held
/// across an operation that can panic half-way.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
