//! Clients at work on a cluster while a test attacks it, and the judgement of their history.
//!
//! Every client has a connection and sessions of its own, works on the shared keys of a
//! [`Workload`], and counts on a key that only it writes. Some give up soon, and some are stopped in
//! the middle of what they do, so that outcomes stay unknown, of writes that happen and that do not.
//!
//! Promises that [`Load::finish`] fails if an acknowledged count was lost or done twice, and that
//! [`must_be_good`] fails if the history is not strictly serializable. Leaves out the attack.

use std::path::Path;
use std::time::Duration;

use aspen_client::{Client, Options, Ticket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::history::{History, Recorder, Report, Workload, check};

/// The time in which the clients may get nothing done before a test gives up: far above any election.
const PATIENCE: Duration = Duration::from_secs(90);

/// The temper of a client.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Temper {
    /// Waits for an outcome however long that takes.
    Patient,
    /// Gives up before a new leader is there.
    Impatient,
    /// Is stopped once the others have done a few steps more.
    Stopped,
}

impl Temper {
    fn of(client: u64) -> Temper {
        [Temper::Patient, Temper::Impatient, Temper::Stopped][client as usize % 3]
    }

    fn options(self) -> Options {
        let limit = if self == Temper::Impatient { Duration::from_millis(250) } else { PATIENCE };
        Options { limit, attempt: limit.min(Duration::from_secs(1)) }
    }
}

/// The sums over all clients.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Steps, whatever came of them.
    steps: usize,
    /// Counts that were acknowledged.
    acknowledged: usize,
}

/// Clients at work.
pub struct Load {
    ticket: Ticket,
    recorder: Recorder,
    clients: JoinSet<Count>,
    progress: watch::Sender<Progress>,
    stop: watch::Sender<bool>,
}

impl Load {
    /// Lets this many clients begin. Each rests this long after a step.
    pub async fn start(ticket: Ticket, clients: u64, rest: Duration) -> Load {
        let (recorder, progress) = (Recorder::new(1), watch::Sender::default());
        let stop = watch::Sender::new(false);
        let mut load = Load { ticket, recorder, clients: JoinSet::new(), progress, stop };
        for process in 0..clients {
            let temper = Temper::of(process);
            let client = load.connect(temper).await;
            let workload = Workload::new(client.clone(), load.recorder.clone(), process, 1);
            let count = Count::new(process);
            let worker = Worker { client, workload, count, temper, rest };
            load.clients.spawn(worker.work(load.progress.clone(), load.stop.subscribe()));
        }
        load
    }

    /// Connects with the patience of the patient: what comes later is of the client's own temper.
    async fn connect(&self, temper: Temper) -> Client {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            match Client::connect_with(&self.ticket, temper.options()).await {
                Ok(client) => return client,
                Err(error) => assert!(tokio::time::Instant::now() < end, "no client: {error}"),
            }
        }
    }

    /// Waits until the clients have done this many steps more, whatever came of them.
    pub async fn steps(&self, count: usize) {
        let wanted = self.progress.borrow().steps + count;
        self.wait_for(|progress| progress.steps >= wanted).await;
    }

    /// Waits until this many counts more are acknowledged: the cluster serves.
    pub async fn acknowledged(&self, count: usize) {
        let wanted = self.progress.borrow().acknowledged + count;
        self.wait_for(|progress| progress.acknowledged >= wanted).await;
    }

    async fn wait_for(&self, is_done: impl Fn(&Progress) -> bool) {
        let mut progress = self.progress.subscribe();
        let done = tokio::time::timeout(PATIENCE, progress.wait_for(is_done)).await;
        assert!(done.is_ok(), "nothing gets done any more: {:?}", *self.progress.borrow());
    }

    /// Lets the clients end, checks their counts, and gives the history. The cluster must serve.
    pub async fn finish(mut self) -> History {
        self.stop.send_replace(true);
        let client = self.connect(Temper::Patient).await;
        let (mut clients, mut acknowledged) = (0, 0);
        while let Some(count) = self.clients.join_next().await {
            let count = count.unwrap();
            count.check(&client).await;
            (clients, acknowledged) = (clients + 1, acknowledged + count.acknowledged);
        }
        println!("{clients} clients, {acknowledged} counts acknowledged");
        // Shows the result of the unknown outcomes.
        Workload::new(client.clone(), self.recorder.clone(), clients, 1).scan().await;
        client.close().await;
        self.recorder.history()
    }
}

/// One client and its tools.
struct Worker {
    client: Client,
    workload: Workload,
    count: Count,
    temper: Temper,
    rest: Duration,
}

impl Worker {
    async fn work(
        mut self,
        progress: watch::Sender<Progress>,
        stop: watch::Receiver<bool>,
    ) -> Count {
        for step in 0.. {
            if *stop.borrow() {
                break;
            }
            let mut others = progress.subscribe();
            let wanted = others.borrow().steps + 2 + step % 8;
            let is_late = others.wait_for(|others| others.steps >= wanted);
            let work = async {
                self.workload.step().await;
                self.count.up(&self.client).await
            };
            let acknowledged = tokio::select! {
                acknowledged = work => usize::from(acknowledged),
                _ = is_late, if self.temper == Temper::Stopped => 0,
            };
            progress.send_modify(|progress| {
                progress.steps += 1;
                progress.acknowledged += acknowledged;
            });
            tokio::time::sleep(self.rest).await;
        }
        self.client.close().await;
        self.count
    }
}

/// A key that one client alone writes: its version is the number of writes that were applied.
struct Count {
    key: String,
    acknowledged: u64,
    unknown: u64,
}

impl Count {
    fn new(process: u64) -> Count {
        Count { key: format!("count/{process}"), acknowledged: 0, unknown: 0 }
    }

    /// Writes once more, and tells whether that was acknowledged.
    async fn up(&mut self, client: &Client) -> bool {
        // Unknown until the answer is there: this future may be dropped while it waits.
        self.unknown += 1;
        let written = client.put(&self.key, (self.acknowledged + self.unknown).to_string()).await;
        let Ok(written) = written else { return false };
        self.unknown -= 1;
        self.acknowledged += 1;
        self.must_be_possible(written.version.get());
        true
    }

    /// Reads the key when all is over.
    async fn check(&self, client: &Client) {
        let found = client.get(&self.key).await.expect("the cluster serves");
        self.must_be_possible(found.map_or(0, |record| record.version.get()));
    }

    fn must_be_possible(&self, version: u64) {
        let Count { key, acknowledged, unknown } = self;
        let possible = *acknowledged..=acknowledged + unknown;
        assert!(possible.contains(&version), "{key} has version {version}, possible: {possible:?}");
    }
}

/// Checks a history; keeps it in `folder` if it fails, as JSON lines: `text.parse::<History>()`.
///
/// # Panics
/// If it is not strictly serializable.
pub fn must_be_good(folder: &str, name: &str, history: &History) -> Report {
    let report = check(history);
    if !report.is_good() {
        let path = Path::new(folder).join(format!("{name}.jsonl"));
        std::fs::write(&path, history.to_json_lines()).unwrap();
        panic!("history kept in {}: {report}", path.display());
    }
    println!("{report}");
    report
}
