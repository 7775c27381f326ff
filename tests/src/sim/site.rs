//! The place where the clients of a run work, and the clients themselves.
//!
//! Clients differ in patience: some give up before a new leader is there, so that outcomes stay unknown.
//! Each client stops by itself once the plan's work is over. Leaves out the work: see `workloads.rs`.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use aspen_client::{Client, Options};
use aspen_net::BoxFuture;
use bytes::Bytes;
use madsim::task::JoinHandle;
use madsim::time::{Instant, sleep};

use super::cluster::SimCluster;
use super::plan::Plan;
use super::trace::Trace;

/// The longest time that a request of the run's own client may be under way.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Work under way.
pub struct WorkUnderWay {
    /// The clients; each ends by itself.
    pub clients: Vec<JoinHandle<()>>,
    /// Checks the results, once all clients have ended and everything is mended.
    pub check: Box<dyn FnOnce(Client) -> BoxFuture<()>>,
}

/// The place of the work: a cluster, its plan, and everything that clients need.
pub struct Site<'a> {
    pub cluster: &'a SimCluster,
    pub plan: &'a Plan,
    /// Components by name.
    pub components: Arc<BTreeMap<String, Bytes>>,
    /// The time at which clients stop.
    pub until: Instant,
    /// Takes the events.
    pub trace: Trace,
    next_client: Cell<u8>,
}

/// A client at work: its number, its connection, and when to stop.
#[derive(Clone)]
pub struct Worker {
    pub number: u8,
    pub client: Client,
    pub trace: Trace,
    until: Instant,
    pause: Duration,
}

impl Worker {
    /// Waits as long as a client does between two operations; false if it is time to stop.
    pub async fn goes_on(&self) -> bool {
        sleep(self.pause.mul_f64(rand::random_range(0.0..1.0))).await;
        Instant::now() < self.until
    }

    /// Notes an event of the client.
    pub fn note(&self, what: impl std::fmt::Display) {
        self.trace.event(format_args!("c{} {what}", self.number));
    }
}

impl<'a> Site<'a> {
    /// Returns a place for clients, the first of them with number `first`.
    pub fn new(
        cluster: &'a SimCluster,
        plan: &'a Plan,
        components: Arc<BTreeMap<String, Bytes>>,
        trace: &Trace,
        first: u8,
    ) -> Self {
        let (until, trace) = (Instant::now() + plan.work, trace.clone());
        Self { cluster, plan, components, until, trace, next_client: Cell::new(first) }
    }

    /// Starts one client more.
    pub fn client<W, F>(&self, work: W) -> JoinHandle<()>
    where
        W: FnOnce(Worker) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let number = self.next_client.get();
        self.next_client.set(number + 1);
        // Every third gives up before a new leader is there.
        let limit = Duration::from_millis(if number % 3 == 0 { 400 } else { 10_000 });
        let attempt = limit.min(Duration::from_millis(700));
        let (trace, until, pause) = (self.trace.clone(), self.until, self.plan.pause);
        self.cluster.run_client(number, Options { limit, attempt }, move |client| async move {
            work(Worker { number, client, trace, until, pause }).await
        })
    }
}

/// Repeats a request that the run cannot do without, until the request is done.
pub async fn insist<T, E: std::fmt::Display, F: Future<Output = Result<T, E>>>(
    request: impl Fn() -> F,
) -> T {
    for _ in 0..100 {
        match request().await {
            Ok(done) => return done,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    }
    let error = request().await.err().map(|error| error.to_string());
    panic!("liveness: what must be done first is refused for long: {error:?}")
}
