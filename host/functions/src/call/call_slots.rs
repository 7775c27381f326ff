//! [`CallSlots`]: how many calls of a class run at once in this process.
//!
//! Promises that no more calls run than the pool of instances has slots for. More calls wait, in no
//! fixed order; a call that waits holds nothing that another call needs.

use std::sync::{Condvar, Mutex, PoisonError};

use crate::profile::class::Class;

/// The slots of one class of components.
pub(crate) struct CallSlots {
    count: usize,
    taken: Mutex<usize>,
    /// Tells that a slot is free again.
    freed: Condvar,
}

/// A slot that a call holds until this is dropped.
pub(crate) struct CallSlot<'a>(&'a CallSlots);

impl CallSlots {
    /// The slots of a class, all of them free.
    pub(crate) fn new(class: Class) -> CallSlots {
        let count = class.limits().calls_at_once;
        CallSlots { count, taken: Mutex::default(), freed: Condvar::new() }
    }

    /// Waits for a free slot and takes it.
    pub(crate) fn take(&self) -> CallSlot<'_> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = |taken: &mut usize| *taken >= self.count;
        let taken = self.freed.wait_while(taken, is_full);
        *taken.unwrap_or_else(PoisonError::into_inner) += 1;
        CallSlot(self)
    }
}

impl Drop for CallSlot<'_> {
    fn drop(&mut self) {
        *self.0.taken.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.freed.notify_one();
    }
}
