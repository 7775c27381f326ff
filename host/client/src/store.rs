//! [`KeyValueStore`]: the operations that every store of Aspen has.
//!
//! Code that is written against it works with a [`Client`] of a cluster far away, and with a node in its
//! own process (`aspen_node::ShardedRaftNode`), alone or one of many. Promises as [`Client`] does
//! linearizable reads, and strictly serializable writes over any number of shards, each applied exactly
//! once. Leaves out operations that only some programs need: pages, leases, closures, administration.

use std::future::Future;

use aspen_core::key::KeyRange;
use aspen_core::protocol::Item;
use aspen_core::transaction::Transact;
use aspen_core::val::Val;
use aspen_core::view::Record;

use crate::client::Client;
use crate::error::{CallError, RequestError, WriteError};
use crate::functions::CallReply;
use crate::scan::ScanOptions;
use crate::writes::{Commit, WriteReply};

/// A strictly serializable key-value store with functions.
pub trait KeyValueStore: Send + Sync {
    /// Returns the record of a key, if it exists.
    fn get(&self, key: &[u8]) -> impl Future<Output = Result<Option<Record>, RequestError>> + Send;

    /// Returns the entries of a range, in the order of keys.
    fn scan(
        &self,
        range: KeyRange,
        options: ScanOptions,
    ) -> impl Future<Output = Result<Vec<Item>, RequestError>> + Send;

    /// Writes one key.
    fn put(
        &self,
        key: &[u8],
        value: &[u8],
    ) -> impl Future<Output = Result<WriteReply, WriteError>> + Send;

    /// Removes one key; it need not exist.
    fn delete(&self, key: &[u8]) -> impl Future<Output = Result<WriteReply, WriteError>> + Send;

    /// Does a transaction, on one shard or across shards.
    fn write(&self, transact: Transact) -> impl Future<Output = Result<Commit, WriteError>> + Send;

    /// Calls a function on the shard of `key`.
    fn call(
        &self,
        component: &str,
        function: &str,
        key: &[u8],
        args: &[Val],
    ) -> impl Future<Output = Result<CallReply, CallError>> + Send;
}

impl KeyValueStore for Client {
    async fn get(&self, key: &[u8]) -> Result<Option<Record>, RequestError> {
        Client::get(self, key).await
    }

    async fn scan(&self, range: KeyRange, options: ScanOptions) -> Result<Vec<Item>, RequestError> {
        Client::scan(self, range, options).await
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<WriteReply, WriteError> {
        Client::put(self, key, value).await
    }

    async fn delete(&self, key: &[u8]) -> Result<WriteReply, WriteError> {
        Client::delete(self, key).await
    }

    async fn write(&self, transact: Transact) -> Result<Commit, WriteError> {
        Client::write(self, transact).await
    }

    async fn call(
        &self,
        component: &str,
        function: &str,
        key: &[u8],
        args: &[Val],
    ) -> Result<CallReply, CallError> {
        Client::call(self, component, function, key, args).await
    }
}
