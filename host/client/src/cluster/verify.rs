//! Verification: comparing the whole state of all replicas of a shard, as of one log entry.
//!
//! Promises that the hashes compared are of the same entry, and that each replica of the placement map is
//! named, with its hash or the reason why it has none. The shard works on meanwhile; every replica reads
//! its whole state once. Leaves out the repair of a difference, and damage of the log's bytes: they have
//! checksums of their own.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use aspen_core::ids::{LogIndex, NodeId, ShardId};
use aspen_core::protocol::{Request, Response};
use aspen_core::state::{StateHash, Verification};
use aspen_net::{Backoff, PeerAddr};
use futures::future::join_all;
use snafu::{OptionExt, Snafu};
use tokio::time::{Instant, sleep};

use crate::client::Client;
use crate::error::*;

/// First pause before a replica is asked again; doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// See [`PAUSE_MIN`].
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// The hashes of all replicas of a shard, as of one entry.
#[derive(Debug)]
pub struct ShardVerification {
    pub shard: ShardId,
    /// The entry.
    pub index: LogIndex,
    /// One per replica, by node.
    pub replicas: Vec<ReplicaVerification>,
}

/// The hash of one replica.
#[derive(Debug)]
pub struct ReplicaVerification {
    /// The node that has the replica.
    pub node: NodeId,
    /// Its address, `hex@ip:port`.
    pub address: String,
    /// The hash of its whole state.
    pub found: Result<StateHash, VerificationError>,
}

/// Why a replica has no hash.
#[derive(Debug, Snafu)]
pub enum VerificationError {
    /// The node does not answer.
    #[snafu(display("it does not answer: {last}"))]
    NotReached {
        /// The failure of the last attempt.
        last: String,
    },
    /// The replica did not apply the entry, nor any other, for the client's time limit.
    #[snafu(display("it is behind: entry {} is the last that it has applied", applied.get()))]
    Lags {
        /// The last entry that it has applied.
        applied: LogIndex,
    },
    /// The replica did not read one key in the client's time limit: others are verified on its node.
    #[snafu(display("it made no progress in {waited:?}"))]
    Stalled {
        /// The limit.
        waited: Duration,
    },
    /// The replica restarted, got beyond the entry by a snapshot, or began two other verifications since.
    #[snafu(display("it restarted meanwhile, or took a snapshot: verify again"))]
    Gone,
    /// The replica failed. A damaged row that was found is a failure too.
    #[snafu(display("it has failed: {reason}"))]
    ReplicaFailed {
        /// The node's own words.
        reason: String,
    },
}

/// The progress of all replicas of a shard together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyProgress {
    pub shard: ShardId,
    /// Keys read.
    pub keys: u64,
    /// Keys in all, as far as known.
    pub of: u64,
}

impl ShardVerification {
    /// Returns the hash that a majority of the replicas has; replicas without a hash count too.
    pub fn majority(&self) -> Option<&StateHash> {
        let hashes = || self.replicas.iter().filter_map(|replica| replica.found.as_ref().ok());
        let count = |hash: &StateHash| hashes().filter(|other| *other == hash).count();
        hashes().find(|hash| count(hash) > self.replicas.len() / 2)
    }

    /// Returns the nodes whose hash is not that of the majority. Without a majority: all nodes with a
    /// hash, if the hashes are not all equal.
    pub fn differing(&self) -> Vec<NodeId> {
        let hashes = || {
            let hash =
                |replica: &ReplicaVerification| Some((replica.node, *replica.found.as_ref().ok()?));
            self.replicas.iter().filter_map(hash)
        };
        let majority = self.majority();
        let is_split = hashes().zip(hashes().skip(1)).any(|((_, one), (_, next))| one != next);
        let differs = |hash: &StateHash| is_split && majority != Some(hash);
        hashes().filter(|(_, hash)| differs(hash)).map(|(node, _)| node).collect()
    }

    /// Returns true if every replica has a hash, and all hashes are equal.
    pub fn is_equal(&self) -> bool {
        let has_hash = |replica: &ReplicaVerification| replica.found.is_ok();
        self.replicas.iter().all(has_hash) && self.differing().is_empty()
    }
}

impl Client {
    /// Compares the replicas of every shard, one shard after the other.
    pub async fn verify(&self) -> Result<Vec<ShardVerification>, RequestError> {
        self.on_each_shard(|shard| self.verify_shard(shard, |_| {})).await
    }

    /// Compares the replicas of one shard, and tells their progress meanwhile. Takes the time that they
    /// need to read; gives up a replica that makes no progress for the client's time limit.
    pub async fn verify_shard(
        &self,
        shard: ShardId,
        tell: impl Fn(VerifyProgress),
    ) -> Result<ShardVerification, RequestError> {
        let index = match self.ask(shard, &Request::Verify { shard }).await? {
            Response::Verifying { index } => index,
            _ => return ProtocolSnafu.fail(),
        };
        let placement = self.settle(|_| true).await?.placement;
        let nodes = placement.replicas(shard).context(ProtocolSnafu)?.now.iter();
        let nodes = nodes.filter_map(|node| Some((*node, placement.address(*node)?)));
        let progress = Mutex::new(BTreeMap::new());
        let told = |node: NodeId, keys: u64, of: u64| {
            let mut progress = progress.lock().expect("no panic while the lock is held");
            progress.insert(node, (keys, of));
            let sum = progress.values().fold((0, 0), |sum, (keys, of)| (sum.0 + keys, sum.1 + of));
            tell(VerifyProgress { shard, keys: sum.0, of: sum.1 });
        };
        let asked = nodes.map(async |(node, address)| {
            let found = match address.parse() {
                Ok(at) => self.verified(shard, index, &at, |keys, of| told(node, keys, of)).await,
                Err(_) => NotReachedSnafu { last: "its address cannot be read" }.fail(),
            };
            ReplicaVerification { node, address: address.to_string(), found }
        });
        Ok(ShardVerification { shard, index, replicas: join_all(asked).await })
    }

    /// Asks one replica until it has the hash. A node that does not answer is asked once more.
    async fn verified(
        &self,
        shard: ShardId,
        index: LogIndex,
        address: &PeerAddr,
        tell: impl Fn(u64, u64),
    ) -> Result<StateHash, VerificationError> {
        let (request, limit) = (Request::Verified { shard, index }, self.link().limit());
        let (mut before, mut since) = (None, Instant::now());
        let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
        let mut is_silent = false;
        loop {
            let found = match self.link().ask_node(address, &request).await {
                Ok(Response::Verified(found)) => Some(found),
                Ok(_) => return Err(not_reached(RequestError::Protocol)),
                Err(error) if is_silent => return Err(not_reached(error)),
                Err(_) => None,
            };
            is_silent = found.is_none();
            match found {
                Some(Verification::Done(hash)) => {
                    tell(hash.keys, hash.keys);
                    return Ok(hash);
                }
                Some(Verification::Unknown) => return GoneSnafu.fail(),
                Some(Verification::Failed { reason }) => {
                    return ReplicaFailedSnafu { reason }.fail();
                }
                Some(Verification::Running { keys, of }) => tell(keys, of),
                Some(Verification::Behind { .. }) | None => {}
            }
            if found.is_some() && found != before {
                (before, since) = (found, Instant::now());
            }
            if since.elapsed() >= limit {
                return match before {
                    Some(Verification::Behind { applied }) => LagsSnafu { applied }.fail(),
                    _ => StalledSnafu { waited: limit }.fail(),
                };
            }
            sleep(backoff.pause()).await;
        }
    }
}

fn not_reached(error: RequestError) -> VerificationError {
    let last = match error {
        RequestError::Unreachable { last, .. } => last,
        error => error.to_string(),
    };
    VerificationError::NotReached { last }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replicas by the first byte of their hashes, `None` for one that was not reached; then the hash of
    /// the majority, the nodes that differ, and the verdict.
    fn check(found: &[Option<u8>], majority: Option<u8>, differing: &[u64], is_equal: bool) {
        let replica = |(at, first): (usize, &Option<u8>)| ReplicaVerification {
            node: NodeId::new(at as u64 + 1),
            address: String::new(),
            found: match first {
                Some(first) => Ok(StateHash { hash: [*first; 32], keys: 1, bytes: 1 }),
                None => NotReachedSnafu { last: "down" }.fail(),
            },
        };
        let replicas = found.iter().enumerate().map(replica).collect();
        let verified =
            ShardVerification { shard: ShardId::new(0), index: LogIndex::new(1), replicas };
        assert_eq!(verified.majority().map(|hash| hash.hash[0]), majority, "{found:?}");
        let ids: Vec<u64> = verified.differing().iter().map(|node| node.get()).collect();
        assert_eq!(ids, differing, "{found:?}");
        assert_eq!(verified.is_equal(), is_equal, "{found:?}");
    }

    #[test]
    fn verify_names_the_minority_and_without_a_majority_everybody() {
        check(&[Some(1)], Some(1), &[], true);
        check(&[Some(1), Some(1), Some(1)], Some(1), &[], true);
        check(&[Some(1), Some(2), Some(1)], Some(1), &[2], false);
        check(&[Some(1), Some(1), None], Some(1), &[], false);
        // One of three says nothing of the others; two that differ do.
        check(&[Some(1), None, None], None, &[], false);
        check(&[Some(1), None, Some(2)], None, &[1, 3], false);
        check(&[Some(1), Some(2)], None, &[1, 2], false);
        check(&[Some(1), Some(2), Some(3)], None, &[1, 2, 3], false);
        check(&[Some(2), Some(1), Some(1), Some(1), Some(3)], Some(1), &[1, 5], false);
        check(&[None, None, None], None, &[], false);
    }
}
