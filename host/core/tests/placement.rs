//! The map: even at founding and after every change, never without a majority, never two ids alike.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

use std::collections::{BTreeMap, BTreeSet};

use aspen_core::ids::{NodeId, ShardId};
use aspen_core::placement::{Placement, PlacementChange, PlacementError};
use proptest::prelude::*;

fn id(node: u64) -> NodeId {
    NodeId::new(node)
}

fn address(node: u64) -> String {
    format!("{node:064x}@127.0.0.1:{}", 4000 + node)
}

fn cluster(nodes: u64, shards: u16, factor: u8) -> Placement {
    let nodes = (1..=nodes).map(|node| (id(node), address(node)));
    Placement::initial(nodes, shards, factor).unwrap()
}

fn all(placement: &Placement) -> BTreeSet<NodeId> {
    placement.nodes.keys().copied().collect()
}

/// Every shard's leader makes the replicas agree with the target.
fn arrive(placement: &mut Placement) {
    for shard in 0..placement.shards.len() {
        let target: BTreeSet<_> = placement.shards[shard].target.iter().copied().collect();
        placement.arrived(ShardId::new(shard as u16), &target);
    }
    placement.let_go();
}

fn spread(counts: &BTreeMap<NodeId, usize>) -> usize {
    counts.values().max().unwrap() - counts.values().min().unwrap()
}

#[test]
fn founding_spreads_replicas_evenly() {
    for (nodes, factor) in [(1, 1), (1, 3), (2, 3), (3, 3), (4, 3), (5, 3), (5, 5), (7, 3), (16, 5)]
    {
        for shards in [1, 2, 8, 13, 256] {
            let placement = cluster(nodes, shards, factor);
            let each = usize::from(factor).min(nodes as usize);
            for replicas in &placement.shards {
                let on: BTreeSet<_> = replicas.now.iter().collect();
                assert_eq!((on.len(), replicas.is_settled()), (each, true));
                assert!(replicas.now.is_sorted());
            }
            let counts = placement.counts();
            assert!(spread(&counts) <= 1, "{nodes} nodes, {shards} shards: {counts:?}");
        }
    }
}

#[test]
fn factors_are_one_three_and_five() {
    for factor in [0, 2, 4, 6] {
        let refused = Placement::initial([(id(1), address(1))], 8, factor).unwrap_err();
        assert_eq!(refused, PlacementError::Factor { factor });
    }
}

#[test]
fn nodes_that_join_take_replicas_until_there_are_enough() {
    let mut placement = cluster(1, 4, 3);
    for node in 2..=4 {
        let alive = all(&placement);
        let add = PlacementChange::AddNode { address: address(node) };
        assert_eq!(placement.change(&add, &alive), Ok(Some(id(node))));
        let before = placement.clone();
        assert_eq!(placement.change(&add, &alive), Ok(Some(id(node))), "asked again");
        assert_eq!(placement, before);
        arrive(&mut placement);
    }
    let counts = placement.counts();
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [4, 4, 4, 0]);
    let alive = all(&placement);
    placement.change(&PlacementChange::Rebalance, &alive).unwrap();
    assert!(!placement.is_settled());
    arrive(&mut placement);
    assert_eq!(placement.counts().into_values().collect::<Vec<_>>(), [3, 3, 3, 3]);
}

#[test]
fn ids_never_come_again() {
    let mut placement = cluster(3, 8, 3);
    let alive = all(&placement);
    placement.change(&PlacementChange::RemoveNode { node: id(3) }, &alive).unwrap();
    let same_key = PlacementChange::AddNode { address: address(3) };
    let leaving = placement.change(&same_key, &alive).unwrap_err();
    assert_eq!(leaving, PlacementError::KnownKey { node: id(3), address: address(3) });
    arrive(&mut placement);
    assert_eq!(placement.change(&same_key, &alive), Ok(Some(id(4))));
}

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut placement = cluster(4, 8, 3);
    let alive = all(&placement);
    let (s0, s9) = (ShardId::new(0), ShardId::new(9));
    let to = |shard, from: Option<u64>, to| PlacementChange::Move {
        shard,
        from: from.map(id),
        to: id(to),
    };
    let add = |address: &str| PlacementChange::AddNode { address: address.into() };
    let elsewhere = address(2).replace("4002", "4999");
    // s0 is on n1, n2 and n3.
    for (change, error) in [
        (to(s0, Some(2), 1), "s0 has a replica on n1 already"),
        (to(s0, Some(5), 4), "s0 has no replica on n5"),
        (to(s9, None, 4), "shard s9"),
        (to(s0, None, 7), "node n7"),
        (PlacementChange::RemoveNode { node: id(9) }, "node n9"),
        (add("nonsense"), "\"nonsense\" is no node address (hex@ip:port)"),
        (add(&elsewhere), &format!("that key is node n2 at {}; remove it first", address(2))),
    ] {
        let before = placement.clone();
        let refused = placement.change(&change, &alive).map_err(|error| error.to_string());
        assert_eq!(refused, Err(error.to_string()), "{change:?}");
        assert_eq!(placement, before);
    }
    let mut full = cluster(16, 8, 3);
    let (alive, add) = (all(&full), add(&address(17)));
    assert_eq!(full.change(&add, &alive), Err(PlacementError::Full));
}

#[test]
fn removal_without_majority_is_refused_with_its_reason() {
    let mut placement = cluster(3, 8, 3);
    let alive = BTreeSet::from([id(2), id(3)]);
    let refused = placement.change(&PlacementChange::RemoveNode { node: id(2) }, &alive);
    let text = "without n2 only 1 of 2 replicas of s0 would answer: no majority";
    assert_eq!(refused.unwrap_err().to_string(), text);
    // The one that is gone can be removed.
    placement.change(&PlacementChange::RemoveNode { node: id(1) }, &alive).unwrap();
    let mut one = cluster(1, 8, 1);
    let refused = one.change(&PlacementChange::RemoveNode { node: id(1) }, &all(&one));
    assert_eq!(refused, Err(PlacementError::OnlyNode { node: id(1) }));
}

#[test]
fn one_move_of_a_shard_at_a_time() {
    let mut placement = cluster(5, 1, 3);
    let (alive, shard) = (all(&placement), ShardId::new(0));
    let to = |to| PlacementChange::Move { shard, from: None, to: id(to) };
    placement.change(&to(4), &alive).unwrap();
    let begun = placement.clone();
    placement.change(&to(4), &alive).unwrap();
    assert_eq!(placement, begun, "asked again");
    assert_eq!(placement.shards[0].target, [id(1), id(2), id(4)]);
    let other = placement.change(&to(5), &alive);
    assert_eq!(other, Err(PlacementError::OnItsWay { shard }));
    arrive(&mut placement);
    placement.change(&to(5), &alive).unwrap();
    assert_eq!(placement.shards[0].changes, 1);
}

#[derive(Clone, Debug)]
enum Step {
    Add,
    Remove(u64),
    Move(u16, u64),
    Rebalance,
    Arrive,
    Down(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Add),
        3 => (1..12u64).prop_map(Step::Remove),
        3 => (0..8u16, 1..12u64).prop_map(|(shard, to)| Step::Move(shard, to)),
        2 => Just(Step::Rebalance),
        3 => Just(Step::Arrive),
        1 => (1..12u64).prop_map(Step::Down),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// After any changes: every shard keeps a target with a majority that answers, of nodes that exist; a
    /// node that leaves gains no replica; ids rise; a rebalance with nothing in its way evens the numbers
    /// out.
    #[test]
    fn changes_keep_the_map_sound(
        nodes in 1..6u64, factor in prop::sample::select(vec![1u8, 3, 5]),
        steps in prop::collection::vec(step(), 0..24),
    ) {
        let mut placement = cluster(nodes, 8, factor);
        let mut down = BTreeSet::new();
        let mut highest = nodes;
        for step in steps {
            let alive: BTreeSet<_> = all(&placement).difference(&down).copied().collect();
            let before = placement.clone();
            let changed = match step {
                Step::Add => {
                    highest += 1;
                    let add = PlacementChange::AddNode { address: address(highest) };
                    let added = placement.change(&add, &alive);
                    match added {
                        Ok(node) => prop_assert!(node.unwrap() > before.last_node),
                        Err(_) => highest -= 1,
                    }
                    added.is_ok()
                }
                Step::Remove(node) => {
                    placement.change(&PlacementChange::RemoveNode { node: id(node) }, &alive).is_ok()
                }
                Step::Move(shard, to) => {
                    let shard = ShardId::new(shard);
                    let change = PlacementChange::Move { shard, from: None, to: id(to) };
                    placement.change(&change, &alive).is_ok()
                }
                Step::Rebalance => {
                    placement.change(&PlacementChange::Rebalance, &alive).unwrap();
                    let idle = |node: &NodeId| alive.contains(node) && !placement.nodes[node].leaves;
                    let mut counts = placement.counts();
                    counts.retain(|node, _| idle(node));
                    if before.is_settled() && down.is_empty() && !counts.is_empty() {
                        prop_assert!(spread(&counts) <= 1, "{counts:?}");
                    }
                    true
                }
                Step::Arrive => {
                    arrive(&mut placement);
                    true
                }
                // A node that does not answer takes its majority with it: nothing is promised of
                // shards that have none, so only one is ever down.
                Step::Down(node) => {
                    down = BTreeSet::from([id(node)]);
                    true
                }
            };
            prop_assert!(changed || placement == before);
            for replicas in &placement.shards {
                prop_assert!(!replicas.target.is_empty());
                prop_assert!(replicas.target.len() <= usize::from(factor));
                prop_assert!(replicas.target.is_sorted_by(|a, b| a < b));
                prop_assert!(replicas.all().iter().all(|node| placement.nodes.contains_key(node)));
            }
        }
    }
}
