//! Jobs about shards, at most one per shard at a time.
//!
//! Promises that a job which takes long holds up no other shard. The jobs run only while
//! [`ShardJobs::next`] is awaited, and they end when their owner is dropped.

use std::collections::BTreeSet;

use aspen_core::ShardId;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};

/// The jobs that run now. Each gives a `T`.
pub struct ShardJobs<T> {
    busy: BTreeSet<ShardId>,
    running: FuturesUnordered<BoxFuture<'static, (ShardId, T)>>,
}

impl<T> Default for ShardJobs<T> {
    fn default() -> Self {
        Self { busy: BTreeSet::new(), running: FuturesUnordered::new() }
    }
}

impl<T> ShardJobs<T> {
    /// True if a job of `shard` runs.
    pub fn is_busy(&self, shard: ShardId) -> bool {
        self.busy.contains(&shard)
    }

    /// True if no job runs.
    pub fn is_empty(&self) -> bool {
        self.busy.is_empty()
    }

    /// Starts a job of `shard`. No job of that shard may run.
    pub fn start(&mut self, shard: ShardId, job: impl Future<Output = T> + Send + 'static) {
        let is_new = self.busy.insert(shard);
        debug_assert!(is_new, "one job per shard");
        self.running.push(Box::pin(async move { (shard, job.await) }));
    }

    /// Waits until a job is over; returns its shard and its result, or `None` at once if no job
    /// runs. May be cancelled: no result is lost.
    pub async fn next(&mut self) -> Option<(ShardId, T)> {
        let (shard, result) = self.running.next().await?;
        self.busy.remove(&shard);
        Some((shard, result))
    }
}
