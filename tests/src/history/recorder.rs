//! A log that concurrent clients write their transactions to, with a logical clock.
//!
//! Promises that the recorded time of a transaction includes the real one: it is invoked before
//! anything is sent, and completed after its outcome is there. One tick per event is enough for the
//! order of time within one process. A transaction whose task goes away without a word is recorded
//! with an unknown outcome and the writes that it was about to make.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::history::{History, Operation, Outcome, Transaction};

/// Collects a history. Cheap to clone; clones write to one log.
#[derive(Clone, Debug)]
pub struct Recorder {
    log: Arc<Log>,
}

#[derive(Debug)]
struct Log {
    shards: u16,
    clock: AtomicU64,
    transactions: Mutex<Vec<Transaction>>,
}

/// A transaction under way.
#[derive(Debug)]
#[must_use = "dropped at once, its outcome is unknown"]
pub struct Running {
    log: Arc<Log>,
    process: u64,
    invoked: u64,
    /// The operations that it may have done, if its end is never told.
    attempt: Vec<Operation>,
    is_ended: bool,
}

impl Recorder {
    /// An empty log, for a cluster of this many shards.
    pub fn new(shards: u16) -> Self {
        let transactions = Mutex::new(vec![]);
        Self { log: Arc::new(Log { shards, clock: AtomicU64::new(1), transactions }) }
    }

    /// A client, by a number of its own, begins a transaction: to be called before it sends anything.
    pub fn begin(&self, process: u64) -> Running {
        let log = self.log.clone();
        Running { process, invoked: log.tick(), log, attempt: vec![], is_ended: false }
    }

    /// Returns the last transaction of a client.
    pub fn last(&self, process: u64) -> Option<Transaction> {
        let transactions = self.log.lock();
        transactions.iter().rev().find(|transaction| transaction.process == process).cloned()
    }

    /// Everything that has ended so far, in the order of its ends.
    pub fn history(&self) -> History {
        History { shards: self.log.shards, transactions: self.log.lock().clone() }
    }
}

impl Running {
    /// Notes a request that is about to be sent: it may happen even if nobody hears of it.
    pub fn attempt(&mut self, operations: Vec<Operation>) {
        self.attempt = operations;
    }

    /// The outcome is known, with everything that was read and written.
    pub fn end(mut self, outcome: Outcome, operations: Vec<Operation>) {
        self.write(outcome, operations);
    }

    fn write(&mut self, outcome: Outcome, operations: Vec<Operation>) {
        self.is_ended = true;
        let (process, invoked) = (self.process, self.invoked);
        let mut transactions = self.log.lock();
        let completed = self.log.tick();
        transactions.push(Transaction { process, invoked, completed, outcome, operations });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_ended {
            let attempt = std::mem::take(&mut self.attempt);
            self.write(Outcome::Unknown, attempt);
        }
    }
}

impl Log {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// A client that panicked has not spoiled the log: it is only ever appended to.
    fn lock(&self) -> MutexGuard<'_, Vec<Transaction>> {
        self.transactions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
