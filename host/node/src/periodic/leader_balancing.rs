//! Leader balancing: spreading the leads of shards over the nodes.
//!
//! ```text
//! leads   n1 4   n2 2   n3 0      n1 gives one to n3: four are at least two more than none
//!         n1 3   n2 2   n3 1      n1 gives one to n3
//!         n1 2   n2 2   n3 2      nobody leads two more than another: done
//! ```
//!
//! Each node looks at the leaders that its own replicas know. Before it gives a lead away, it asks
//! the nodes that could take the lead how many they have. So no node is in charge, and with stale
//! knowledge the worst that happens is one hand-over too many, which the next look gives back.
//! Every hand-over between nodes whose leads differ by two or more makes the leads more even, so
//! the hand-overs end.
//!
//! Promises at most one hand-over at a time and [`BALANCING_NEXT`] between two; none of a shard
//! whose members change, and none to a node that has not answered this leader lately or lacks
//! entries. After a hand-over that failed the node rests: the election that follows is Raft's
//! affair. Leaves out load: a shard counts as one, however busy it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;
use std::time::Duration;

use aspen_core::ids::{NodeId, ShardId};

use crate::context::NodeContext;
use crate::limits::{BALANCING_CHECK, BALANCING_NEXT, BALANCING_REST, HANDOVER_WAIT};

/// Evens out the leads until the node is gone.
pub async fn balance_leaders(node: Weak<NodeContext>) {
    let mut pause = BALANCING_CHECK;
    loop {
        tokio::time::sleep(pause).await;
        let Some(node) = node.upgrade() else { return };
        pause = give_one(&node).await;
    }
}

/// Hands one lead over if that makes the leads more even; returns the pause before the next look.
async fn give_one(node: &NodeContext) -> Duration {
    let mut leads: BTreeMap<NodeId, usize> = BTreeMap::new();
    let replicas = || node.replicas().filter(|replica| replica.id != ShardId::SYSTEM);
    for leader in replicas().filter_map(|replica| replica.leader()) {
        *leads.entry(leader).or_default() += 1;
    }
    let led = replicas().filter(|replica| replica.leader() == Some(node.id()));
    let offers = led.flat_map(|led| led.successors().into_iter().map(move |to| (led.id, to)));
    let offers: Vec<(ShardId, NodeId)> = offers.collect();
    if choose(node.id(), &leads, offers.iter().copied()).is_none() {
        return BALANCING_CHECK;
    }
    // Others may lead shards of which no replica is here: they know.
    let map = node.map();
    for to in offers.iter().map(|(_, to)| *to).collect::<BTreeSet<_>>() {
        let Some(address) = map.placement.address(to) else { continue };
        let asked = node.opener().net(ShardId::SYSTEM).peer(address).lead_count().await;
        let Some(count) = asked else { return BALANCING_CHECK };
        leads.insert(to, count);
    }
    let chosen = choose(node.id(), &leads, offers.into_iter());
    let Some((shard, to)) = chosen else { return BALANCING_CHECK };
    let Some(replica) = node.replica(shard) else { return BALANCING_CHECK };
    match replica.give_to(to, HANDOVER_WAIT).await {
        true => BALANCING_NEXT,
        false => BALANCING_REST,
    }
}

/// Chooses, of the leads that this node could give away and the nodes that could take them, the
/// node with the fewest leads; `None` if no node has two fewer than this one.
fn choose(
    me: NodeId,
    leads: &BTreeMap<NodeId, usize>,
    offers: impl Iterator<Item = (ShardId, NodeId)>,
) -> Option<(ShardId, NodeId)> {
    let leads = |node: &NodeId| leads.get(node).copied().unwrap_or(0);
    let evens = offers.filter(|(_, to)| leads(to) + 2 <= leads(&me));
    evens.min_by_key(|(shard, to)| (leads(to), *to, *shard))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nodes 1 to n with these leads, all voters of all shards, until nobody gives any more.
    fn settle(mut leads: Vec<usize>) -> (Vec<usize>, usize) {
        let mut given = 0;
        loop {
            let known = (1..).map(NodeId::new).zip(leads.iter().copied()).collect();
            let shards = |node: usize| (0..leads[node] as u16).map(ShardId::new);
            // All nodes look at the same moment: none sees the leads that others are about to give.
            let gives: Vec<_> = (0..leads.len())
                .filter_map(|me| {
                    let others = (0..leads.len()).filter(|other| *other != me);
                    let others: Vec<_> = others.map(|at| NodeId::new(at as u64 + 1)).collect();
                    let offer = |shard| others.iter().map(move |to| (shard, *to));
                    let (_, to) =
                        choose(NodeId::new(me as u64 + 1), &known, shards(me).flat_map(offer))?;
                    Some((me, to.get() as usize - 1))
                })
                .collect();
            if gives.is_empty() {
                return (leads, given);
            }
            for (from, to) in gives {
                (leads[from], leads[to], given) = (leads[from] - 1, leads[to] + 1, given + 1);
            }
            assert!(given < 1000, "it never ends: {leads:?}");
        }
    }

    #[test]
    fn leads_become_even_and_stay() {
        let check = |before: &[usize], most: usize| {
            let (after, given) = settle(before.to_vec());
            let (low, high) = (after.iter().min().unwrap(), after.iter().max().unwrap());
            assert!(high - low <= 1 && given <= most, "{before:?}: {after:?} after {given}");
        };
        check(&[6, 0, 0], 4);
        check(&[3, 3, 0], 2);
        check(&[2, 2, 2], 0);
        check(&[1, 0, 0], 0);
        check(&[256, 0, 0], 171);
        check(&[128, 128, 0], 90);
        check(&[2, 2, 2, 2, 0], 6);
        check(&[3, 3, 3, 0, 0], 9);
        check(&[5, 0, 9, 1, 1], 16);
    }

    #[test]
    fn lead_goes_to_the_emptiest_that_can_take_it() {
        let (me, n2, n3) = (NodeId::new(1), NodeId::new(2), NodeId::new(3));
        let leads = BTreeMap::from([(me, 4), (n2, 1)]);
        let (s0, s1) = (ShardId::new(0), ShardId::new(1));
        let check = |offers: &[(ShardId, NodeId)], want| {
            assert_eq!(choose(me, &leads, offers.iter().copied()), want);
        };
        check(&[(s0, n2), (s1, n3)], Some((s1, n3)));
        check(&[(s1, n2), (s0, n2)], Some((s0, n2)));
        check(&[], None);
        let even = BTreeMap::from([(me, 2), (n2, 1)]);
        assert_eq!(choose(me, &even, [(s0, n2)].into_iter()), None);
    }
}
