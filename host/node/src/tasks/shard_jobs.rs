//! Jobs about shards, at most one per shard at a time.
//!
//! Promises that a job which takes long holds up no other shard. The jobs run only while
//! [`ShardJobs::next`] is awaited, and they end when their owner is dropped.

use std::collections::BTreeSet;

use aspen_core::ids::ShardId;
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

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    #[test]
    fn shard_is_busy_until_its_job_is_over() {
        let (slow, fast) = (ShardId::new(0), ShardId::new(1));
        let mut jobs = ShardJobs::default();
        assert!(jobs.is_empty() && block_on(jobs.next()).is_none());
        let (sender, receiver) = tokio::sync::oneshot::channel();
        jobs.start(slow, async move { receiver.await.unwrap() });
        jobs.start(fast, async { 7 });
        assert!(jobs.is_busy(slow) && jobs.is_busy(fast));
        assert_eq!(block_on(jobs.next()), Some((fast, 7)), "the slow one holds up no other");
        assert!(jobs.is_busy(slow) && !jobs.is_busy(fast));
        sender.send(8).unwrap();
        assert_eq!(block_on(jobs.next()), Some((slow, 8)));
        assert!(jobs.is_empty());
    }
}
