//! A term has one leader, and who led in a term never goes back before it, also through crashes.
//!
//! Others may: they show a term before their vote for it is on disk.
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
    led: BTreeMap<(NodeId, ShardId), u64>,
}

impl Terms {
    /// Nothing seen yet. Changes of leaders go to `trace`.
    pub fn new(trace: Trace) -> Terms {
        let (seen, leaders, led) = Default::default();
        Terms { trace, seen, leaders, led }
    }

    /// Compares a replica with what was seen of it and of others.
    pub fn look(&mut self, node: NodeId, status: &ShardStatus) {
        let ShardStatus { shard, term, leader, .. } = *status;
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
        if leader == Some(node) {
            self.led.insert((node, shard), term);
        }
        if let Some(leader) = leader {
            let first = *self.leaders.entry((shard, term)).or_insert(leader);
            assert_eq!(first, leader, "terms: two leaders of {shard} in term {term}");
        }
        let leader = leader.map_or("nobody".into(), |leader| leader.to_string());
        self.trace.event(format_args!("  {node} {shard} term {term} led by {leader}"));
    }
}
