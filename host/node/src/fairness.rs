//! Fairness between functions: calls of those that take long wait for their turn before they run.
//!
//! Promises that what apply does never depends on it: it decides when a call is proposed, by this
//! node's clock, and nothing else. A call waits at most [`HEAVY_WAIT`], then the client is told to ask
//! again; nothing was proposed. Each node holds back what it proposes as a leader and what it runs beside
//! the log, and counts what it applies for others. The rules are in `turns.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aspen_core::{Call, Caller, Fuel, Refused, ShardId};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::limits::HEAVY_WAIT;
use crate::turns::{Place, Run, Ticket, Turn, Turns};

/// Who may run what, of one node.
pub struct Fairness {
    inner: Mutex<Inner>,
    /// It may be somebody's turn.
    changed: Notify,
}

struct Inner {
    turns: Turns,
    waiting: BTreeMap<Ticket, oneshot::Sender<Option<Pass>>>,
}

/// A heavy call is inside until this is dropped.
pub struct Pass {
    fairness: Arc<Fairness>,
    place: Place,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.fairness.inner().turns.leave(self.place);
        self.fairness.changed.notify_one();
    }
}

/// A call that waits; given up when this is dropped.
struct Waits<'a>(&'a Fairness, Ticket);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        let Waits(fairness, ticket) = self;
        let mut inner = fairness.inner();
        inner.turns.cancel(*ticket);
        inner.waiting.remove(ticket);
    }
}

impl Default for Fairness {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let turns = Turns::new((cores / 2).max(1));
        let inner = Inner { turns, waiting: BTreeMap::new() };
        Self { inner: Mutex::new(inner), changed: Notify::new() }
    }
}

impl Fairness {
    /// Returns when `call` may run at `place`; a heavy one is over when its pass is dropped.
    pub async fn turn(
        self: &Arc<Self>,
        caller: Caller,
        place: Place,
        call: &Call,
    ) -> Result<Option<Pass>, Refused> {
        let run = Run { caller, place, component: &call.component, function: &call.function };
        let (waits, admitted) = {
            let mut inner = self.inner();
            match inner.turns.arrive(Instant::now(), &run) {
                Turn::Light => return Ok(None),
                Turn::Inside => return Ok(Some(Pass { fairness: self.clone(), place })),
                Turn::Full => return Err(busy()),
                Turn::Waits(ticket) => {
                    let (sender, admitted) = oneshot::channel();
                    inner.waiting.insert(ticket, sender);
                    (Waits(self, ticket), admitted)
                }
            }
        };
        self.changed.notify_one();
        let turn = tokio::time::timeout(HEAVY_WAIT, admitted).await;
        drop(waits);
        match turn {
            Ok(Ok(pass)) => Ok(pass),
            _ => Err(busy()),
        }
    }

    /// Something else than a call of a function was asked of `shard`.
    pub fn other(&self, shard: ShardId) {
        self.inner().turns.other(Instant::now(), Place::apply(shard));
    }

    /// A call ran, and took so long.
    pub fn ran(&self, place: Place, call: &Call, took: Duration, fuel: Option<Fuel>) {
        let function = (&call.component, &*call.function);
        if self.inner().turns.ran(Instant::now(), place, function, took, fuel) {
            self.changed.notify_one();
        }
    }

    /// Lets in whose turn it is, again and again.
    pub async fn take_turns(self: Arc<Self>) {
        loop {
            let opens = self.admit();
            match opens {
                Some(opens) => {
                    // Either way it looks again.
                    let left = opens.saturating_duration_since(Instant::now());
                    let _ = tokio::time::timeout(left, self.changed.notified()).await;
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// Admits who may pass; when the next one may, should nothing happen before.
    fn admit(self: &Arc<Self>) -> Option<Instant> {
        let mut inner = self.inner();
        let now = Instant::now();
        let mut passed = vec![];
        for (ticket, place) in inner.turns.admit(now) {
            let pass = place.map(|place| Pass { fairness: self.clone(), place });
            passed.push((inner.waiting.remove(&ticket), pass));
        }
        let opens = inner.turns.opens(now);
        drop(inner);
        for (sender, pass) in passed {
            if let Some(sender) = sender {
                // Whoever waited may have gone: the pass is dropped.
                let _ = sender.send(pass);
            }
        }
        opens
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic under the lock")
    }
}

fn busy() -> Refused {
    Refused::Unavailable { reason: "functions that take long wait for their turn".into() }
}
