//! Schedules: calls that the shard makes by itself, at a time or again and again.
//!
//! ```text
//! every 10 s from t=10        t=10      t=20      t=30      t=40   t=50
//!                              run       |  nobody leads  |  run    run
//!                                        missed: run once, late; then in step again
//! ```
//!
//! Entry time alone decides when a schedule is due, and [`crate::Command::Tick`] runs the first that is,
//! one an entry, as an ordinary call. What the call writes and that it ran are one entry, so a run
//! happens exactly once, whoever leads. A run that is late is not made up for: times that passed
//! meanwhile count as one. Leaves out calls that touch keys of other shards.
//!
//! Lives in memory; [`Schedules::take_changes`] gives the owner what to store with the batch.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::command::Call;
use crate::ids::{Caller, Name, Timestamp};
use crate::limits::{NAME_BYTES_MAX, SCHEDULE_ARGS_BYTES_MAX, SCHEDULE_EVERY_MS, SCHEDULES_MAX};
use crate::outcome::Refusal;
use crate::statistics::Ended;

/// A call to be made later, as a client asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSchedule {
    /// Names it on the shard of the call's key; one that has the name is replaced.
    pub name: Name,
    /// The call; its reads must be empty.
    pub call: Call,
    /// When it is made first.
    pub first: First,
    /// Between two calls, in milliseconds, within [`SCHEDULE_EVERY_MS`]; `None`: it is made once.
    pub every_ms: Option<u64>,
}

/// When a scheduled call is made first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum First {
    /// At this entry time; at once if it has passed.
    At(Timestamp),
    /// So many milliseconds after the entry that schedules it.
    After(u64),
}

impl NewSchedule {
    /// Whether it is within the limits.
    pub fn check(&self) -> Result<(), Refusal> {
        self.call.check()?;
        if self.call.args.len() > SCHEDULE_ARGS_BYTES_MAX {
            return Err(Refusal::ArgumentsTooLarge { bytes: self.call.args.len() as u64 });
        }
        match self.every_ms {
            Some(every_ms) if !SCHEDULE_EVERY_MS.contains(&every_ms) => {
                Err(Refusal::IntervalOutOfRange { every_ms })
            }
            _ if !self.call.reads.is_empty() => Err(Refusal::ScheduleWithReads),
            _ if self.call.function.len() > NAME_BYTES_MAX => Err(Refusal::FunctionUnknown),
            _ => Ok(()),
        }
    }
}

/// A call that will be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// The call.
    pub call: Call,
    /// Who scheduled it: whom the function sees as its caller.
    pub caller: Caller,
    /// Entry time from which on it is made next.
    pub due: Timestamp,
    /// Between two calls, in milliseconds; `None`: it is made once, and then it is gone.
    pub every_ms: Option<u64>,
    /// How often it was made.
    pub runs: u64,
    /// What it came to the last time.
    pub last: Option<LastRun>,
}

/// What a scheduled call came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// Entry time.
    pub time: Timestamp,
    /// How it ended, or why it was not started.
    pub ended: Result<Ended, Refusal>,
}

impl Schedule {
    /// A new one, made at entry time `now`.
    pub(crate) fn new(new: &NewSchedule, caller: Caller, now: Timestamp) -> Self {
        let due = match new.first {
            First::At(time) => time,
            First::After(ms) => now.after(ms),
        };
        let (call, every_ms) = (new.call.clone(), new.every_ms);
        Self { call, caller, due, every_ms, runs: 0, last: None }
    }

    /// What is left of it after a run: due at the first of its times that is after `now`.
    pub(crate) fn after_run(mut self, run: LastRun) -> Option<Self> {
        let every_ms = self.every_ms?;
        let missed = run.time.since(self.due) / every_ms;
        self.due = self.due.after((missed + 1).saturating_mul(every_ms));
        self.runs += 1;
        self.last = Some(run);
        Some(self)
    }
}

/// The schedules of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedules {
    by_name: BTreeMap<Name, Schedule>,
    by_due: BTreeSet<(Timestamp, Name)>,
    changed: BTreeSet<Name>,
}

/// A change that the owner has to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleChange {
    /// The name.
    pub name: Name,
    /// What it is now; `None`: gone.
    pub schedule: Option<Schedule>,
}

impl Schedules {
    /// Whether one of this name can be set.
    pub fn has_room_for(&self, name: &Name) -> bool {
        self.by_name.len() < SCHEDULES_MAX || self.by_name.contains_key(name)
    }

    /// Adds or replaces one. The caller has checked that there is room.
    pub fn set(&mut self, name: Name, schedule: Schedule) {
        assert!(self.has_room_for(&name), "more than {SCHEDULES_MAX} schedules");
        self.remove(&name);
        self.changed.insert(name.clone());
        self.restore(name, schedule);
    }

    /// Removes one; whether it was there.
    pub fn remove(&mut self, name: &Name) -> bool {
        let Some(schedule) = self.by_name.remove(name) else { return false };
        self.by_due.remove(&(schedule.due, name.clone()));
        self.changed.insert(name.clone());
        true
    }

    /// The one that is due first at entry time `now`, of those the first by name.
    pub fn first_due(&self, now: Timestamp) -> Option<(&Name, &Schedule)> {
        let (_, name) = self.by_due.first().filter(|(due, _)| *due <= now)?;
        self.by_name.get_key_value(name)
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// All, in order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Schedule)> {
        self.by_name.iter()
    }

    /// What changed since the last time.
    pub fn take_changes(&mut self) -> Vec<ScheduleChange> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        let change = |name: Name| {
            let schedule = self.by_name.get(&name).cloned();
            ScheduleChange { name, schedule }
        };
        changed.map(change).collect()
    }

    /// Puts a stored one back.
    pub fn restore(&mut self, name: Name, schedule: Schedule) {
        self.by_due.insert((schedule.due, name.clone()));
        self.by_name.insert(name, schedule);
    }
}
