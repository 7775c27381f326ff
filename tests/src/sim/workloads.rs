//! What clients do in a run, each kind with what must be true of it.
//!
//! Promises to know the difference between what was acknowledged, what was refused and what nobody
//! can tell. Clients differ in patience: some give up before a new leader is there, so that outcomes
//! stay unknown.

mod bank;
mod branches;
mod counters;
mod histories;
mod leases;
mod lists;
mod schedules;
mod stale;
mod uploads;
mod versions;

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

/// A kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Workload {
    /// Single keys are read, written and deleted; the history is checked.
    Registers,
    /// Transactions on few keys; the history is checked.
    Transactions,
    /// Transfers between accounts, as function and as transaction.
    Bank,
    /// Lists grow by transactions.
    Lists,
    /// Counters that one client each increments, by put and by function.
    Counters,
    /// Keys with leases that are kept alive for a while.
    Leases,
    /// Components are uploaded while others call them.
    Uploads,
    /// Reads that may be old, and must not be older.
    Stale,
    /// As [`Self::Transactions`], on keys of all shards.
    Across,
    /// A bank whose accounts live on all shards.
    Branches,
    /// Calls that the cluster makes by itself.
    Schedules,
    /// A name changes its component while it is called across shards.
    Versions,
}

impl Workload {
    /// All of them.
    pub const ALL: [Workload; 12] = [
        Workload::Registers,
        Workload::Transactions,
        Workload::Bank,
        Workload::Lists,
        Workload::Counters,
        Workload::Leases,
        Workload::Uploads,
        Workload::Stale,
        Workload::Across,
        Workload::Branches,
        Workload::Schedules,
        Workload::Versions,
    ];

    /// Does what must be there before the clients begin.
    pub async fn prepare(self, client: &Client, site: &Site<'_>) {
        match self {
            Workload::Bank => bank::prepare(client, site).await,
            Workload::Counters => counters::prepare(client, site).await,
            Workload::Uploads => uploads::prepare(client, site).await,
            Workload::Branches => branches::prepare(client, site).await,
            Workload::Schedules => schedules::prepare(client, site).await,
            Workload::Versions => versions::prepare(client, site).await,
            _ => {}
        }
    }

    /// Starts the clients.
    pub fn start(self, site: &Site<'_>) -> Started {
        match self {
            Workload::Registers => histories::start(site, histories::Kind::Registers),
            Workload::Transactions => histories::start(site, histories::Kind::Transactions),
            Workload::Bank => bank::start(site),
            Workload::Lists => lists::start(site),
            Workload::Counters => counters::start(site),
            Workload::Leases => leases::start(site),
            Workload::Uploads => uploads::start(site),
            Workload::Stale => stale::start(site),
            Workload::Across => histories::start(site, histories::Kind::Across),
            Workload::Branches => branches::start(site),
            Workload::Schedules => schedules::start(site),
            Workload::Versions => versions::start(site),
        }
    }
}

/// Work under way.
pub struct Started {
    /// The clients; each ends by itself.
    pub clients: Vec<JoinHandle<()>>,
    /// Checks what came of it, once all clients have ended and everything is mended.
    pub check: Box<dyn FnOnce(Client) -> BoxFuture<()>>,
}

/// Where the work is done.
pub struct Site<'a> {
    /// The cluster.
    pub cluster: &'a SimCluster,
    /// The plan.
    pub plan: &'a Plan,
    /// Components by name.
    pub components: Arc<BTreeMap<String, Bytes>>,
    /// When clients stop.
    pub until: Instant,
    /// What happens.
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

    /// Notes what the client does.
    pub fn note(&self, what: impl std::fmt::Display) {
        self.trace.event(format_args!("c{} {what}", self.number));
    }
}

impl<'a> Site<'a> {
    /// A place for clients, the first of them with number `first`.
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

/// Repeats `request` until it is done: for what a run cannot do without.
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
