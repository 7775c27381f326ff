//! Appends to a list are in one order, each of them once.
//!
//! Every list that was read is the beginning of every longer one; an element that was acknowledged is
//! in it, and no element is in it twice. Source of the workload: Kingsbury and Alvaro, "Elle", 2020.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The longest read and the acknowledged appends of one list. A clone is another handle.
#[derive(Clone, Debug, Default)]
pub struct ListTally(Arc<Mutex<ListReads>>);

/// See [`ListTally`].
#[derive(Debug, Default)]
struct ListReads {
    longest: Vec<String>,
    acknowledged: BTreeSet<String>,
}

impl ListTally {
    /// Notes that an append was acknowledged.
    pub fn acknowledged(&self, element: &str) {
        self.lock().acknowledged.insert(element.to_string());
    }

    /// Compares a read of the list with everything noted before.
    ///
    /// # Panics
    /// If the read contradicts it.
    pub fn check(&self, list: &[String]) {
        let mut known = self.lock();
        let common = list.len().min(known.longest.len());
        let (a, b) = (&list[..common], &known.longest[..common]);
        assert_eq!(a, b, "lists: two reads disagree on the order");
        let once: BTreeSet<&String> = list.iter().collect();
        assert_eq!(once.len(), list.len(), "lists: an element is there twice: {list:?}");
        if list.len() > known.longest.len() {
            known.longest = list.to_vec();
        }
    }

    /// As [`Self::check`], once nothing is under way: everything acknowledged exists.
    pub fn check_end(&self, list: &[String]) {
        self.check(list);
        let found: BTreeSet<String> = list.iter().cloned().collect();
        let known = self.lock();
        let lost: Vec<_> = known.acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "lists: acknowledged appends are lost: {lost:?}");
    }

    fn lock(&self) -> MutexGuard<'_, ListReads> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
