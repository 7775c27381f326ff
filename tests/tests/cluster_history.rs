//! A real cluster under concurrent clients, and whether what they saw is strictly serializable.
//!
//! Every client has a connection and sessions of its own. Some give up soon, and some are stopped in
//! the middle of what they do, so that outcomes stay unknown, of writes that happen and that do not.
//! A history that fails is kept as JSON lines: `text.parse::<History>()`, then `check`.

#![cfg(not(madsim))]

use std::path::Path;
use std::time::Duration;

use aspen_client::Options;
use aspen_tests::cluster::Cluster;
use aspen_tests::history::{History, Recorder, Report, Workload, check};
use tokio::sync::watch;
use tokio::task::JoinSet;

const CLIENTS: u64 = 6;
const STEPS: usize = 150;
/// Steps that are waited for while nothing can commit: only those who give up soon make any.
const STEPS_WITHOUT_MAJORITY: usize = 8;

/// Checks a history; keeps it if it fails.
fn must_be_good(name: &str, history: &History) -> Report {
    let report = check(history);
    if !report.is_good() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.jsonl"));
        std::fs::write(&path, history.to_json_lines()).unwrap();
        panic!("history kept in {}: {report}", path.display());
    }
    println!("{report}");
    report
}

/// How a client works.
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
        let limit = Duration::from_millis(if self == Temper::Impatient { 250 } else { 60_000 });
        Options { limit, attempt: limit.min(Duration::from_secs(1)) }
    }
}

/// Clients at work on a cluster, and how many steps they have done.
struct Work {
    recorder: Recorder,
    clients: JoinSet<()>,
    done: watch::Sender<usize>,
}

impl Work {
    async fn start(cluster: &Cluster) -> Work {
        let (recorder, done) = (Recorder::new(1), watch::Sender::new(0));
        let mut clients = JoinSet::new();
        for process in 0..CLIENTS {
            let temper = Temper::of(process);
            let client = cluster.client_with(temper.options()).await;
            let workload = Workload::new(client.clone(), recorder.clone(), process, 1);
            let done = done.clone();
            clients.spawn(async move {
                work(workload, temper, done).await;
                client.close().await;
            });
        }
        Work { recorder, clients, done }
    }

    /// Waits until the clients have done this many steps more.
    async fn steps(&self, count: usize) {
        let mut done = self.done.subscribe();
        let wanted = *done.borrow() + count;
        done.wait_for(|done| *done >= wanted).await.unwrap();
    }

    /// Waits until all is done, and looks at what came of it.
    async fn finish(mut self, cluster: &Cluster) -> History {
        while let Some(client) = self.clients.join_next().await {
            client.unwrap();
        }
        let client = cluster.client().await;
        Workload::new(client.clone(), self.recorder.clone(), CLIENTS, 1).scan().await;
        client.close().await;
        self.recorder.history()
    }
}

/// All steps of one client.
async fn work(mut workload: Workload, temper: Temper, done: watch::Sender<usize>) {
    for step in 0..STEPS {
        let mut others = done.subscribe();
        let patience = 2 + step % 8;
        let wanted = *others.borrow() + patience;
        let is_late = others.wait_for(|done| *done >= wanted);
        tokio::select! {
            () = workload.step() => {}
            _ = is_late, if temper == Temper::Stopped => {}
        }
        done.send_modify(|done| *done += 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_history_is_strictly_serializable_while_nodes_restart() {
    let mut cluster = Cluster::start(3).await;
    let work = Work::start(&cluster).await;
    let part = CLIENTS as usize * STEPS / 5;
    work.steps(part).await;
    let leader = cluster.leader().await;
    cluster.stop_node(leader).await;
    work.steps(part).await;
    cluster.start_node(leader).await;
    work.steps(part).await;
    // The leader and one more: what is under way now, nobody is told of.
    let leader = cluster.leader().await;
    let other = (leader + 1) % 3;
    cluster.stop_node(other).await;
    cluster.stop_node(leader).await;
    work.steps(STEPS_WITHOUT_MAJORITY).await;
    cluster.start_node(other).await;
    cluster.start_node(leader).await;
    let history = work.finish(&cluster).await;
    cluster.equal_digests().await;
    cluster.stop().await;
    let report = must_be_good("nodes_restart", &history);
    assert!(report.committed > STEPS, "clients with patience got something done: {report}");
}
