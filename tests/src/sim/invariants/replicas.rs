//! Two replicas that applied the same entries have computed the same.

use std::collections::BTreeMap;

use aspen_core::{Digest, LogIndex, NodeId, ShardId, ShardStatus};

/// The first digest seen of each entry.
#[derive(Default)]
pub struct Replicas {
    digests: BTreeMap<(ShardId, LogIndex), Digest>,
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
}
