//! Schedules: calls that the shard makes by itself, once or repeatedly.
//!
//! ```text
//! every 10 s from t=10        t=10      t=20      t=30      t=40   t=50
//!                              run       |  no leader     |  run    run
//!                                        missed: run once, late; then in step again
//! ```
//!
//! Entry time alone decides when a schedule is due. [`crate::protocol::Command::Tick`] runs the first one
//! that is due, one per entry, as an ordinary call. The writes of the call and the note of its run are one
//! entry, so a run happens exactly once, under any leader. Missed runs are not made up for: one late run
//! counts for all of them. Leaves out calls that touch keys of other shards.
//!
//! In memory; [`Schedules::take_changes`] gives the owner the changes to store with the batch.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::function::{Call, CallEndKind};
use crate::ids::{Caller, Name, Timestamp};
use crate::limits::{NAME_BYTES_MAX, SCHEDULE_ARGS_BYTES_MAX, SCHEDULE_EVERY_MS, SCHEDULES_MAX};
use crate::refusal::Refusal;

/// A new schedule, as a client asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSchedule {
    /// The name on the shard of the call's key. An older schedule with this name is replaced.
    pub name: Name,
    /// The call; its reads must be empty.
    pub call: Call,
    /// The time of the first call.
    pub first: FirstRun,
    /// Milliseconds between two calls, within [`SCHEDULE_EVERY_MS`]; `None`: one call.
    pub every_ms: Option<u64>,
}

/// The time of the first call of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FirstRun {
    /// At this entry time; at once if that has passed.
    At(Timestamp),
    /// This many milliseconds after the entry that makes the schedule.
    After(u64),
}

impl NewSchedule {
    /// Checks the limits.
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

/// A schedule as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    pub call: Call,
    /// The client that made the schedule: the function sees it as its caller.
    pub caller: Caller,
    /// Entry time from which on the next call is made.
    pub due: Timestamp,
    /// Milliseconds between two calls; `None`: the schedule is gone after one call.
    pub every_ms: Option<u64>,
    /// The number of calls so far.
    pub runs: u64,
    /// The last call and its end.
    pub last: Option<LastRun>,
}

/// One call of a schedule, and its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// Entry time.
    pub time: Timestamp,
    /// The end of the call, or the refusal if it was not started.
    pub ended: Result<CallEndKind, Refusal>,
}

impl Schedule {
    /// Makes a schedule at entry time `now`.
    pub(crate) fn new(new: &NewSchedule, caller: Caller, now: Timestamp) -> Self {
        let due = match new.first {
            FirstRun::At(time) => time,
            FirstRun::After(ms) => now.after(ms),
        };
        let (call, every_ms) = (new.call.clone(), new.every_ms);
        Self { call, caller, due, every_ms, runs: 0, last: None }
    }

    /// Returns the schedule after a run: due at the first of its times after the run. `None` if
    /// there is none.
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

/// A change for the owner to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleChange {
    pub name: Name,
    /// The present schedule; `None`: gone.
    pub schedule: Option<Schedule>,
}

impl Schedules {
    /// True if a schedule with this name can be set.
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

    /// Removes a schedule. Returns true if it existed.
    pub fn remove(&mut self, name: &Name) -> bool {
        let Some(schedule) = self.by_name.remove(name) else { return false };
        self.by_due.remove(&(schedule.due, name.clone()));
        self.changed.insert(name.clone());
        true
    }

    /// Returns the schedule that is due first at entry time `now`; of several the first by name.
    pub fn first_due(&self, now: Timestamp) -> Option<(&Name, &Schedule)> {
        let (_, name) = self.by_due.first().filter(|(due, _)| *due <= now)?;
        self.by_name.get_key_value(name)
    }

    /// Returns the time when the next schedule is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.by_due.first().map(|(due, _)| *due)
    }

    /// Returns all schedules, in order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, &Schedule)> {
        self.by_name.iter()
    }

    /// Takes the changes since the last time.
    pub fn take_changes(&mut self) -> Vec<ScheduleChange> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        let change = |name: Name| {
            let schedule = self.by_name.get(&name).cloned();
            ScheduleChange { name, schedule }
        };
        changed.map(change).collect()
    }

    /// Restores a stored schedule.
    pub fn restore(&mut self, name: Name, schedule: Schedule) {
        self.by_due.insert((schedule.due, name.clone()));
        self.by_name.insert(name, schedule);
    }
}
