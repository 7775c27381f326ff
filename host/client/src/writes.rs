//! Writes: one key, or a transaction in one request.
//!
//! Promises that a write is applied exactly once, or ends in an error that says if it may have been
//! applied. A transaction on several shards is committed on all of them or on none. Leaves out
//! transactions that read first (`transaction.rs`).

use aspen_core::ids::{Revision, ShardId, Timestamp, Version};
use aspen_core::protocol::{Command, Outcome, Request};
use aspen_core::transaction::{Expiry, Operation, OperationResult, Transact, WriteOp};
use snafu::{OptionExt, ensure};

use crate::arguments::{to_key, to_value};
use crate::client::Client;
use crate::error::*;

/// The shard that decides a transaction.
enum Home {
    One(ShardId),
    Many { coordinator: ShardId },
}

/// A committed write of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteReply {
    /// The shard's revision after it.
    pub revision: Revision,
    /// After a put the key's version; after a delete the version that was removed, 0 if none was.
    pub version: Version,
}

/// A committed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The shard's revision after it.
    pub revision: Revision,
    /// Entry time of the commit.
    pub time: Timestamp,
    /// True if every read held. Of compare, then, else it tells which branch was done.
    pub succeeded: bool,
    /// One per operation done, in order.
    pub results: Vec<OperationResult>,
}

impl Client {
    /// Writes one key.
    pub async fn put(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<WriteReply, WriteError> {
        let value = to_value(value)?;
        self.write_one(WriteOp::set(to_key(key)?, value)).await
    }

    /// Removes one key; it need not exist.
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<WriteReply, WriteError> {
        self.write_one(WriteOp::Delete { key: to_key(key)? }).await
    }

    /// Writes one key that is removed again after a time, or with a lease.
    pub async fn put_expiring(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        expiry: Expiry,
    ) -> Result<WriteReply, WriteError> {
        let (key, value) = (to_key(key)?, to_value(value)?);
        self.write_one(WriteOp::Set { key, value, expiry }).await
    }

    async fn write_one(&self, write: WriteOp) -> Result<WriteReply, WriteError> {
        let Commit { revision, results, .. } = self.write(Transact::writes([write])).await?;
        match results[..] {
            [OperationResult::Written { version } | OperationResult::Deleted { version }] => {
                Ok(WriteReply { revision, version })
            }
            _ => Err(RequestError::Protocol.into()),
        }
    }

    /// Does a write: any form of [`aspen_core::transaction::WriteCommand`], or the command of a
    /// [`aspen_core::transaction::TransactionBuilder`].
    ///
    /// If its keys live on several shards it is committed on all of them or on none: that takes two
    /// round trips through logs instead of one. A conflict is an error here; `transaction()` returns a
    /// conflict as an outcome.
    pub async fn write(&self, command: impl Into<Transact>) -> Result<Commit, WriteError> {
        let transact: Transact = command.into();
        let home = self.home(&transact)?;
        self.write_at(home, transact).await
    }

    /// Writes as [`Self::write`] on a known shard: for commands that name no key.
    pub(crate) async fn write_to(
        &self,
        shard: ShardId,
        transact: Transact,
    ) -> Result<Commit, WriteError> {
        self.write_at(Home::One(shard), transact).await
    }

    async fn write_at(&self, home: Home, transact: Transact) -> Result<Commit, WriteError> {
        transact.check().map_err(|refusal| RefusalSnafu { refusal }.build())?;
        let outcome = match home {
            Home::One(shard) => self.propose(shard, &Command::Transact(transact)).await?,
            Home::Many { coordinator: shard } => {
                let across =
                    |request| Request::Across { shard, request, transact: transact.clone() };
                self.propose_as(shard, across).await?
            }
        };
        match outcome {
            Outcome::Committed { revision, time, succeeded, results } => {
                Ok(Commit { revision, time, succeeded, results })
            }
            Outcome::Conflict { revision, conflicts } => {
                ConflictSnafu { revision, conflicts }.fail()
            }
            Outcome::Refused(refusal) => RefusalSnafu { refusal }.fail(),
            _ => Err(RequestError::Protocol.into()),
        }
    }

    /// Returns the shard that decides a transaction. Across shards the coordinator is a shard that the
    /// transaction writes to: that one writes a log entry less.
    fn home(&self, transact: &Transact) -> Result<Home, Invalid> {
        let is_empty = transact.reads.is_empty() && transact.operations().next().is_none();
        ensure!(!is_empty, EmptySnafu);
        let router = self.router();
        let operations = transact.operations().filter_map(Operation::key);
        let operations = operations.map(|key| Some(router.shard(key.as_bytes())));
        let reads = transact.reads.iter().map(|read| read.shard(router));
        let mut shards = operations.chain(reads);
        let first = shards.next().unwrap_or_else(|| router.only());
        let first = first.context(ManyShardsSnafu)?;
        let mut is_one = true;
        for shard in shards {
            is_one &= shard.context(ManyShardsSnafu)? == first;
        }
        Ok(if is_one { Home::One(first) } else { Home::Many { coordinator: first } })
    }
}
