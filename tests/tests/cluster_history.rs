//! A real cluster under concurrent clients, and whether what they saw is strictly serializable.
//!
//! Every client has a connection and sessions of its own; some give up soon, so that outcomes stay
//! unknown while the leader is away. A history that fails is kept as JSON lines, to be checked again.

#![cfg(not(madsim))]

use std::path::Path;
use std::time::Duration;

use aspen_client::Options;
use aspen_tests::cluster::Cluster;
use aspen_tests::history::{History, Recorder, Report, Workload, check};
use tokio::sync::mpsc;
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

/// How long a client tries: every other one gives up before a new leader is there.
fn patience(client: u64) -> Options {
    let limit = Duration::from_millis(if client.is_multiple_of(2) { 60_000 } else { 250 });
    Options { limit, attempt: limit.min(Duration::from_secs(1)) }
}

/// Clients at work on a cluster, and word of each of their steps.
struct Work {
    recorder: Recorder,
    clients: JoinSet<()>,
    progress: mpsc::Receiver<()>,
}

impl Work {
    async fn start(cluster: &Cluster) -> Work {
        let recorder = Recorder::new(1);
        let (done, progress) = mpsc::channel(CLIENTS as usize * STEPS);
        let mut clients = JoinSet::new();
        for process in 0..CLIENTS {
            let client = cluster.client_with(patience(process)).await;
            let mut workload = Workload::new(client.clone(), recorder.clone(), process, 1);
            let done = done.clone();
            clients.spawn(async move {
                for _ in 0..STEPS {
                    workload.step().await;
                    done.send(()).await.unwrap();
                }
                client.close().await;
            });
        }
        Work { recorder, clients, progress }
    }

    /// Waits until the clients have done this many steps more.
    async fn steps(&mut self, count: usize) {
        for _ in 0..count {
            self.progress.recv().await.unwrap();
        }
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

#[tokio::test(flavor = "multi_thread")]
async fn cluster_history_is_strictly_serializable_while_nodes_restart() {
    let mut cluster = Cluster::start(3).await;
    let mut work = Work::start(&cluster).await;
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
