//! The order of transactions, with reasons: from each transaction's reads, and from each key's states.
//!
//! Every edge is certain. Where a state in between has no known writer, an edge goes on to the next
//! known one: a reader of a state comes before the writers of all later states.

use crate::history::History;
use crate::history::evidence::sightings;
use crate::history::explain::name;
use crate::history::index::Index;
use crate::history::timeline::Timeline;
use crate::history::{Operation, Transaction};

/// One transaction, or moment, comes before another.
#[derive(Clone, Copy, Debug)]
pub struct Edge {
    pub from: u32,
    pub to: u32,
    pub why: Why,
    /// The key, unless it is for time.
    pub key: u32,
    /// The state that was read, or replaced, or that replaces, unless it is for time.
    pub state: u32,
}

/// The reason of an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Why {
    /// `to` wrote a later state of a key than `from`.
    Replaces = 1,
    /// `to` read the state that `from` wrote, or a later one.
    Reads = 2,
    /// `from` read the state that `to` replaced, or an earlier one.
    IsReplaced = 4,
    /// `from` scanned a range without a key that `to` then created there.
    IsJoined = 8,
    /// `from` was over before `to` began.
    Time = 16,
}

/// Collects the edges of a history.
pub struct Edges<'i, 'a> {
    index: &'i Index<'a>,
    timelines: &'i [Timeline<'a>],
    pub all: Vec<Edge>,
}

impl<'i, 'a> Edges<'i, 'a> {
    /// All edges but those of time, between the transactions that happened.
    pub fn collect(index: &'i Index<'a>, timelines: &'i [Timeline<'a>], happened: &[bool]) -> Self {
        let mut edges = Edges { index, timelines, all: vec![] };
        for timeline in timelines {
            edges.add_states(timeline);
        }
        for (at, _) in happened.iter().enumerate().filter(|(_, happened)| **happened) {
            edges.add_reads(at);
        }
        edges
    }

    fn add(&mut self, from: usize, to: usize, why: Why, key: u32, state: usize) {
        if from != to {
            let (from, to, state) = (from as u32, to as u32, state as u32);
            self.all.push(Edge { from, to, why, key, state });
        }
    }

    fn add_states(&mut self, timeline: &Timeline<'_>) {
        let mut before = None;
        for (at, state) in timeline.states.iter().enumerate() {
            if let (Some(before), Some(writer)) = (before, state.writer) {
                self.add(before, writer, Why::Replaces, timeline.key, at);
            }
            before = state.writer.or(before);
        }
    }

    fn add_reads(&mut self, reader: usize) {
        for sighting in sightings(self.index, reader) {
            let timeline = &self.timelines[sighting.key as usize];
            if let Some(state) = timeline.find(sighting.record) {
                self.add_read(reader, timeline, (state, state), Why::IsReplaced);
            }
        }
        let mut own: Vec<&str> = vec![];
        let transaction = self.index.transaction(reader);
        for operation in &transaction.operations {
            match operation {
                Operation::Get { key, found: None } if !own.contains(&&key[..]) => {
                    self.add_absence(reader, self.index.number(key), Why::IsReplaced);
                }
                // A delete that was told of no version has read absence.
                Operation::Delete { key, version: Some(0) } if !own.contains(&&key[..]) => {
                    self.add_absence(reader, self.index.number(key), Why::IsReplaced);
                }
                Operation::Scan { start, end, found } => {
                    let found: Vec<&str> = found.iter().map(|(key, _)| &key[..]).collect();
                    for key in self.index.range(start, end.as_deref()) {
                        let name = self.index.keys[key as usize];
                        if !own.contains(&name) && found.binary_search(&name).is_err() {
                            self.add_absence(reader, key, Why::IsJoined);
                        }
                    }
                }
                _ => {}
            }
            own.extend(operation.written());
        }
    }

    fn add_absence(&mut self, reader: usize, key: u32, why: Why) {
        let timeline = &self.timelines[key as usize];
        let absence = timeline.absence(self.index, reader);
        self.add_read(reader, timeline, (absence.first, absence.last), why);
    }

    /// A read at one of several positions: behind the first, before the end of the last.
    fn add_read(&mut self, reader: usize, timeline: &Timeline<'_>, at: (usize, usize), why: Why) {
        let writer = |state: usize| timeline.states[state].writer;
        if let Some(state) = timeline.written_before(at.0)
            && let Some(writer) = writer(state)
        {
            self.add(writer, reader, Why::Reads, timeline.key, state);
        }
        if let Some(state) = timeline.written_after(at.1)
            && let Some(writer) = writer(state)
        {
            self.add(reader, writer, why, timeline.key, state);
        }
    }
}

/// Adds the edges of time: transactions, then moments, are the nodes; returns how many there are.
///
/// A moment is the end of a transaction. From each transaction to its end, from each moment to the
/// next, and from the last moment before it to each transaction: with three edges a transaction,
/// whatever the concurrency, exactly those who were over are before those who began.
pub fn add_time(history: &History, happened: &[bool], edges: &mut Vec<Edge>) -> usize {
    let transactions = &history.transactions;
    let takes_part = |at: &usize| happened[*at];
    let end = |at: &usize| transactions[*at].end();
    let mut ends: Vec<usize> = (0..transactions.len()).filter(takes_part).collect();
    ends.retain(|at| end(at) < u64::MAX);
    ends.sort_by_key(end);
    let times: Vec<u64> = ends.iter().map(end).collect();
    let moment = |number: usize| (transactions.len() + number) as u32;
    let mut add = |from, to| edges.push(Edge { from, to, why: Why::Time, key: 0, state: 0 });
    for (number, at) in ends.iter().enumerate() {
        add(*at as u32, moment(number));
        if number > 0 {
            add(moment(number - 1), moment(number));
        }
    }
    for at in (0..transactions.len()).filter(takes_part) {
        let before = times.partition_point(|end| *end < transactions[at].invoked);
        if before > 0 {
            add(moment(before - 1), at as u32);
        }
    }
    transactions.len() + ends.len()
}

/// An edge in words.
pub fn explain(index: &Index<'_>, timelines: &[Timeline<'_>], edge: &Edge) -> String {
    let (from, to) = (name(edge.from as usize), name(edge.to as usize));
    let state = || {
        let state = &timelines[edge.key as usize].states[edge.state as usize];
        let exact = if state.is_exact { "" } else { "after " };
        let shard = index.shards[edge.key as usize];
        let wrote = if state.is_present { "wrote" } else { "deleted" };
        (wrote, index.keys[edge.key as usize], format!("{exact}s{shard}:r{}", state.revision))
    };
    match edge.why {
        Why::Replaces => {
            let (wrote, key, revision) = state();
            format!("{to} {wrote} {key} at {revision}, later than {from} did")
        }
        Why::Reads => {
            let (wrote, key, revision) = state();
            format!("{to} saw {key} as {from} {wrote} it at {revision}, or later")
        }
        Why::IsReplaced => {
            let (wrote, key, revision) = state();
            format!("{from} saw {key} from before {to} {wrote} it at {revision}")
        }
        Why::IsJoined => {
            let (wrote, key, revision) = state();
            format!("{from} did not scan {key}, which {to} {wrote} at {revision}")
        }
        Why::Time => {
            let [first, second]: [&Transaction; 2] =
                [edge.from, edge.to].map(|at| index.transaction(at as usize));
            let (ended, began) = (first.completed, second.invoked);
            format!("{from} was over at {ended}, {to} began at {began}")
        }
    }
}
