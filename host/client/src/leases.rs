//! Leases: keys that are removed together when no client keeps the lease alive.
//!
//! ```no_run
//! # async fn example(client: aspen_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! let lease = client.grant_lease("workers/7", Duration::from_secs(10)).await?;
//! client.put_expiring("workers/7", "10.0.0.7", lease.into()).await?;
//! client.keep_alive(lease).await?; // within every 10 s, or the key is removed
//! client.put_expiring("code/1234", "ada", aspen_client::after(Duration::from_secs(300))).await?;
//! # Ok(()) }
//! ```

use std::time::Duration;

use aspen_core::ids::{LeaseId, ShardId, Timestamp};
use aspen_core::protocol::{LeaseInfo, Request, Response};
use aspen_core::transaction::{Expiry, Operation, OperationResult, Transact};
use snafu::OptionExt;

use crate::arguments::to_key;
use crate::client::Client;
use crate::error::*;

/// A lease on one shard. Only keys that live there can be attached to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub shard: ShardId,
    /// Its id on the shard.
    pub id: LeaseId,
}

/// Attaches a key: `client.put_expiring(key, value, lease.into())`.
impl From<Lease> for Expiry {
    fn from(lease: Lease) -> Expiry {
        Expiry::Lease(lease.id)
    }
}

/// Removes a key after this time, in milliseconds.
pub fn after(ttl: Duration) -> Expiry {
    Expiry::After(millis(ttl))
}

fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)
}

impl Client {
    /// Grants a lease on the shard of the key `near`, which need not exist. The lease ends `ttl` after
    /// it was granted or last kept alive, 1 ms to ten years, and its keys are removed with it.
    pub async fn grant_lease(
        &self,
        near: impl AsRef<[u8]>,
        ttl: Duration,
    ) -> Result<Lease, WriteError> {
        let shard = self.router().shard(to_key(near)?.as_bytes());
        let grant = Operation::Grant { ttl_ms: millis(ttl) };
        match self.lease_operation(shard, grant).await? {
            OperationResult::Granted { lease } => Ok(Lease { shard, id: lease }),
            _ => Err(RequestError::Protocol.into()),
        }
    }

    /// Lets a lease run its whole time again. Returns the entry time at which it will end.
    pub async fn keep_alive(&self, lease: Lease) -> Result<Timestamp, WriteError> {
        match self.lease_operation(lease.shard, Operation::KeepAlive(lease.id)).await? {
            OperationResult::KeptAlive { due } => Ok(due),
            _ => Err(RequestError::Protocol.into()),
        }
    }

    /// Ends a lease and removes its keys. Returns their number.
    pub async fn revoke_lease(&self, lease: Lease) -> Result<u64, WriteError> {
        match self.lease_operation(lease.shard, Operation::Revoke(lease.id)).await? {
            OperationResult::Revoked { keys } => Ok(keys),
            _ => Err(RequestError::Protocol.into()),
        }
    }

    /// Returns the time left of a lease, and its keys; `None` if the lease ended.
    pub async fn lease(&self, lease: Lease) -> Result<Option<LeaseInfo>, RequestError> {
        let request = Request::Lease { shard: lease.shard, lease: lease.id };
        match self.ask(lease.shard, &request).await? {
            Response::Lease(info) => Ok(info),
            _ => ProtocolSnafu.fail(),
        }
    }

    async fn lease_operation(
        &self,
        shard: ShardId,
        operation: Operation,
    ) -> Result<OperationResult, WriteError> {
        let transact = Transact { then: vec![operation], ..Transact::default() };
        let mut committed = self.write_to(shard, transact).await?;
        Ok(committed.results.pop().context(ProtocolSnafu)?)
    }
}
