//! A directed graph with reasons on its edges: strongly connected components, shortest cycles.
//!
//! Nothing recurses: a history of 100,000 transactions must not depend on the size of a stack.

use std::collections::VecDeque;

use crate::history::edges::{Edge, Why};

/// Edges looked at in search of the shortest cycle of one component: about a tenth of a second.
const SEARCH_EDGES_MAX: usize = 5_000_000;

/// Nodes 0 to `transactions` are transactions, the others moments.
pub struct Graph {
    nodes: usize,
    transactions: usize,
    /// Per node, where its edges begin; and the end of all.
    first_edge: Vec<u32>,
    edges: Vec<Edge>,
}

/// Which edges are looked at: a sum of [`Why`].
#[derive(Clone, Copy)]
pub struct Level(u8);

impl Level {
    /// Edges of these reasons.
    pub fn of(reasons: &[Why]) -> Level {
        Level(reasons.iter().map(|why| *why as u8).sum())
    }

    fn has(self, edge: &Edge) -> bool {
        self.0 & edge.why as u8 != 0
    }
}

/// Tarjan's state of one node.
#[derive(Clone, Copy)]
struct Mark {
    index: u32,
    low: u32,
    is_on_stack: bool,
}

const UNSEEN: u32 = u32::MAX;

/// The notes of the search for a cycle about a node.
#[derive(Clone, Copy)]
struct Visit {
    /// The start of the search that wrote this.
    search: u32,
    distance: u32,
    /// The edge it was reached by.
    by: u32,
}

impl Graph {
    /// Sorts the edges by their origin.
    pub fn new(nodes: usize, transactions: usize, all: &[Edge]) -> Graph {
        let mut first_edge = vec![0u32; nodes + 1];
        for edge in all {
            first_edge[edge.from as usize + 1] += 1;
        }
        for node in 0..nodes {
            first_edge[node + 1] += first_edge[node];
        }
        let mut next = first_edge.clone();
        let mut edges = all.to_vec();
        for edge in all {
            edges[next[edge.from as usize] as usize] = *edge;
            next[edge.from as usize] += 1;
        }
        Graph { nodes, transactions, first_edge, edges }
    }

    fn is_moment(&self, node: u32) -> bool {
        node as usize >= self.transactions
    }

    /// The components of more than one node (Tarjan, with a stack of its own).
    pub fn components(&self, level: Level) -> Vec<Vec<u32>> {
        let mut marks = vec![Mark { index: UNSEEN, low: 0, is_on_stack: false }; self.nodes];
        let (mut found, mut stack, mut calls, mut count) = (vec![], vec![], vec![], 0);
        for root in 0..self.nodes as u32 {
            if marks[root as usize].index != UNSEEN {
                continue;
            }
            calls.push((root, self.first_edge[root as usize]));
            while let Some((node, next)) = calls.last_mut() {
                let (at, end) = (*node as usize, self.first_edge[*node as usize + 1]);
                if marks[at].index == UNSEEN {
                    marks[at] = Mark { index: count, low: count, is_on_stack: true };
                    stack.push(*node);
                    count += 1;
                }
                if *next < end {
                    let edge = &self.edges[*next as usize];
                    *next += 1;
                    if level.has(edge) {
                        let to = marks[edge.to as usize];
                        if to.index == UNSEEN {
                            calls.push((edge.to, self.first_edge[edge.to as usize]));
                        } else if to.is_on_stack {
                            marks[at].low = marks[at].low.min(to.index);
                        }
                    }
                    continue;
                }
                calls.pop();
                let mark = marks[at];
                if let Some((parent, _)) = calls.last() {
                    let parent = &mut marks[*parent as usize];
                    parent.low = parent.low.min(mark.low);
                }
                if mark.low == mark.index {
                    let first = stack.iter().rposition(|other| *other as usize == at);
                    let component = stack.split_off(first.unwrap_or(0));
                    component.iter().for_each(|node| marks[*node as usize].is_on_stack = false);
                    if component.len() > 1 {
                        found.push(component);
                    }
                }
            }
        }
        found
    }

    /// The shortest cycle of a component that the limit on work lets us find.
    pub fn shortest_cycle(&self, component: &[u32], level: Level) -> Vec<Edge> {
        let none = Visit { search: UNSEEN, distance: 0, by: 0 };
        let mut visits = vec![none; self.nodes];
        let mut inside = vec![false; self.nodes];
        component.iter().for_each(|node| inside[*node as usize] = true);
        let (mut best, mut length, mut work) = (vec![], u32::MAX, 0);
        for start in component.iter().filter(|node| !self.is_moment(**node)) {
            if let Some((by, found)) =
                self.search(*start, level, &inside, &mut visits, length, &mut work)
            {
                length = found;
                best = self.trace(*start, by, &visits);
            }
            if work > SEARCH_EDGES_MAX || length <= 2 {
                break;
            }
        }
        best
    }

    /// The shortest way from a node back to it, if below `limit`: its last edge and its length. To
    /// go on from a moment costs nothing, so that time counts as one edge however long it is.
    fn search(
        &self,
        start: u32,
        level: Level,
        inside: &[bool],
        visits: &mut [Visit],
        limit: u32,
        work: &mut usize,
    ) -> Option<(u32, u32)> {
        let (mut best, mut limit) = (None, limit);
        let mut queue = VecDeque::from([(start, 0)]);
        visits[start as usize] = Visit { search: start, distance: 0, by: 0 };
        while let Some((node, distance)) = queue.pop_front() {
            let cost = u32::from(!self.is_moment(node));
            if distance + cost >= limit {
                break;
            }
            if distance > visits[node as usize].distance {
                continue;
            }
            let range = self.first_edge[node as usize]..self.first_edge[node as usize + 1];
            *work += range.len();
            for at in range {
                let edge = &self.edges[at as usize];
                if !level.has(edge) || !inside[edge.to as usize] {
                    continue;
                }
                let length = distance + cost;
                if edge.to == start {
                    if length < limit {
                        (best, limit) = (Some((at, length)), length);
                    }
                    continue;
                }
                let visit = &mut visits[edge.to as usize];
                if visit.search != start || length < visit.distance {
                    *visit = Visit { search: start, distance: length, by: at };
                    let entry = (edge.to, length);
                    if cost == 0 { queue.push_front(entry) } else { queue.push_back(entry) }
                }
            }
        }
        best
    }

    /// The cycle that a search found, in order, without the moments.
    fn trace(&self, start: u32, last: u32, visits: &[Visit]) -> Vec<Edge> {
        let mut edges = vec![self.edges[last as usize]];
        let mut node = edges[0].from;
        while node != start {
            let edge = self.edges[visits[node as usize].by as usize];
            edges.push(edge);
            node = edge.from;
        }
        edges.reverse();
        let mut cycle: Vec<Edge> = vec![];
        for edge in edges {
            match cycle.last_mut() {
                Some(open) if self.is_moment(open.to) => open.to = edge.to,
                _ => cycle.push(edge),
            }
        }
        cycle
    }
}
