//! Revisions follow the log, and log and state agree.
//!
//! An entry has one revision on every replica, later entries have none that is lower, no replica has
//! applied what is not in its log, and no snapshot holds what was not applied.

use std::collections::BTreeMap;

use aspen_core::ids::{LogIndex, NodeId, Revision, ShardId};
use aspen_core::protocol::ReplicaStatus;

/// The revision after each entry, as first seen.
#[derive(Default)]
pub struct Order {
    revisions: BTreeMap<ShardId, BTreeMap<LogIndex, Revision>>,
}

impl Order {
    /// Compares a replica with those seen before.
    pub fn look(&mut self, node: NodeId, status: &ReplicaStatus) {
        let ReplicaStatus { shard, term, last, applied, snapshot, revision, failed, .. } = status;
        // In term 0 a replica has not yet read its log.
        if failed.is_some() || *term == 0 {
            return;
        }
        let at = format!("order: {node} {shard} {applied}");
        assert!(applied <= last, "{at}: the log ends at {last}");
        assert!(snapshot <= applied, "{at}: there is a snapshot of {snapshot}");
        let revisions = self.revisions.entry(*shard).or_default();
        let before = revisions.range(..applied).next_back();
        assert!(before.is_none_or(|(_, r)| r <= revision), "{at}: {revision} after {before:?}");
        let after = revisions.range(applied..).next();
        assert!(after.is_none_or(|(_, r)| revision <= r), "{at}: {revision} before {after:?}");
        let same = *revisions.entry(*applied).or_insert(*revision);
        assert_eq!(same, *revision, "{at}: another replica has another revision");
    }
}
