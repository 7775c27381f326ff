//! Admission control of one node: calls of functions that take long wait here.
//!
//! Promises that a call waits at most [`HEAVY_WAIT`]; then the client is told to ask again, and
//! nothing was proposed. Each node holds back the calls that it proposes as a leader and the calls
//! that it runs in the background, and counts the calls that it applies for others. The rules are
//! in `rules.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aspen_core::function::Call;
use aspen_core::ids::{Caller, Fuel, ShardId};
use aspen_core::protocol::ErrorReply;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::rules::{Admission, Arrival, Executor, QueuePlace, Rules};
use crate::limits::HEAVY_WAIT;

/// Admission control of one node.
///
/// Apply runs one call after the other, so a client that calls endless loops without pause would have
/// a shard to itself. A leader therefore lets calls of heavy functions wait before it proposes them.
/// Queries and runs of functions across shards pass the same door of the node, and the door of the
/// background threads. The run of a schedule waits likewise before the leader proposes its tick. The
/// replica that applies a call reports the time of the call (`StateReader::watch_calls`), on every
/// node, so a new leader knows which functions are heavy.
///
/// Not bounded: calls that were under way together when their function turned out to be heavy. They
/// run, and the doors stay closed for up to [`HEAVY_REST_MAX`](crate::limits::HEAVY_REST_MAX). A
/// client whose own heavy call waits can number `SESSION_WINDOW` further requests in that session;
/// its other requests to that shard then wait too.
pub struct AdmissionControl {
    inner: Mutex<Inner>,
    /// A waiting call may be able to run.
    changed: Notify,
}

struct Inner {
    rules: Rules,
    waiting: BTreeMap<QueuePlace, oneshot::Sender<Option<Pass>>>,
}

/// A heavy call is inside until its pass is dropped.
pub struct Pass {
    control: Arc<AdmissionControl>,
    executor: Executor,
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.control.inner().rules.leave(self.executor);
        self.control.changed.notify_one();
    }
}

/// A call that waits; given up when this is dropped.
struct WaitGuard<'a>(&'a AdmissionControl, QueuePlace);

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        let WaitGuard(control, place) = self;
        let mut inner = control.inner();
        inner.rules.cancel(*place);
        inner.waiting.remove(place);
    }
}

impl Default for AdmissionControl {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let rules = Rules::new((cores / 2).max(1));
        let inner = Inner { rules, waiting: BTreeMap::new() };
        Self { inner: Mutex::new(inner), changed: Notify::new() }
    }
}

impl AdmissionControl {
    /// Waits until `call` may run on `executor`. A heavy call is over when its pass is dropped.
    pub async fn admit(
        self: &Arc<Self>,
        caller: Caller,
        executor: Executor,
        call: &Call,
    ) -> Result<Option<Pass>, ErrorReply> {
        let (component, function) = (&call.component, &*call.function);
        let arrival = Arrival { caller, executor, component, function };
        let (guard, admitted) = {
            let mut inner = self.inner();
            match inner.rules.arrive(Instant::now(), &arrival) {
                Admission::Light => return Ok(None),
                Admission::Inside => return Ok(Some(Pass { control: self.clone(), executor })),
                Admission::Full => return Err(busy()),
                Admission::Waits(place) => {
                    let (sender, admitted) = oneshot::channel();
                    inner.waiting.insert(place, sender);
                    (WaitGuard(self, place), admitted)
                }
            }
        };
        self.changed.notify_one();
        let admitted = tokio::time::timeout(HEAVY_WAIT, admitted).await;
        drop(guard);
        match admitted {
            Ok(Ok(pass)) => Ok(pass),
            _ => Err(busy()),
        }
    }

    /// Notes that other work than a call of a function was asked of `shard`.
    pub fn note_other(&self, shard: ShardId) {
        self.inner().rules.note_other(Instant::now(), Executor::apply(shard));
    }

    /// Notes that a call ran, its time, and its fuel if it ran to an end.
    pub fn note_run(&self, executor: Executor, call: &Call, took: Duration, fuel: Option<Fuel>) {
        let function = (&call.component, &*call.function);
        if self.inner().rules.note_run(Instant::now(), executor, function, took, fuel) {
            self.changed.notify_one();
        }
    }

    /// Admits waiting calls for ever.
    pub async fn run(self: Arc<Self>) {
        loop {
            let opens = self.admit_waiting();
            match opens {
                Some(opens) => {
                    // After the time and after a change alike, the next look finds out.
                    let left = opens.saturating_duration_since(Instant::now());
                    let _ = tokio::time::timeout(left, self.changed.notified()).await;
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// Admits the calls that may run; returns when the next one may, should nothing happen before.
    fn admit_waiting(self: &Arc<Self>) -> Option<Instant> {
        let mut inner = self.inner();
        let now = Instant::now();
        let mut admitted = vec![];
        for (place, executor) in inner.rules.admit(now) {
            let pass = executor.map(|executor| Pass { control: self.clone(), executor });
            admitted.push((inner.waiting.remove(&place), pass));
        }
        let opens = inner.rules.opens(now);
        drop(inner);
        for (sender, pass) in admitted {
            if let Some(sender) = sender {
                // If the receiver has gone, the pass is dropped.
                let _ = sender.send(pass);
            }
        }
        opens
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic under the lock")
    }
}

fn busy() -> ErrorReply {
    ErrorReply::Unavailable { reason: "functions that take long wait for their turn".into() }
}
