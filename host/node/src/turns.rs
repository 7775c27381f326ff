//! Whose turn it is to run a function that takes long.
//!
//! A function is light once a call of it was cheap; before, and while its calls take long, it is heavy.
//! Light calls pass at once. Heavy ones pass one at a time through two doors, that of what they run on
//! (a shard's apply, or the threads beside it) and that of the node:
//!
//! ```text
//! light -----------------------------------------------------------------------> runs
//! heavy --> waits; callers take turns --> door of the shard --> door of the node --> runs for t
//!                                         then both stay closed for HEAVY_REST * t
//! ```
//!
//! So heavy functions together take one part in `HEAVY_REST + 1` of a shard's apply. The rest is for
//! others: where nothing else was asked for since the last heavy call began, a door does not stay
//! closed, and after a while without others several may be inside. What a call took is charged
//! wherever it ran, so calls that passed as light, or that nobody waited for, are paid back too.
//!
//! Promises bounded memory, and that a caller with many calls waiting holds up another's heavy call by
//! one of them. Leaves out that calls under way when their function turns heavy were bounded by nothing.
//! Time is passed in; who waits, and how, is in `fairness.rs`.

use std::collections::BTreeMap;
use std::time::Duration;

use aspen_core::{Caller, ComponentRef, Fuel, ShardId};
use tokio::time::Instant;

use crate::limits::{
    ALONE_AFTER, ALONE_PLACES, FUNCTIONS_KNOWN_MAX, HEAVY_FUEL, HEAVY_REST, HEAVY_REST_MAX,
    HEAVY_TIME, WAITING_MAX, WAITING_OF_CALLER_MAX,
};

/// What a call runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The shard of its key.
    pub shard: ShardId,
    /// On the threads beside the log, which are those of all shards, and not in apply.
    pub is_beside: bool,
}

impl Place {
    /// Apply of this shard.
    pub const fn apply(shard: ShardId) -> Place {
        Place { shard, is_beside: false }
    }

    /// Beside the log, for a key of this shard.
    pub const fn beside(shard: ShardId) -> Place {
        Place { shard, is_beside: true }
    }

    fn door(self) -> Option<ShardId> {
        (!self.is_beside).then_some(self.shard)
    }
}

/// A call, as far as it matters here.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    pub caller: Caller,
    pub place: Place,
    pub component: &'a ComponentRef,
    pub function: &'a str,
}

/// A call that waits: its round, and a number of its own.
pub type Ticket = (u64, u64);

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It runs, and need not say when it is over.
    Light,
    /// It runs, and [`Turns::leave`] follows.
    Inside,
    /// It waits until [`Turns::admit`] names it.
    Waits(Ticket),
    /// Too many wait.
    Full,
}

/// The doors of a node, and who waits before them.
pub struct Turns {
    node: Door,
    /// Of each shard's apply, and of the threads beside.
    doors: BTreeMap<Option<ShardId>, Door>,
    costs: Costs,
    waiting: BTreeMap<Ticket, Waiting>,
    /// Of callers that wait: the round of their last call, and how many wait.
    callers: BTreeMap<Caller, (u64, usize)>,
    /// The round that was admitted last.
    round: u64,
    tickets: u64,
}

struct Waiting {
    caller: Caller,
    place: Place,
    component: ComponentRef,
    function: String,
}

impl Turns {
    /// With so many heavy calls on the whole node at a time.
    pub fn new(lanes: usize) -> Self {
        let node = Door::new(lanes);
        let (doors, waiting, callers) = Default::default();
        Self { node, doors, costs: Costs::default(), waiting, callers, round: 0, tickets: 0 }
    }

    /// A call wants to run.
    pub fn arrive(&mut self, now: Instant, run: &Run) -> Turn {
        if self.costs.is_light(run.component, run.function) {
            self.other(now, run.place);
            return Turn::Light;
        }
        if self.waiting.is_empty() && self.try_enter(now, run.place) {
            return Turn::Inside;
        }
        let (last, waiting) = self.callers.get(&run.caller).copied().unwrap_or_default();
        if self.waiting.len() >= WAITING_MAX || waiting >= WAITING_OF_CALLER_MAX {
            return Turn::Full;
        }
        let round = last.max(self.round) + 1;
        self.callers.insert(run.caller, (round, waiting + 1));
        self.tickets += 1;
        let ticket = (round, self.tickets);
        let (component, function) = (run.component.clone(), run.function.to_string());
        let Run { caller, place, .. } = *run;
        self.waiting.insert(ticket, Waiting { caller, place, component, function });
        Turn::Waits(ticket)
    }

    /// Those whose turn it is, each with whether it is inside now and where; they wait no more.
    pub fn admit(&mut self, now: Instant) -> Vec<(Ticket, Option<Place>)> {
        let mut admitted = vec![];
        let tickets: Vec<Ticket> = self.waiting.keys().copied().collect();
        for ticket in tickets {
            let Waiting { place, component, function, .. } = &self.waiting[&ticket];
            let place = *place;
            if self.costs.is_light(component, function) {
                self.other(now, place);
                admitted.push((ticket, None));
            } else if self.try_enter(now, place) {
                self.round = self.round.max(ticket.0);
                admitted.push((ticket, Some(place)));
            } else {
                continue;
            }
            self.cancel(ticket);
        }
        admitted
    }

    /// When a door opens by itself, if somebody waits.
    pub fn opens(&self, now: Instant) -> Option<Instant> {
        let doors = self.doors.values().chain([&self.node]);
        let next = doors.filter_map(|door| door.opens(now)).min();
        next.filter(|_| !self.waiting.is_empty())
    }

    /// Nobody waits for this one any more, or it was admitted.
    pub fn cancel(&mut self, ticket: Ticket) {
        let Some(Waiting { caller, .. }) = self.waiting.remove(&ticket) else { return };
        if let Some((_, waiting)) = self.callers.get_mut(&caller) {
            *waiting -= 1;
            if *waiting == 0 {
                self.callers.remove(&caller);
            }
        }
    }

    /// A call that was inside is over.
    pub fn leave(&mut self, place: Place) {
        self.node.inside -= 1;
        self.door(place.door()).inside -= 1;
    }

    /// Something else than a heavy call was asked for. What runs beside the log waits for apply too.
    pub fn other(&mut self, now: Instant, place: Place) {
        self.node.other = Some(now);
        self.door(place.door()).other = Some(now);
        self.door(Some(place.shard)).other = Some(now);
    }

    /// A call took so long, and used so much fuel, if it ran to an end; one that was refused shows
    /// nothing but what it took. Whether somebody's turn may have come by that.
    pub fn ran(
        &mut self,
        now: Instant,
        place: Place,
        function: (&ComponentRef, &str),
        took: Duration,
        fuel: Option<Fuel>,
    ) -> bool {
        // Little fuel shows that the thread was held up: the function itself cannot have taken long.
        let is_heavy = took >= HEAVY_TIME && fuel.is_none_or(|fuel| fuel.get() > HEAVY_FUEL);
        if is_heavy {
            self.door(place.door()).charge(now, took);
            self.node.charge(now, took);
        } else if fuel.is_none() {
            return false;
        }
        let cost = if is_heavy { took } else { Duration::ZERO };
        self.costs.note(function.0, function.1, cost) && !self.waiting.is_empty()
    }

    fn try_enter(&mut self, now: Instant, place: Place) -> bool {
        let is_open = self.node.is_open(now) && self.door(place.door()).is_open(now);
        if is_open {
            self.node.enter(now);
            self.door(place.door()).enter(now);
        }
        is_open
    }

    fn door(&mut self, of: Option<ShardId>) -> &mut Door {
        let places = if of.is_some() { 1 } else { self.node.places };
        self.doors.entry(of).or_insert_with(|| Door::new(places))
    }
}

/// Lets a few heavy calls in, and keeps closed afterwards as long as others want to have room.
struct Door {
    places: usize,
    inside: usize,
    /// When the last one entered, and when something else was last asked for.
    entered: Option<Instant>,
    other: Option<Instant>,
    /// Only if something else was asked for since the last one entered.
    closed_until: Option<Instant>,
}

impl Door {
    fn new(places: usize) -> Self {
        Self { places, inside: 0, entered: None, other: None, closed_until: None }
    }

    fn is_open(&self, now: Instant) -> bool {
        let is_alone = self.other.is_none_or(|at| now >= at + ALONE_AFTER);
        let places = if is_alone { self.places * ALONE_PLACES } else { self.places };
        self.inside < places && !(self.is_wanted() && self.closed_until > Some(now))
    }

    fn is_wanted(&self) -> bool {
        self.other.is_some() && self.other >= self.entered
    }

    fn enter(&mut self, now: Instant) {
        self.inside += 1;
        self.entered = Some(now);
    }

    fn charge(&mut self, now: Instant, took: Duration) {
        let begin = self.closed_until.map_or(now, |until| until.max(now));
        let rest = took * HEAVY_REST / self.places as u32;
        self.closed_until = Some((begin + rest).min(now + HEAVY_REST_MAX));
    }

    /// When it lets more in, should nothing else happen.
    fn opens(&self, now: Instant) -> Option<Instant> {
        let closed = self.closed_until.filter(|_| self.is_wanted());
        let alone = self.other.map(|at| at + ALONE_AFTER);
        closed.into_iter().chain(alone).filter(|at| *at > now).min()
    }
}

/// What calls of each function took lately, as clients name it.
#[derive(Default)]
struct Costs {
    functions: BTreeMap<ComponentRef, BTreeMap<String, Cost>>,
    count: usize,
    uses: u64,
}

struct Cost {
    /// The highest lately: each cheap call halves it.
    took: Duration,
    used: u64,
}

impl Costs {
    fn is_light(&self, component: &ComponentRef, function: &str) -> bool {
        let known = self.functions.get(component).and_then(|of| of.get(function));
        known.is_some_and(|cost| cost.took < HEAVY_TIME)
    }

    /// Notes a call; whether the function is light by that and was not before.
    fn note(&mut self, component: &ComponentRef, function: &str, took: Duration) -> bool {
        self.uses += 1;
        let used = self.uses;
        let known = self.functions.get_mut(component).and_then(|of| of.get_mut(function));
        if let Some(cost) = known {
            let was_light = cost.took < HEAVY_TIME;
            *cost = Cost { took: took.max(cost.took / 2), used };
            return !was_light && cost.took < HEAVY_TIME;
        }
        if self.count >= FUNCTIONS_KNOWN_MAX {
            self.forget_one();
        }
        self.count += 1;
        let of = self.functions.entry(component.clone()).or_default();
        of.insert(function.to_string(), Cost { took, used });
        took < HEAVY_TIME
    }

    /// The one that was not called for longest is unknown again.
    fn forget_one(&mut self) {
        let all = self.functions.iter().flat_map(|(component, of)| {
            of.iter().map(move |(function, cost)| (cost.used, component, function))
        });
        let Some((_, component, function)) = all.min() else { return };
        let (component, function) = (component.clone(), function.clone());
        if let Some(of) = self.functions.get_mut(&component) {
            of.remove(&function);
            if of.is_empty() {
                self.functions.remove(&component);
            }
        }
        self.count -= 1;
    }
}

#[cfg(test)]
mod tests;
