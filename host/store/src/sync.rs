//! Two small parts of every thread's work: taking a lock, and telling another task of an end.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Tells the sender of a request how the request ended.
pub type CompletionSender = oneshot::Sender<io::Result<()>>;

/// Takes a lock. A thread that panicked while it held the lock has stopped its replica by other means.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
