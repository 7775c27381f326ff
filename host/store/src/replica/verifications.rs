//! The hashes of a shard's state that were asked for last, and how far each is.
//!
//! Promises bounded memory: the oldest request gives way. Leaves out the hashing (`apply/verifier.rs`).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use aspen_core::ids::LogIndex;
use aspen_core::limits::VERIFICATIONS_MAX;
use aspen_core::state::{Header, Resident, Verification};

use super::read_transaction::ReadTransaction;
use crate::sync::lock;

/// One hash that was asked for.
pub struct RequestedVerification {
    index: LogIndex,
    progress: Mutex<Verification>,
    /// The state to hash, until the verifier takes it.
    task: Mutex<Option<VerificationTask>>,
    /// True while a client may still ask for the result.
    is_wanted: AtomicBool,
}

/// A state as of one entry, to be hashed.
pub struct VerificationTask {
    pub transaction: ReadTransaction,
    pub resident: Resident,
    pub header: Header,
}

/// The latest requests.
#[derive(Default)]
pub struct Verifications(Mutex<VecDeque<Arc<RequestedVerification>>>);

impl RequestedVerification {
    /// Hands over the state to hash.
    pub fn give(&self, task: VerificationTask) {
        *lock(&self.task) = Some(task);
    }

    /// Notes how far the hash is.
    pub fn set(&self, progress: Verification) {
        *lock(&self.progress) = progress;
    }

    /// Returns true while a client may still ask for the result.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }
}

impl Verifications {
    /// Notes a request for the hash as of entry `index`, of a state that has `keys` keys then; the oldest
    /// request gives way.
    pub fn begin(&self, index: LogIndex, keys: u64) -> Arc<RequestedVerification> {
        let progress = Mutex::new(Verification::Running { keys: 0, of: keys });
        let (task, is_wanted) = (Mutex::default(), AtomicBool::new(true));
        let begun = Arc::new(RequestedVerification { index, progress, task, is_wanted });
        let mut all = lock(&self.0);
        all.push_back(begun.clone());
        if all.len() > VERIFICATIONS_MAX
            && let Some(oldest) = all.pop_front()
        {
            oldest.is_wanted.store(false, Ordering::Relaxed);
        }
        begun
    }

    /// Returns how far the hash as of an entry is, if the request is known.
    pub fn find(&self, index: LogIndex) -> Option<Verification> {
        let all = lock(&self.0);
        let found = all.iter().find(|verification| verification.index == index)?;
        Some(lock(&found.progress).clone())
    }

    /// Gives up all requests: no client will ask any more.
    pub fn give_up(&self) {
        lock(&self.0).drain(..).for_each(|one| one.is_wanted.store(false, Ordering::Relaxed));
    }

    /// Returns the oldest request whose state nobody has taken yet.
    pub fn next(&self) -> Option<(Arc<RequestedVerification>, VerificationTask)> {
        let all = lock(&self.0);
        all.iter().find_map(|one| Some((one.clone(), lock(&one.task).take()?)))
    }
}
