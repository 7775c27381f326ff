//! Two replicas that applied the same entries have computed the same.

use std::collections::BTreeMap;

use aspen_core::{Digest, LogIndex, NodeId, ShardId, ShardStatus};

/// The first digest seen of each entry.
#[derive(Default)]
pub struct Replicas {
    digests: BTreeMap<(ShardId, LogIndex), Digest>,
    /// Of the one that computes otherwise.
    others: BTreeMap<(ShardId, LogIndex), Digest>,
}

impl Replicas {
    /// Compares a replica with those seen before.
    pub fn look(&mut self, node: NodeId, status: &ShardStatus) {
        let ShardStatus { shard, applied, digest, failed, .. } = status;
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

    /// Notes what a replica computed that is known to compute otherwise.
    pub fn note(&mut self, _node: NodeId, status: &ShardStatus) {
        self.others.insert((status.shard, status.applied), status.digest);
    }

    /// Where that replica parted from the others, as far as it was seen: the last entry at which
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
