//! The rules of admission control: when a function that takes long may run.
//!
//! A function is light once a call of the function was cheap; before, and while its calls take
//! long, the function is heavy. Light calls pass at once. Heavy calls pass one at a time through
//! two doors: the door of their executor (a shard's apply, or the background threads) and the door
//! of the node:
//!
//! ```text
//! light -----------------------------------------------------------------------> runs
//! heavy --> waits; callers alternate --> door of the shard --> door of the node --> runs for t
//!                                        then both stay closed for HEAVY_REST * t
//! ```
//!
//! So heavy functions together take one part in `HEAVY_REST + 1` of a shard's apply. The rest is
//! for other work: without other work since the last heavy call began, a door does not stay closed,
//! and after a while without other work several heavy calls may be inside. The time of a call is
//! charged wherever the call ran, so calls that passed as light, or whose client went away, are
//! paid back too.
//!
//! Promises bounded memory, and that a caller with many waiting calls holds up another caller's
//! heavy call by one call. Leaves out the calls that were under way when their function turned
//! heavy: nothing bounded them. Time is passed in; `control.rs` does the waiting.

use std::collections::BTreeMap;
use std::time::Duration;

use aspen_core::ids::{Caller, ComponentRef, Fuel, ShardId};
use tokio::time::Instant;

use super::costs::Costs;
use super::door::Door;
use crate::limits::{HEAVY_FUEL, HEAVY_TIME, WAITING_MAX, WAITING_OF_CALLER_MAX};

/// The threads that a call runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Executor {
    /// The shard of the call's key.
    pub shard: ShardId,
    /// True for the background threads, which all shards share; false for the shard's apply.
    pub is_background: bool,
}

impl Executor {
    /// Apply of this shard.
    pub const fn apply(shard: ShardId) -> Executor {
        Executor { shard, is_background: false }
    }

    /// The background threads, for a key of this shard.
    pub const fn background(shard: ShardId) -> Executor {
        Executor { shard, is_background: true }
    }

    fn door(self) -> Option<ShardId> {
        (!self.is_background).then_some(self.shard)
    }
}

/// A call that wants to run.
#[derive(Clone, Copy)]
pub struct Arrival<'a> {
    pub caller: Caller,
    pub executor: Executor,
    pub component: &'a ComponentRef,
    pub function: &'a str,
}

/// The place of a waiting call in the queue: the call's round, and a number of its own.
pub type QueuePlace = (u64, u64);

/// The decision about a call that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The call runs, and need not say when it is over.
    Light,
    /// The call runs, and [`Rules::leave`] follows.
    Inside,
    /// The call waits until [`Rules::admit`] names its place.
    Waits(QueuePlace),
    /// Too many calls wait.
    Full,
}

/// The doors of a node, and the calls that wait before the doors.
pub struct Rules {
    node: Door,
    /// The door of each shard's apply, and of the background threads.
    doors: BTreeMap<Option<ShardId>, Door>,
    costs: Costs,
    waiting: BTreeMap<QueuePlace, WaitingCall>,
    /// For each caller with waiting calls: the round of the last one, and how many wait.
    callers: BTreeMap<Caller, (u64, usize)>,
    /// The round that was admitted last.
    round: u64,
    /// The number of calls that have waited.
    numbers: u64,
}

struct WaitingCall {
    caller: Caller,
    executor: Executor,
    component: ComponentRef,
    function: String,
}

impl Rules {
    /// Rules for a node that runs at most `lanes` heavy calls at a time.
    pub fn new(lanes: usize) -> Self {
        let node = Door::new(lanes);
        let (doors, waiting, callers) = Default::default();
        Self { node, doors, costs: Costs::default(), waiting, callers, round: 0, numbers: 0 }
    }

    /// Decides about a call that wants to run.
    pub fn arrive(&mut self, now: Instant, call: &Arrival) -> Admission {
        if self.costs.is_light(call.component, call.function) {
            self.note_other(now, call.executor);
            return Admission::Light;
        }
        if self.waiting.is_empty() && self.try_enter(now, call.executor) {
            return Admission::Inside;
        }
        let (last, waiting) = self.callers.get(&call.caller).copied().unwrap_or_default();
        if self.waiting.len() >= WAITING_MAX || waiting >= WAITING_OF_CALLER_MAX {
            return Admission::Full;
        }
        let round = last.max(self.round) + 1;
        self.callers.insert(call.caller, (round, waiting + 1));
        self.numbers += 1;
        let place = (round, self.numbers);
        let (component, function) = (call.component.clone(), call.function.to_string());
        let Arrival { caller, executor, .. } = *call;
        self.waiting.insert(place, WaitingCall { caller, executor, component, function });
        Admission::Waits(place)
    }

    /// Admits waiting calls. Returns the place of each; with an executor, the call is inside and
    /// [`Rules::leave`] follows. The calls wait no more.
    pub fn admit(&mut self, now: Instant) -> Vec<(QueuePlace, Option<Executor>)> {
        let mut admitted = vec![];
        let places: Vec<QueuePlace> = self.waiting.keys().copied().collect();
        for place in places {
            let WaitingCall { executor, component, function, .. } = &self.waiting[&place];
            let executor = *executor;
            if self.costs.is_light(component, function) {
                self.note_other(now, executor);
                admitted.push((place, None));
            } else if self.try_enter(now, executor) {
                self.round = self.round.max(place.0);
                admitted.push((place, Some(executor)));
            } else {
                continue;
            }
            self.cancel(place);
        }
        admitted
    }

    /// Returns when a door opens by itself; `None` if no call waits.
    pub fn opens(&self, now: Instant) -> Option<Instant> {
        let doors = self.doors.values().chain([&self.node]);
        let next = doors.filter_map(|door| door.opens(now)).min();
        next.filter(|_| !self.waiting.is_empty())
    }

    /// Takes a call out of the queue: its client has gone, or the call was admitted.
    pub fn cancel(&mut self, place: QueuePlace) {
        let Some(WaitingCall { caller, .. }) = self.waiting.remove(&place) else { return };
        if let Some((_, waiting)) = self.callers.get_mut(&caller) {
            *waiting -= 1;
            if *waiting == 0 {
                self.callers.remove(&caller);
            }
        }
    }

    /// Ends a call that was inside.
    pub fn leave(&mut self, executor: Executor) {
        self.node.inside -= 1;
        self.door(executor.door()).inside -= 1;
    }

    /// Notes other work than a heavy call. Work in the background waits for apply too.
    pub fn note_other(&mut self, now: Instant, executor: Executor) {
        self.node.other = Some(now);
        self.door(executor.door()).other = Some(now);
        self.door(Some(executor.shard)).other = Some(now);
    }

    /// Notes a call, its time, and its fuel if it ran to an end; a call that was refused shows only
    /// its time. Returns true if a waiting call may run because of it.
    pub fn note_run(
        &mut self,
        now: Instant,
        executor: Executor,
        function: (&ComponentRef, &str),
        took: Duration,
        fuel: Option<Fuel>,
    ) -> bool {
        // Little fuel shows that the thread was held up: the function itself cannot have taken
        // long.
        let is_heavy = took >= HEAVY_TIME && fuel.is_none_or(|fuel| fuel.get() > HEAVY_FUEL);
        if is_heavy {
            self.door(executor.door()).charge(now, took);
            self.node.charge(now, took);
        } else if fuel.is_none() {
            return false;
        }
        let cost = if is_heavy { took } else { Duration::ZERO };
        self.costs.note(function.0, function.1, cost) && !self.waiting.is_empty()
    }

    fn try_enter(&mut self, now: Instant, executor: Executor) -> bool {
        let is_open = self.node.is_open(now) && self.door(executor.door()).is_open(now);
        if is_open {
            self.node.enter(now);
            self.door(executor.door()).enter(now);
        }
        is_open
    }

    fn door(&mut self, of: Option<ShardId>) -> &mut Door {
        let places = if of.is_some() { 1 } else { self.node.places };
        self.doors.entry(of).or_insert_with(|| Door::new(places))
    }
}

#[cfg(test)]
mod tests;
