//! [`CallNotes`]: the log lines and faults of calls, and the figures of each function.
//!
//! Promises that a call is noted once, by the index of its entry. The index is the same on every replica, so
//! a reader of one replica's notes can go on at another replica. Notes are no part of the replicated state:
//! they are in memory, bounded, and begin anew with the process. The note of a call across shards is that of
//! its decision, whose entry tells what the call did. Leaves out queries, which are in no log.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::function::called::{CallEndKind, CallReport};
use crate::function::statistics::FunctionStatistics;
use crate::ids::{Caller, ComponentHash, ComponentRef, LogIndex, ShardId, Timestamp};
use crate::limits::{CALL_NOTES_BYTES_MAX, FUNCTIONS_COUNTED_MAX};

/// A note of a call that logged something, or faulted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallNote {
    /// The shard that ran or decided the call.
    pub shard: ShardId,
    /// The call's entry in that shard's log.
    pub index: LogIndex,
    /// Entry time.
    pub time: Timestamp,
    /// The client that sent the request.
    pub caller: Caller,
    /// The component as the caller named it.
    pub named: ComponentRef,
    /// The component that ran.
    pub component: ComponentHash,
    pub function: String,
    pub ended: CallEndKind,
    /// The lines of the log.
    pub lines: Vec<String>,
}

impl CallNote {
    /// Returns the size in memory, about.
    fn size(&self) -> usize {
        let lines = self.lines.iter().map(|line| line.len() + size_of::<String>());
        size_of::<Self>() + self.function.len() + lines.sum::<usize>()
    }

    /// True if the call used this name, or ran this component.
    pub fn is_of(&self, component: &ComponentRef) -> bool {
        match component {
            ComponentRef::Name(_) => self.named == *component,
            ComponentRef::Hash(hash) => self.component == *hash,
        }
    }
}

/// The notes and figures of the calls that one replica applied since it was opened: log lines and faults in
/// a ring of [`CALL_NOTES_BYTES_MAX`] for each shard, counts and histograms for each function. Times are
/// those of the node's own clock. A reader that follows the leader's notes goes on at the next leader
/// without a gap or a repeat, as far as that process is old enough.
#[derive(Debug, Default)]
pub struct CallNotes {
    notes: VecDeque<CallNote>,
    bytes: usize,
    functions: BTreeMap<(ComponentHash, String), FunctionStatistics>,
}

impl CallNotes {
    /// Notes a call. The time and the index are those of its entry.
    pub fn note(&mut self, note: CallNote, called: &CallReport, micros: u64) {
        let key = (called.component, note.function.clone());
        if self.functions.len() < FUNCTIONS_COUNTED_MAX || self.functions.contains_key(&key) {
            let new = || FunctionStatistics::new(called.component, note.function.clone());
            self.functions.entry(key).or_insert_with(new).count(called, micros);
        }
        if note.lines.is_empty() && !matches!(note.ended, CallEndKind::Faulted(_)) {
            return;
        }
        self.bytes += note.size();
        self.notes.push_back(note);
        while self.bytes > CALL_NOTES_BYTES_MAX {
            let Some(oldest) = self.notes.pop_front() else { return };
            self.bytes -= oldest.size();
        }
    }

    /// Returns the notes after an entry, the oldest first; with `of` those of one name or
    /// component.
    pub fn after(&self, index: LogIndex, of: Option<&ComponentRef>) -> Vec<CallNote> {
        let begin = self.notes.partition_point(|note| note.index <= index);
        let all = self.notes.range(begin..);
        all.filter(|note| of.is_none_or(|of| note.is_of(of))).cloned().collect()
    }

    /// Returns the figures of each function, in order of components and functions.
    pub fn statistics(&self) -> Vec<FunctionStatistics> {
        self.functions.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::function::fault::GuestFault;
    use crate::ids::Fuel;

    fn call(notes: &mut CallNotes, index: u64, function: &str, ended: CallEndKind, lines: &[&str]) {
        let component = ComponentHash::of(b"one");
        let log: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
        let called = CallReport { component, ended, fuel: Fuel::new(10), log, scheduled: None };
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
        call(&mut notes, 1, "f", CallEndKind::Returned, &[]);
        call(&mut notes, 2, "f", CallEndKind::Faulted(GuestFault::OutOfFuel), &[]);
        call(&mut notes, 3, "g", CallEndKind::Aborted, &["hello"]);
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
        (4..2_000).for_each(|index| call(&mut notes, index, "f", CallEndKind::Returned, &[&line]));
        assert!(notes.bytes <= CALL_NOTES_BYTES_MAX && notes.notes.len() > 100);
        assert_eq!(notes.notes.back().unwrap().index.get(), 1_999);
        let [f, g] = &notes.statistics()[..] else { panic!() };
        assert_eq!(
            (f.calls(), f.returned, &f.faulted[..]),
            (1_998, 1_997, &[(GuestFault::OutOfFuel, 1)][..])
        );
        assert_eq!((g.calls(), g.aborted, g.fuel.mean(), g.micros.mean()), (1, 1, 10, 3));
        (0..2 * FUNCTIONS_COUNTED_MAX).for_each(|n| {
            call(&mut notes, 2_000, &n.to_string(), CallEndKind::Returned, &[]);
        });
        assert_eq!(notes.statistics().len(), FUNCTIONS_COUNTED_MAX);
    }
}
