//! The states of one key in their order, and the transactions that may have made more of them.
//!
//! Position `i` is the time from state `i` to state `i + 1`; position 0, before the first state, is
//! absence. A read shows a position. There may be states that nobody saw and nobody was told of:
//! every conclusion from positions holds with them as well.

use std::collections::HashMap;

use crate::history::evidence::{Claim, Evidence};
use crate::history::explain::{list, name};
use crate::history::index::{Effect, Index};
use crate::history::{Kind, Outcome, Record, Violation};

/// One key's states.
pub struct Timeline<'a> {
    pub key: u32,
    /// In order; the first is the absence before everything.
    pub states: Vec<State<'a>>,
    /// Transactions that may have written the key, or did, at a place that is not known.
    pub maybe: Vec<usize>,
    /// Positions at which the key was absent, or may have been for a while.
    absences: Vec<usize>,
    /// The state that each writer left.
    own: HashMap<usize, usize>,
    /// Per state, the first end of its writer or a later one's.
    first_end: Vec<u64>,
    /// Per state, the last beginning of its writer or an earlier one's.
    last_begin: Vec<u64>,
}

/// A key as one transaction left it.
#[derive(Clone, Copy)]
pub struct State<'a> {
    /// The revision that made it; if `is_exact` is not set, it came later than this.
    pub revision: u64,
    pub is_exact: bool,
    pub is_present: bool,
    pub writer: Option<usize>,
    pub record: Option<&'a Record>,
}

/// The positions at which an absent key may have been read: from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Absence {
    pub first: usize,
    pub last: usize,
}

impl<'a> Timeline<'a> {
    /// Puts the claims about one key, sorted by revision, in order.
    pub fn new(
        index: &Index<'a>,
        key: u32,
        claims: &[Claim<'a>],
        maybe: Vec<usize>,
        violations: &mut Vec<Violation>,
    ) -> Self {
        let absent =
            State { revision: 0, is_exact: true, is_present: false, writer: None, record: None };
        let mut states = vec![absent];
        for claims in claims.chunk_by(|a, b| a.revision == b.revision) {
            states.push(merge(index, key, claims, violations));
        }
        let (absences, first_end, last_begin) = (vec![], vec![], vec![]);
        Self { key, states, maybe, absences, own: HashMap::new(), first_end, last_begin }
    }

    /// Returns the effect of a state's writer on the key.
    pub fn effect<'i>(&self, index: &'i Index<'a>, state: usize) -> Option<&'i Effect<'a>> {
        self.states[state].writer.and_then(|writer| index.effect(writer, self.key))
    }

    /// Returns true if the key cannot have been absent between a state and the next one.
    fn is_kept(&self, state: usize) -> bool {
        let next = self.states.get(state + 1).and_then(|next| next.record);
        next.is_some_and(|record| record.create_revision <= self.states[state].revision)
    }

    /// Prepares the answers below; to be called once, when the states are complete.
    pub fn finish(&mut self, index: &Index<'_>) {
        let deletes = |writer: &usize| index.effect(*writer, self.key).is_some_and(|e| e.deletes);
        let hidden = self.maybe.iter().any(deletes);
        let absent = |at: &usize| !self.states[*at].is_present || (hidden && !self.is_kept(*at));
        self.absences = (0..self.states.len()).filter(absent).collect();
        let writers = self.states.iter().enumerate();
        self.own = writers.filter_map(|(at, state)| Some((state.writer?, at))).collect();
        let (mut end, mut begin) = (u64::MAX, 0);
        self.last_begin = vec![0; self.states.len()];
        self.first_end = vec![0; self.states.len()];
        for (at, state) in self.states.iter().enumerate() {
            begin = begin.max(state.writer.map_or(0, |writer| index.transaction(writer).invoked));
            self.last_begin[at] = begin;
        }
        for (at, state) in self.states.iter().enumerate().skip(1).rev() {
            let ended = state.writer.map_or(u64::MAX, |writer| index.transaction(writer).end());
            end = end.min(ended);
            self.first_end[at] = end;
        }
    }

    /// The state that a record describes.
    pub fn find(&self, record: &Record) -> Option<usize> {
        let revision = record.mod_revision;
        let at = self.states.partition_point(|state| state.revision < revision);
        let state = self.states.get(at).filter(|state| state.revision == revision);
        state.filter(|state| state.is_exact).map(|_| at)
    }

    /// Returns the positions at which `reader` may have read that the key is absent.
    ///
    /// The reader's own write comes directly behind it, or else the history is wrong anyway. If time
    /// leaves no place, the nearest one before that, or behind it: a cycle shows it.
    pub fn absence(&self, index: &Index<'_>, reader: usize) -> Absence {
        let at = |position: usize| Absence { first: position, last: position };
        if self.absences.len() == 1 {
            return at(self.absences[0]);
        }
        let own = self.own.get(&reader).map(|own| own - 1);
        if let Some(before) = own.filter(|own| self.absences.binary_search(own).is_ok()) {
            return at(before);
        }
        let transaction = index.transaction(reader);
        let from = self.first_end.partition_point(|end| *end < transaction.invoked);
        let to = self.last_begin.partition_point(|begin| *begin <= transaction.end());
        let first = self.absences.partition_point(|at| *at < from.saturating_sub(1));
        let last = self.absences.partition_point(|at| *at < to);
        if first < last {
            return Absence { first: self.absences[first], last: self.absences[last - 1] };
        }
        at(self.absences[first.saturating_sub(1)])
    }

    /// The last state up to this one whose writer is known.
    pub fn written_before(&self, state: usize) -> Option<usize> {
        (1..=state).rev().find(|at| self.states[*at].writer.is_some())
    }

    /// The first state after this one whose writer is known.
    pub fn written_after(&self, state: usize) -> Option<usize> {
        (state + 1..self.states.len()).find(|at| self.states[*at].writer.is_some())
    }
}

/// One state from all that is said of it.
fn merge<'a>(
    index: &Index<'a>,
    key: u32,
    claims: &[Claim<'a>],
    violations: &mut Vec<Violation>,
) -> State<'a> {
    let revision = claims[0].revision;
    let writer = claims.iter().find_map(|claim| claim.writer);
    // A record that its writer cannot have left is reported elsewhere, and says nothing here.
    let proper = claims.iter().filter(|claim| claim.writer == writer);
    let mut proper = proper.filter_map(|claim| claim.seen);
    let seen = proper.next();
    let mut report = |kind, what: String, transactions: Vec<usize>| {
        let key = index.keys[key as usize];
        let text = format!("{key} at r{revision}: {what}{}", list(index, &transactions));
        violations.push(Violation { kind, transactions, text });
    };
    let others = claims.iter().filter_map(|claim| claim.writer);
    if let (Some(a), Some(b)) = (writer, others.clone().find(|other| Some(*other) != writer)) {
        let what = format!("{} and {} both wrote it", name(a), name(b));
        report(Kind::TwoWriters, what, vec![a, b]);
    }
    if let Some((a, record)) = seen
        && let Some((b, other)) = proper.find(|(_, other)| *other != record)
    {
        let what = format!("{} read {record}, {} read {other}", name(a), name(b));
        report(Kind::RecordsDisagree, what, vec![a, b]);
    }
    let effect = writer.and_then(|writer| index.effect(writer, key));
    if let (Some(effect), Some(writer), Some((reader, record))) = (effect, writer, seen)
        && effect.value == Some(&record.value[..])
        && let Some(told) = effect.after.filter(|told| *told != record.version)
    {
        let what = format!("{} was told v{told}, {} read {record}", name(writer), name(reader));
        report(Kind::RecordsDisagree, what, vec![writer, reader]);
    }
    let is_present = effect.map_or(seen.is_some(), |effect| effect.value.is_some());
    let record = seen.map(|(_, record)| record).filter(|_| is_present);
    State { revision, is_exact: true, is_present, writer, record }
}

/// The timelines of all keys, by number.
pub fn timelines<'a>(
    index: &Index<'a>,
    evidence: &mut Evidence<'a>,
    violations: &mut Vec<Violation>,
) -> Vec<Timeline<'a>> {
    let mut maybe: Vec<Vec<usize>> = vec![vec![]; index.keys.len()];
    for (at, transaction) in index.history.transactions.iter().enumerate() {
        if transaction.outcome == Outcome::Aborted {
            continue;
        }
        for effect in index.effects(at) {
            if effect.changed != Some(false) && !evidence.is_placed(index, at, effect.key) {
                maybe[effect.key as usize].push(at);
            }
        }
    }
    let mut claims = std::mem::take(&mut evidence.claims);
    claims.sort_by_key(|claim| (claim.key, claim.revision));
    let mut rest = &claims[..];
    let mut all = vec![];
    for (key, maybe) in maybe.into_iter().enumerate() {
        let (these, others) = rest.split_at(rest.partition_point(|c| c.key == key as u32));
        rest = others;
        all.push(Timeline::new(index, key as u32, these, maybe, violations));
    }
    all
}
