//! Cycles among transactions: found from the plainest kind to the subtlest, named, and told.

use crate::history::edges::{Edge, Edges, Why, add_time, explain};
use crate::history::explain::{list, name};
use crate::history::graph::{Graph, Level};
use crate::history::index::Index;
use crate::history::timeline::Timeline;
use crate::history::{Kind, Violation};

/// Cycles reported of one history: the first few tell the same as the rest.
const CYCLES_MAX: usize = 16;

/// Longest cycle that is told without time where it could be shorter with it: about a screen full.
const PLAIN_MAX: usize = 6;

/// Longest cycle that is tried to be made shorter by time: the work may grow with its square.
const SHORTENED_MAX: usize = 10_000;

/// The kinds of edges that are searched, in turn: a cycle is of the plainest kind that has it.
const LEVELS: [&[Why]; 5] = [
    &[Why::Replaces],
    &[Why::Replaces, Why::Reads],
    &[Why::Replaces, Why::Reads, Why::IsReplaced],
    &[Why::Replaces, Why::Reads, Why::IsReplaced, Why::IsJoined],
    &[Why::Replaces, Why::Reads, Why::IsReplaced, Why::IsJoined, Why::Time],
];

/// Finds a short cycle in every part of the history that has one.
pub fn check_cycles(
    index: &Index<'_>,
    timelines: &[Timeline<'_>],
    happened: &[bool],
    violations: &mut Vec<Violation>,
) {
    let mut edges = Edges::collect(index, timelines, happened).all;
    let nodes = add_time(index.history, happened, &mut edges);
    let graph = Graph::new(nodes, index.history.transactions.len(), &edges);
    if graph.components(Level::of(LEVELS[4])).is_empty() {
        return;
    }
    let mut told = vec![false; nodes];
    let mut count = 0;
    for reasons in LEVELS {
        let level = Level::of(reasons);
        for component in graph.components(level) {
            if count == CYCLES_MAX || component.iter().any(|node| told[*node as usize]) {
                continue;
            }
            component.iter().for_each(|node| told[*node as usize] = true);
            let cycle = shorten(index, graph.shortest_cycle(&component, level));
            violations.push(violation(index, timelines, &cycle));
            count += 1;
        }
    }
}

/// Leaves out what lies between two writers of one key, then what lies between two transactions that
/// time alone puts in order.
fn shorten(index: &Index<'_>, mut cycle: Vec<Edge>) -> Vec<Edge> {
    merge(&mut cycle, &[Why::Replaces]);
    merge(&mut cycle, &[Why::IsReplaced, Why::IsJoined]);
    let has_time = cycle.iter().any(|edge| edge.why == Why::Time);
    let is_plain = !has_time && cycle.len() <= PLAIN_MAX;
    if is_plain || cycle.len() > SHORTENED_MAX {
        return cycle;
    }
    while let Some((from, skipped)) = shortcut(index, &cycle) {
        cycle.rotate_left(from);
        let to = cycle[skipped].from;
        let edge = Edge { from: cycle[0].from, to, why: Why::Time, key: 0, state: 0 };
        cycle.splice(0..skipped, [edge]);
    }
    cycle
}

/// Merges edges of these reasons with edges to later writers of the same key.
fn merge(cycle: &mut Vec<Edge>, reasons: &[Why]) {
    let mut at = 0;
    while at < cycle.len() && cycle.len() > 2 {
        let next = (at + 1) % cycle.len();
        let (edge, later) = (cycle[at], cycle[next]);
        let is_same = later.why == Why::Replaces && later.key == edge.key;
        if is_same && reasons.contains(&edge.why) {
            cycle[at] = Edge { to: later.to, state: later.state, ..edge };
            cycle.remove(next);
            at -= usize::from(next < at);
        } else {
            at += 1;
        }
    }
}

/// The longest part of a cycle that one edge of time replaces: where, and how many edges.
fn shortcut(index: &Index<'_>, cycle: &[Edge]) -> Option<(usize, usize)> {
    let transaction = |at: usize| index.transaction(cycle[at % cycle.len()].from as usize);
    for skipped in (2..cycle.len()).rev() {
        let is_shortcut = |from: &usize| transaction(*from).is_before(transaction(from + skipped));
        if let Some(from) = (0..cycle.len()).find(is_shortcut) {
            return Some((from, skipped));
        }
    }
    None
}

fn violation(index: &Index<'_>, timelines: &[Timeline<'_>], cycle: &[Edge]) -> Violation {
    let transactions: Vec<usize> = cycle.iter().map(|edge| edge.from as usize).collect();
    let names: Vec<String> = transactions.iter().map(|transaction| name(*transaction)).collect();
    let mut text = format!("each before the next: {}, {}", names.join(", "), names[0]);
    text.push_str(&list(index, &transactions));
    for edge in cycle {
        let (from, to) = (name(edge.from as usize), name(edge.to as usize));
        let why = explain(index, timelines, edge);
        text.push_str(&format!("\n  {from} before {to}: {why}"));
    }
    Violation { kind: kind(cycle), transactions, text }
}

/// The name of a cycle, by the reasons of its edges.
fn kind(cycle: &[Edge]) -> Kind {
    let count = |why: Why| cycle.iter().filter(|edge| edge.why == why).count();
    let is_anti = |edge: &Edge| matches!(edge.why, Why::IsReplaced | Why::IsJoined);
    let antis = cycle.iter().filter(|edge| is_anti(edge)).count();
    let one_key = cycle.iter().all(|edge| edge.key == cycle[0].key);
    let mut pairs = cycle.iter().zip(cycle.iter().cycle().skip(1));
    let adjacent = pairs.any(|(a, b)| is_anti(a) && is_anti(b));
    match (count(Why::Time), antis) {
        (1.., 0) if count(Why::Reads) > 0 => Kind::FutureRead,
        (1.., 0) => Kind::WriteOrder,
        (1.., _) => Kind::StaleRead,
        (0, _) if count(Why::IsJoined) > 0 => Kind::Phantom,
        (0, 0) if count(Why::Reads) > 0 => Kind::CircularReads,
        (0, 0) => Kind::WriteCycle,
        (0, 1) if one_key && count(Why::Reads) == 0 => Kind::LostUpdate,
        (0, 1) => Kind::ReadSkew,
        (0, _) if adjacent => Kind::WriteSkew,
        (0, _) => Kind::LongFork,
    }
}
