//! Two replicas that applied the same entries have computed the same, and store the same in the end,
//! row by row.

use std::collections::BTreeMap;

use aspen_client::{Client, ReplicaVerification, VerificationError};
use aspen_core::digest::Digest;
use aspen_core::ids::{LogIndex, NodeId, ShardId};
use aspen_core::protocol::ReplicaStatus;

/// The first digest seen of each entry.
#[derive(Default)]
pub struct Replicas {
    digests: BTreeMap<(ShardId, LogIndex), Digest>,
    /// Of the one that computes otherwise.
    others: BTreeMap<(ShardId, LogIndex), Digest>,
}

impl Replicas {
    /// Compares a replica with those seen before.
    pub fn look(&mut self, node: NodeId, status: &ReplicaStatus) {
        let ReplicaStatus { shard, applied, digest, failed, .. } = status;
        // A replica that has stopped holds what it had; one that was found wrong is known to be.
        if failed.is_some() {
            return;
        }
        let first = *self.digests.entry((*shard, *applied)).or_insert(*digest);
        assert_eq!(
            first, *digest,
            "replicas: {node} computed otherwise than another at {shard} {applied}"
        );
    }

    /// Notes the results of a replica that is known to compute otherwise.
    pub fn note(&mut self, _node: NodeId, status: &ReplicaStatus) {
        self.others.insert((status.shard, status.applied), status.digest);
    }

    /// Returns the entries at which that replica parted from the others, as far as seen: the last at which
    /// they were equal, and the first after it at which they were not. (A snapshot that it was sent
    /// can have made it equal again.)
    pub fn parted(&self, shard: ShardId) -> (LogIndex, Option<LogIndex>) {
        let (mut equal, mut first) = (LogIndex::default(), None);
        for ((of, index), digest) in &self.others {
            match self.digests.get(&(*of, *index)) {
                Some(other) if *of == shard && other == digest => (equal, first) = (*index, None),
                Some(_) if *of == shard => first = first.or(Some(*index)),
                _ => {}
            }
        }
        (equal, first)
    }
}

/// The number of times that a shard is asked: messages still get lost, a replica that does not answer
/// twice is given up, and one that was behind may get past the entry by a snapshot.
const ASKED_MAX: usize = 10;

/// Lets every replica read and hash its whole state.
///
/// # Panics
/// If one has other rows than the others, or a damaged one, or never answers.
pub async fn stored_alike(client: &Client, shards: u16) {
    for shard in (0..shards).map(ShardId::new) {
        let mut asked = 0;
        loop {
            asked += 1;
            let verified = client.verify_shard(shard, |_| {}).await;
            let verified = verified.unwrap_or_else(|error| panic!("replicas: {error}"));
            if verified.is_equal() {
                break;
            }
            let may_tell_later = |replica: &ReplicaVerification| {
                matches!(
                    replica.found,
                    Ok(_) | Err(VerificationError::NotReached { .. } | VerificationError::Gone)
                )
            };
            let is_asked_again = verified.replicas.iter().all(may_tell_later) && asked < ASKED_MAX;
            let is_alike = verified.differing().is_empty() && is_asked_again;
            assert!(is_alike, "replicas: what is stored differs: {verified:?}");
        }
    }
}
