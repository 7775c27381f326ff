//! What calls did: the lines they logged, and figures of each function.
//!
//! Promises that a call is noted once, by the index of its entry, which is the same on every replica;
//! so whoever reads notes of one replica can go on at another. Notes are no part of the replicated
//! state: they are in memory, bounded, and begin anew with the process. A call across shards is that
//! of its decision, which tells what it did. Leaves out queries, which are in no log.

use std::collections::{BTreeMap, VecDeque};
use std::mem::discriminant;

use serde::{Deserialize, Serialize};

use crate::command::{Call, ComponentRef};
use crate::functions::CallEnd;
use crate::ids::{Caller, ComponentHash, Fuel, LogIndex, ShardId, Timestamp};
use crate::limits::{CALL_NOTES_BYTES_MAX, FUNCTIONS_COUNTED_MAX};
use crate::outcome::GuestFault;
use crate::two_phase::RanAcross;

/// A call that was run: what is not in its outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// The component that the name pointed to.
    pub component: ComponentHash,
    /// How it ended.
    pub ended: Ended,
    /// Fuel used.
    pub fuel: Fuel,
    /// Lines it logged, bounded.
    pub log: Vec<String>,
    /// The call and who scheduled it, if a schedule made it.
    pub scheduled: Option<Box<(Call, Caller)>>,
}

impl Called {
    /// One that ran across shards; `None` if it was not started.
    pub(crate) fn across(ran: &RanAcross) -> Option<Self> {
        let RanAcross { component, fuel, ref log, .. } = *ran;
        let ended = Ended::of(&ran.end)?;
        Some(Called { component, ended, fuel, log: log.clone(), scheduled: None })
    }
}

/// How a call ended, without what it returned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// With a result.
    Returned,
    /// With the error case of its `result`.
    Aborted,
    /// It failed.
    Faulted(GuestFault),
}

impl Ended {
    /// `None` if the call was not started.
    pub(crate) fn of(end: &CallEnd) -> Option<Ended> {
        match end {
            CallEnd::Returned(_) => Some(Ended::Returned),
            CallEnd::Aborted(_) => Some(Ended::Aborted),
            CallEnd::Faulted(fault) => Some(Ended::Faulted(fault.clone())),
            CallEnd::Refused(_) => None,
        }
    }
}

/// A call that logged something, or faulted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallNote {
    /// The shard that ran it, or decided it.
    pub shard: ShardId,
    /// Its entry in that shard's log.
    pub index: LogIndex,
    /// Entry time.
    pub time: Timestamp,
    /// Who asked.
    pub caller: Caller,
    /// The component as the caller named it.
    pub named: ComponentRef,
    /// The component that this was.
    pub component: ComponentHash,
    /// The function.
    pub function: String,
    /// How it ended.
    pub ended: Ended,
    /// What it logged.
    pub lines: Vec<String>,
}

impl CallNote {
    /// What it takes in memory, about.
    fn size(&self) -> usize {
        let lines = self.lines.iter().map(|line| line.len() + size_of::<String>());
        size_of::<Self>() + self.function.len() + lines.sum::<usize>()
    }

    /// Whether it was called by this name, or is of this component.
    pub fn is_of(&self, component: &ComponentRef) -> bool {
        match component {
            ComponentRef::Name(_) => self.named == *component,
            ComponentRef::Hash(hash) => self.component == *hash,
        }
    }
}

/// Figures of one function of one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionStatistics {
    /// The component.
    pub component: ComponentHash,
    /// The function.
    pub function: String,
    /// Calls that returned.
    pub returned: u64,
    /// Calls that ended with their own error.
    pub aborted: u64,
    /// Calls that failed, by kind: one of the kind, and how many.
    pub faulted: Vec<(GuestFault, u64)>,
    /// Fuel of a call.
    pub fuel: Histogram,
    /// Microseconds that apply took for a call, on the node that answers; of a call across shards, that
    /// its last run took where it ran.
    pub micros: Histogram,
}

impl FunctionStatistics {
    /// Of a function that was not called yet.
    pub fn new(component: ComponentHash, function: String) -> Self {
        let (fuel, micros) = (Histogram::default(), Histogram::default());
        Self { component, function, returned: 0, aborted: 0, faulted: vec![], fuel, micros }
    }

    fn count(&mut self, called: &Called, micros: u64) {
        match &called.ended {
            Ended::Returned => self.returned += 1,
            Ended::Aborted => self.aborted += 1,
            Ended::Faulted(fault) => self.count_fault(fault, 1),
        }
        self.fuel.count(called.fuel.get());
        self.micros.count(micros);
    }

    fn count_fault(&mut self, fault: &GuestFault, times: u64) {
        let is_same =
            |(known, _): &&mut (GuestFault, u64)| discriminant(known) == discriminant(fault);
        match self.faulted.iter_mut().find(is_same) {
            Some((_, count)) => *count += times,
            None => self.faulted.push((fault.clone(), times)),
        }
    }

    /// Adds the figures of another shard.
    pub fn add(&mut self, other: &Self) {
        self.returned += other.returned;
        self.aborted += other.aborted;
        other.faulted.iter().for_each(|(fault, count)| self.count_fault(fault, *count));
        self.fuel.add(&other.fuel);
        self.micros.add(&other.micros);
    }

    /// All calls.
    pub fn calls(&self) -> u64 {
        self.returned + self.aborted + self.faulted.iter().map(|(_, count)| count).sum::<u64>()
    }
}

/// How often which value was seen, to a quarter of the value: four buckets for each power of two, as
/// HdrHistogram (hdrhistogram.org) has them with one significant digit less.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// Buckets; those beyond the last are empty. The first four are 0 to 3; then come those from
    /// `(4 + n % 4) << (n / 4 - 1)` on.
    counts: Vec<u64>,
    sum: u64,
}

impl Histogram {
    /// Counts a value.
    pub fn count(&mut self, value: u64) {
        let bucket = match value.checked_ilog2() {
            None | Some(0 | 1) => value as usize,
            Some(power) => 4 * (power as usize - 1) + (value >> (power - 2)) as usize % 4,
        };
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(here, there)| *here += there);
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Their mean, rounded down; 0 if there are none.
    pub fn mean(&self) -> u64 {
        self.sum.checked_div(self.total()).unwrap_or(0)
    }

    /// The value that this share of all is not above, rounded up to the end of its bucket; 0 if there
    /// are none. `permille` is 0 to 1,000.
    pub fn quantile(&self, permille: u64) -> u64 {
        let wanted = (self.total() * permille).div_ceil(1000);
        let mut seen = 0;
        let at = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted && seen > 0
        });
        match at {
            None => 0,
            Some(bucket @ 0..4) => bucket as u64,
            Some(bucket) => {
                let (power, step) = (bucket as u32 / 4 - 1, bucket as u64 % 4);
                (5 + step).checked_shl(power).map_or(u64::MAX, |end| end.wrapping_sub(1))
            }
        }
    }
}

/// What one replica noted of the calls that it applied since it was opened.
#[derive(Debug, Default)]
pub struct CallNotes {
    notes: VecDeque<CallNote>,
    bytes: usize,
    functions: BTreeMap<(ComponentHash, String), FunctionStatistics>,
}

impl CallNotes {
    /// Notes a call, whose time and index come from whoever applied it.
    pub fn note(&mut self, note: CallNote, called: &Called, micros: u64) {
        let key = (called.component, note.function.clone());
        if self.functions.len() < FUNCTIONS_COUNTED_MAX || self.functions.contains_key(&key) {
            let new = || FunctionStatistics::new(called.component, note.function.clone());
            self.functions.entry(key).or_insert_with(new).count(called, micros);
        }
        if note.lines.is_empty() && !matches!(note.ended, Ended::Faulted(_)) {
            return;
        }
        self.bytes += note.size();
        self.notes.push_back(note);
        while self.bytes > CALL_NOTES_BYTES_MAX {
            let Some(oldest) = self.notes.pop_front() else { return };
            self.bytes -= oldest.size();
        }
    }

    /// The notes after an entry, the oldest first; of one name or component if wanted.
    pub fn after(&self, index: LogIndex, of: Option<&ComponentRef>) -> Vec<CallNote> {
        let begin = self.notes.partition_point(|note| note.index <= index);
        let all = self.notes.range(begin..);
        all.filter(|note| of.is_none_or(|of| note.is_of(of))).cloned().collect()
    }

    /// The figures of each function, in order of components and functions.
    pub fn statistics(&self) -> Vec<FunctionStatistics> {
        self.functions.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_knows_a_value_to_a_quarter() {
        for value in (0..2_000).chain([1 << 40, u64::MAX - 1, u64::MAX]) {
            let mut seen = Histogram::default();
            seen.count(value);
            let found = seen.quantile(500);
            assert!(found >= value && found - value <= value / 4, "{value}: {found}");
            assert_eq!((seen.total(), seen.mean()), (1, value));
        }
    }

    #[test]
    fn quantile_is_of_all_that_were_counted() {
        let mut seen = Histogram::default();
        assert_eq!((seen.quantile(990), seen.mean()), (0, 0));
        (0..90).for_each(|_| seen.count(2));
        let mut slow = Histogram::default();
        (0..10).for_each(|_| slow.count(1_000));
        seen.add(&slow);
        let found = [0, 500, 900, 901, 1_000].map(|permille| seen.quantile(permille));
        assert_eq!(found, [2, 2, 2, 1_023, 1_023]);
        assert_eq!((seen.total(), seen.mean()), (100, 101));
    }

    fn call(notes: &mut CallNotes, index: u64, function: &str, ended: Ended, lines: &[&str]) {
        let component = ComponentHash::of(b"one");
        let log: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
        let called = Called { component, ended, fuel: Fuel::new(10), log, scheduled: None };
        let note = CallNote {
            shard: ShardId::new(0),
            index: LogIndex::new(index),
            time: Timestamp::new(index),
            caller: Caller::LOCAL,
            named: "bank".parse().unwrap(),
            component,
            function: function.into(),
            ended: called.ended.clone(),
            lines: called.log.clone(),
        };
        notes.note(note, &called, 3);
    }

    #[test]
    fn notes_are_of_calls_that_say_something_and_bounded() {
        let mut notes = CallNotes::default();
        call(&mut notes, 1, "f", Ended::Returned, &[]);
        call(&mut notes, 2, "f", Ended::Faulted(GuestFault::OutOfFuel), &[]);
        call(&mut notes, 3, "g", Ended::Aborted, &["hello"]);
        let indexes = |notes: &CallNotes, after, of: Option<&str>| {
            let of = of.map(|of| of.parse().unwrap());
            let found = notes.after(LogIndex::new(after), of.as_ref());
            found.iter().map(|note| note.index.get()).collect::<Vec<_>>()
        };
        assert_eq!(indexes(&notes, 0, None), [2, 3]);
        assert_eq!(indexes(&notes, 2, Some("bank")), [3]);
        assert_eq!(indexes(&notes, 3, None), []);
        assert_eq!(indexes(&notes, 0, Some("other")), []);
        let line = "x".repeat(1_000);
        (4..2_000).for_each(|index| call(&mut notes, index, "f", Ended::Returned, &[&line]));
        assert!(notes.bytes <= CALL_NOTES_BYTES_MAX && notes.notes.len() > 100);
        assert_eq!(notes.notes.back().unwrap().index.get(), 1_999);
        let [f, g] = &notes.statistics()[..] else { panic!() };
        assert_eq!(
            (f.calls(), f.returned, &f.faulted[..]),
            (1_998, 1_997, &[(GuestFault::OutOfFuel, 1)][..])
        );
        assert_eq!((g.calls(), g.aborted, g.fuel.mean(), g.micros.mean()), (1, 1, 10, 3));
        (0..2 * FUNCTIONS_COUNTED_MAX).for_each(|n| {
            call(&mut notes, 2_000, &n.to_string(), Ended::Returned, &[]);
        });
        assert_eq!(notes.statistics().len(), FUNCTIONS_COUNTED_MAX);
    }
}
