//! The states of a key add up: versions count every write since the key was created.
//!
//! ```text
//! r3 v1   r5 v2   r9 v4        one write is missing between r5 and r9: some transaction of unknown
//!                              outcome did it, or else one of the others was applied twice
//! r3 v1   r5 v2   r9 v1        the key was deleted and created again: somebody must have done it
//! ```
//!
//! Missing writes are added up, always as the least that can be, and compared with those that transactions
//! of unknown outcome or place could have done. If just one could have done it, it happened there.

use crate::history::explain::{list, name};
use crate::history::index::Index;
use crate::history::timeline::{State, Timeline};
use crate::history::{Kind, Violation};

/// The key as the walk has come to it.
struct Walk<'t, 'a> {
    timeline: &'t Timeline<'a>,
    index: &'t Index<'a>,
    /// The version after the state before; with the least of what is not known.
    version: u64,
    /// Sets in `version` whose place in the count is not known.
    loose: u64,
    /// The revision that created the key, if it is present and that was told.
    created: Option<u64>,
    /// Writes that nobody is known to have done, so far.
    missing: Missing,
    /// Writes that could have been those.
    possible: Missing,
    found: Vec<Violation>,
    /// Before which state which transaction wrote.
    inferred: Vec<(usize, usize)>,
}

#[derive(Clone, Copy, Default)]
struct Missing {
    sets: u64,
    deletes: u64,
}

/// Checks one key, adds states that are proven to the timeline, and gives the transactions that
/// therefore happened.
pub fn check_versions<'a>(
    index: &Index<'a>,
    timeline: &mut Timeline<'a>,
    violations: &mut Vec<Violation>,
) -> Vec<usize> {
    let mut possible = Missing::default();
    for writer in &timeline.maybe {
        let effect = index.effect(*writer, timeline.key);
        possible.sets += effect.map_or(0, |effect| effect.sets);
        possible.deletes += effect.map_or(0, |effect| u64::from(effect.deletes));
    }
    let mut walk = Walk {
        timeline,
        index,
        version: 0,
        loose: 0,
        created: None,
        missing: Missing::default(),
        possible,
        found: vec![],
        inferred: vec![],
    };
    for state in 1..walk.timeline.states.len() {
        walk.step(state);
    }
    let Walk { found, inferred, .. } = walk;
    violations.extend(found);
    insert(index, timeline, &inferred);
    inferred.into_iter().map(|(_, writer)| writer).collect()
}

fn insert<'a>(index: &Index<'a>, timeline: &mut Timeline<'a>, inferred: &[(usize, usize)]) {
    for (before, writer) in inferred.iter().rev() {
        let revision = timeline.states[before - 1].revision;
        let effect = index.effect(*writer, timeline.key);
        let is_present = effect.is_some_and(|effect| effect.value.is_some());
        let (is_exact, writer) = (false, Some(*writer));
        let state = State { revision, is_exact, is_present, writer, record: None };
        timeline.states.insert(*before, state);
        timeline.maybe.retain(|maybe| Some(*maybe) != writer);
    }
}

impl Walk<'_, '_> {
    /// Goes on to a state: from the version before it, past its writer, to the version after it.
    fn step(&mut self, at: usize) {
        let state = self.timeline.states[at];
        let Some(effect) = self.timeline.effect(self.index, at) else {
            // Nobody could have written it, which is reported elsewhere: the walk starts from there.
            self.version = state.record.map_or(0, |record| record.version);
            (self.loose, self.created) = (0, state.record.map(|record| record.create_revision));
            return;
        };
        if let Some((expected, told)) = effect.broken {
            self.report(
                at,
                Kind::NonMonotonicVersions,
                format!("v{told} where v{expected} is next"),
            );
        }
        let after = state.record.map(|record| record.version).or(effect.after);
        let own = effect.tail_sets;
        if let Some(after) = after.filter(|_| state.is_present)
            && (after < own || (effect.deletes && after != own))
        {
            let what = format!("v{after}, although its writer set it {own} times");
            return self.report(at, Kind::NonMonotonicVersions, what);
        }
        let from_after = after.filter(|_| !effect.deletes).map(|after| after - own);
        let before = effect.before.or(from_after);
        if let Some(before) = before {
            self.compare(at, before);
        }
        let base = if effect.deletes { 0 } else { before.unwrap_or(self.version) };
        let is_exact = before.is_some() || effect.deletes;
        self.loose = if is_exact { 0 } else { self.loose + own };
        self.version = if state.is_present { base + own } else { 0 };
        let new = self.timeline.states[at].revision;
        self.created = match state.record {
            Some(record) => Some(record.create_revision),
            None if !state.is_present => None,
            None if effect.deletes || before == Some(0) => Some(new),
            // Unless it may have been deleted and created again without anybody being told.
            None => self.created.filter(|_| is_exact && self.possible.deletes == 0),
        };
    }

    /// Compares the version that a writer found with the one that should have been there.
    fn compare(&mut self, at: usize, before: u64) {
        let state = &self.timeline.states[at];
        let past = self.timeline.states[at - 1].revision;
        let effect = self.timeline.effect(self.index, at);
        let fresh = effect.is_some_and(|effect| effect.deletes) || before == 0;
        let created = state.record.map(|record| record.create_revision);
        if let Some(created) = created
            && fresh != (created == state.revision)
        {
            let what = format!("v{before} before it, and yet created at r{created}");
            return self.report(at, Kind::NonMonotonicVersions, what);
        }
        // A record that was there before its writer was created by an earlier one.
        let kept = created.filter(|created| !fresh && *created <= past);
        if let Some(created) = kept
            && (self.version == 0
                || (before < self.version && self.loose == 0)
                || self.created.is_some_and(|earlier| earlier != created))
        {
            let what = format!("v{before} before it, v{} earlier", self.version);
            return self.report(at, Kind::NonMonotonicVersions, what);
        }
        let is_new = created.is_some_and(|created| !fresh && created > past);
        let renewed = before < self.version || (is_new && self.version > 0);
        let known = if renewed { self.loose } else { self.version };
        let missing = Missing { sets: before.saturating_sub(known), deletes: u64::from(renewed) };
        self.miss(at, missing, before);
    }

    /// Notes the writes that others must have made between a state and the one before it.
    fn miss(&mut self, at: usize, missing: Missing, before: u64) {
        let Missing { sets, deletes } = missing;
        let was = self.missing;
        self.missing = Missing { sets: was.sets + sets, deletes: was.deletes + deletes };
        let now = self.version;
        if was.deletes <= self.possible.deletes && self.missing.deletes > self.possible.deletes {
            let kind = if before == 0 { Kind::LostWrite } else { Kind::NonMonotonicVersions };
            let what = format!("v{before} before it, v{now} earlier, and nobody deleted the key");
            self.report(at, kind, what);
        } else if was.sets <= self.possible.sets && self.missing.sets > self.possible.sets {
            let what = format!("v{before} before it, v{now} earlier, and nobody wrote in between");
            self.report(at, Kind::VersionGap, what);
        } else if self.loose == 0 && sets + deletes > 0 {
            self.infer(at, missing);
        }
    }

    /// If just one transaction can have made the missing write, it did.
    fn infer(&mut self, at: usize, missing: Missing) {
        let key = self.timeline.key;
        let effect = |writer: &usize| self.index.effect(*writer, key);
        let could = |writer: &&usize| {
            effect(writer).is_some_and(|effect| {
                (missing.sets > 0 && effect.sets > 0) || (missing.deletes > 0 && effect.deletes)
            })
        };
        let mut candidates = self.timeline.maybe.iter().filter(could);
        let (Some(writer), None) = (candidates.next(), candidates.next()) else { return };
        let fits = effect(writer).is_some_and(|effect| {
            (effect.sets, u64::from(effect.deletes)) == (missing.sets, missing.deletes)
        });
        if fits && self.inferred.iter().all(|(_, known)| known != writer) {
            self.inferred.push((at, *writer));
        }
    }

    fn report(&mut self, at: usize, kind: Kind, what: String) {
        let states = &self.timeline.states;
        let key = self.index.keys[self.timeline.key as usize];
        let writers = [states[at - 1].writer, states[at].writer];
        let transactions: Vec<usize> = writers.into_iter().flatten().collect();
        let by = states[at].writer.map_or(String::new(), |writer| format!(" by {}", name(writer)));
        let revision = states[at].revision;
        let text = format!("{key} at r{revision}{by}: {what}{}", list(self.index, &transactions));
        self.found.push(Violation { kind, transactions, text });
    }
}
