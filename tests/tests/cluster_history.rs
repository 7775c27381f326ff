//! A real cluster under concurrent clients, and whether what they saw is strictly serializable.
//!
//! Every client has a connection and sessions of its own; some give up soon, so that outcomes stay
//! unknown while the leader is away. A history that fails is kept as JSON lines, to be checked again.

#![cfg(not(madsim))]

use std::path::Path;
use std::time::Duration;

use aspen_client::Options;
use aspen_tests::cluster::Cluster;
use aspen_tests::history::{History, Recorder, Workload, check};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const CLIENTS: u64 = 6;
const STEPS: usize = 150;

/// Checks a history; keeps it if it fails.
fn must_be_good(name: &str, history: &History) {
    let report = check(history);
    if !report.is_good() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.jsonl"));
        std::fs::write(&path, history.to_json_lines()).unwrap();
        panic!("history kept in {}: {report}", path.display());
    }
    println!("{report}");
}

/// How long a client tries: every other one gives up before a new leader is there.
fn patience(client: u64) -> Options {
    let seconds = if client.is_multiple_of(2) { 60 } else { 1 };
    Options { limit: Duration::from_secs(seconds), attempt: Duration::from_secs(1) }
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_history_is_strictly_serializable_while_leaders_restart() {
    let mut cluster = Cluster::start(3).await;
    let recorder = Recorder::new(1);
    let (done, mut progress) = mpsc::channel(CLIENTS as usize * STEPS);
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
    let mut steps = async |count: usize| {
        for _ in 0..count {
            progress.recv().await.unwrap();
        }
    };
    let part = CLIENTS as usize * STEPS / 5;
    for _ in 0..2 {
        steps(part).await;
        let leader = cluster.leader().await;
        cluster.stop_node(leader).await;
        steps(part).await;
        cluster.start_node(leader).await;
    }
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    cluster.equal_digests().await;
    cluster.stop().await;
    must_be_good("leaders_restart", &recorder.history());
}
