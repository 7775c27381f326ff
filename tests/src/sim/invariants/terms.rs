//! A replica's term never goes back, also through crashes, and a term has one leader.
//!
//! Source: Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm", 2014, figure
//! 3, "Election Safety".

use std::collections::BTreeMap;

use aspen_core::{NodeId, ShardId, ShardStatus};

use crate::sim::trace::Trace;

/// Terms and leaders seen.
pub struct Terms {
    trace: Trace,
    seen: BTreeMap<(NodeId, ShardId), (u64, Option<NodeId>)>,
    leaders: BTreeMap<(ShardId, u64), NodeId>,
}

impl Terms {
    /// Nothing seen yet. Changes of leaders go to `trace`.
    pub fn new(trace: Trace) -> Terms {
        Terms { trace, seen: BTreeMap::new(), leaders: BTreeMap::new() }
    }

    /// Compares a replica with what was seen of it and of others.
    pub fn look(&mut self, node: NodeId, status: &ShardStatus) {
        let ShardStatus { shard, term, leader, .. } = *status;
        let before = self.seen.insert((node, shard), (term, leader));
        if before == Some((term, leader)) {
            return;
        }
        let last = before.map_or(0, |(term, _)| term);
        assert!(term >= last, "terms: {node} {shard} went back from term {last} to {term}");
        if let Some(leader) = leader {
            let first = *self.leaders.entry((shard, term)).or_insert(leader);
            assert_eq!(first, leader, "terms: two leaders of {shard} in term {term}");
        }
        let leader = leader.map_or("nobody".into(), |leader| format!("node {leader}"));
        self.trace.event(format_args!("  node {node} {shard} term {term} led by {leader}"));
    }
}
