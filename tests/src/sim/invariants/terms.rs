//! Leaders follow each other in one order, and who led never follows an earlier one, also after a
//! crash.
//!
//! The order is that of openraft's leader ids: by term, then by node. So a term may have several
//! leaders, each of which deposes the one before, and the safety that Raft gets from one leader per
//! term rests on the order (openraft, `leader_id_adv`). Others than the leader may show a term
//! before their vote for it is on disk.

use std::collections::BTreeMap;

use aspen_core::ids::{NodeId, ShardId};
use aspen_core::protocol::ReplicaStatus;

use crate::sim::trace::Trace;

/// Terms and leaders seen.
pub struct Terms {
    trace: Trace,
    seen: BTreeMap<(NodeId, ShardId), (u64, Option<NodeId>)>,
    /// The last term that a replica led in.
    led: BTreeMap<(NodeId, ShardId), u64>,
}

impl Terms {
    /// Nothing seen yet. Changes of leaders go to `trace`.
    pub fn new(trace: Trace) -> Terms {
        Terms { trace, seen: BTreeMap::new(), led: BTreeMap::new() }
    }

    /// Compares a replica with its earlier observations.
    pub fn look(&mut self, node: NodeId, status: &ReplicaStatus) {
        let ReplicaStatus { shard, term, leader, .. } = *status;
        let before = self.seen.insert((node, shard), (term, leader));
        if before == Some((term, leader)) {
            return;
        }
        // A node that joins with the id of one that left has everything before it.
        if term == 0 {
            self.led.remove(&(node, shard));
        }
        let last = self.led.get(&(node, shard)).copied().unwrap_or(0);
        assert!(term >= last, "terms: {node} {shard} led in term {last} and is in term {term}");
        if let Some(leader) = leader {
            let follows = (term, leader) >= (last, node) || last == 0;
            assert!(follows, "terms: {node} {shard} led in term {last}, then followed {leader}");
            if leader == node {
                self.led.insert((node, shard), term);
            }
        }
        let leader = leader.map_or("nobody".into(), |leader| leader.to_string());
        self.trace.event(format_args!("  {node} {shard} term {term} led by {leader}"));
    }
}
