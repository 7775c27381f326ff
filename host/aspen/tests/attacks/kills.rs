//! SIGKILL, hundreds of times, under load: to one node, two, or all of them at the same moment; and in the
//! middle of an upload in parts.
//!
//! Nodes are killed while they serve, elect, catch up, and start: the pauses are too short for more
//! than some of it. Now and then the attack waits until the clients get something done again.

use std::cell::RefCell;
use std::time::Duration;

use aspen_client::{Client, Options, UploadProgress};
use aspen_tests::guests::{component, padded};
use aspen_tests::history::Choices;
use aspen_tests::load::{Load, must_be_good};
use tokio_real as tokio;

use crate::nodes::{NODES, Nodes, PATIENCE};

/// Processes killed, at least.
const KILLS: usize = 200;
/// Attacks between two times that the cluster must serve.
const ATTACKS_PER_ROUND: u64 = 8;
/// Counts that clients get acknowledged before the attack goes on.
const ACKNOWLEDGED: usize = 25;
const CLIENTS: u64 = 6;

#[tokio::test(flavor = "multi_thread")]
async fn process_cluster_killed_200_times_loses_nothing_and_doubles_nothing() {
    let mut nodes = Nodes::start().await;
    let load = Load::start(nodes.ticket(), CLIENTS, Duration::from_millis(10)).await;
    load.acknowledged(ACKNOWLEDGED).await;
    let mut choices = Choices::new(200);
    let (mut kills, mut rounds) = (0, 0);
    while kills < KILLS {
        for _ in 0..1 + choices.below(ATTACKS_PER_ROUND) {
            let victims = victims(&mut choices);
            nodes.kill(&victims);
            kills += victims.len();
            // Mostly too short for an election, sometimes long enough.
            rest(&mut choices, 300).await;
            for victim in victims {
                nodes.restart(victim);
            }
            rest(&mut choices, 700).await;
        }
        load.acknowledged(ACKNOWLEDGED).await;
        rounds += 1;
    }
    let history = load.finish().await;
    nodes.must_be_equal().await;
    println!("{kills} processes killed in {rounds} rounds");
    let report = must_be_good(env!("CARGO_TARGET_TMPDIR"), "killed", &history);
    assert!(report.committed > rounds * ACKNOWLEDGED, "{report}");
}

/// Between two kills during the upload: three of its parts.
const KILL_EVERY_BYTES: u64 = 3 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn process_upload_in_parts_goes_on_though_every_node_is_killed() {
    let nodes = Nodes::start().await;
    let options = Options { limit: PATIENCE, ..Options::default() };
    let client = Client::connect_with(&nodes.ticket(), options).await.unwrap();
    let state = RefCell::new((nodes, 0));
    let kill = |progress: UploadProgress| {
        if progress.sent.is_multiple_of(KILL_EVERY_BYTES) {
            let (nodes, kills) = &mut *state.borrow_mut();
            let victim = *kills % NODES;
            nodes.kill(&[victim]);
            nodes.restart(victim);
            *kills += 1;
        }
    };
    // The last kill is between the last part and the end.
    let size = 4 * KILL_EVERY_BYTES as usize;
    let bank = component("bank");
    let padding = size - bank.len() - 8;
    let hash = client.upload_with("bank", padded(&bank, padding), kill).await.unwrap();
    let (nodes, kills) = state.into_inner();
    assert!(kills >= NODES, "{kills} kills");
    let described = client.describe("bank").await.unwrap();
    assert_eq!((described.component, described.bytes), (hash, size as u64));
    client.call("bank", "touch", "a", &[]).await.unwrap();
    nodes.must_be_equal().await;
    client.close().await;
}

/// One node in six attacks of ten, two in three, all in one.
fn victims(choices: &mut Choices) -> Vec<usize> {
    let first = choices.below(NODES as u64) as usize;
    let count = [1, 1, 1, 1, 1, 1, 2, 2, 2, 3][choices.below(10) as usize];
    (first..first + count).map(|node| node % NODES).collect()
}

async fn rest(choices: &mut Choices, most_ms: u64) {
    tokio::time::sleep(Duration::from_millis(choices.below(most_ms))).await;
}
