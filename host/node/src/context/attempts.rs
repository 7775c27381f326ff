//! The transactions across shards that this node drives, and whether it may begin more.
//!
//! Promises that an attempt is known here from before its first message until its last, and that
//! while a shard is held, no attempt that the shard coordinates begins. So the shards have no locks
//! once the attempts that had begun are over. A hold ends by itself. A hold is a courtesy, not a
//! promise to others: an attempt of another node that took itself for the leader begins
//! nevertheless.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aspen_core::ids::{ShardId, TxnId, ViewId};
use tokio::sync::Notify;
use tokio::time::Instant;

/// The attempts of this node.
#[derive(Default)]
pub struct Attempts {
    inner: Mutex<Inner>,
    /// An attempt or a hold is over.
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    attempts: BTreeSet<TxnId>,
    /// Committed everywhere: the coordinator's shard may forget them.
    done: BTreeMap<ShardId, Vec<TxnId>>,
    /// Shards that coordinate nothing new: for which view, and until when.
    held: BTreeMap<ShardId, (ViewId, Instant)>,
}

/// Takes an attempt out of [`Attempts`] at its end, however it ends.
pub struct AttemptGuard {
    attempts: Arc<Attempts>,
    pub txn: TxnId,
}

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        self.attempts.inner().attempts.remove(&self.txn);
        self.attempts.changed.notify_waiters();
    }
}

impl Attempts {
    /// Begins an attempt, once its coordinator's shard is not held.
    pub async fn begin(self: &Arc<Self>, txn: TxnId) -> AttemptGuard {
        loop {
            // From here on no change is missed.
            let changed = self.changed.notified();
            let Some(until) = self.try_begin(txn) else {
                return AttemptGuard { attempts: self.clone(), txn };
            };
            // After the time and after a change alike, the next try finds out.
            let _ = tokio::time::timeout(left(until), changed).await;
        }
    }

    /// Returns true if an attempt is under way.
    pub fn has(&self, txn: &TxnId) -> bool {
        self.inner().attempts.contains(txn)
    }

    /// Notes an attempt, unless its shard is held; then returns until when.
    fn try_begin(&self, txn: TxnId) -> Option<Instant> {
        let mut inner = self.inner();
        let until = inner.held.get(&txn.coordinator).map(|(_, until)| *until);
        if let Some(until) = until.filter(|until| Instant::now() < *until) {
            return Some(until);
        }
        inner.attempts.insert(txn);
        None
    }

    /// Notes that every shard has done the decision about a transaction.
    pub fn note_done(&self, txn: TxnId) {
        self.inner().done.entry(txn.coordinator).or_default().push(txn);
    }

    /// Takes the transactions that the coordinator's shard may forget.
    pub fn take_done(&self, shard: ShardId) -> Vec<TxnId> {
        self.inner().done.remove(&shard).unwrap_or_default()
    }

    /// Lets `shard` coordinate nothing new until `until`. Waits until the attempts that the shard
    /// coordinates are over, but not longer than until `patience`.
    pub async fn hold(&self, shard: ShardId, view: ViewId, until: Instant, patience: Instant) {
        self.inner().held.insert(shard, (view, until));
        loop {
            let changed = self.changed.notified();
            let is_busy = self.inner().attempts.iter().any(|txn| txn.coordinator == shard);
            if !is_busy || tokio::time::timeout(left(patience), changed).await.is_err() {
                return;
            }
        }
    }

    /// Ends a hold.
    pub fn release(&self, shard: ShardId, view: ViewId) {
        let mut inner = self.inner();
        if inner.held.get(&shard).is_some_and(|(of, _)| *of == view) {
            inner.held.remove(&shard);
            self.changed.notify_waiters();
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic under the lock")
    }
}

fn left(until: Instant) -> Duration {
    until.saturating_duration_since(Instant::now())
}
