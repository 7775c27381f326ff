//! One operation on every shard: in turn, or at the same time.

use std::future::Future;

use aspen_core::ids::ShardId;
use futures::future::try_join_all;

use crate::client::Client;
use crate::error::RequestError;

impl Client {
    /// Does `each` on one shard after the other, in order, and stops at the first error. For changes:
    /// the shards before the error have the change.
    pub(crate) async fn on_each_shard<T, E, F>(
        &self,
        each: impl Fn(ShardId) -> F,
    ) -> Result<Vec<T>, E>
    where
        F: Future<Output = Result<T, E>>,
    {
        let mut all = vec![];
        for shard in self.router().all() {
            all.push(each(shard).await?);
        }
        Ok(all)
    }

    /// Asks all shards at the same time. Returns the answers in order of shards, or the first error.
    pub(crate) async fn ask_all_shards<T, F>(
        &self,
        ask: impl Fn(ShardId) -> F,
    ) -> Result<Vec<T>, RequestError>
    where
        F: Future<Output = Result<T, RequestError>>,
    {
        try_join_all(self.router().all().map(ask)).await
    }
}
