//! SIGSTOP and SIGCONT: processes that are gone for a while and do not know it.
//!
//! A paused leader wakes with requests in its socket and the belief that it leads. A read that it
//! answered from its own state would miss what the next leader has committed meanwhile: the history
//! shows it, because reads are ordered by time.

use std::time::Duration;

use aspen_tests::history::Choices;
use aspen_tests::load::{Load, must_be_good};
use tokio_real as tokio;

use crate::nodes::{NODES, Nodes};

const ROUNDS: u64 = 18;
/// Counts that clients get acknowledged before the next pause.
const ACKNOWLEDGED: usize = 25;
const CLIENTS: u64 = 6;

/// The nodes that are paused in a round.
enum Victims {
    /// The leader, for some time.
    Leader,
    /// The leader, until another leads and the clients have got something done there.
    LeaderUntilDeposed,
    /// One that does not lead, for some time: the cluster serves.
    Follower,
    /// Both that do not lead, for some time: nothing commits.
    Followers,
    /// All, for some time.
    All,
}

impl Victims {
    fn of(round: u64) -> Victims {
        use Victims::*;
        match round % 6 {
            0 | 3 => LeaderUntilDeposed,
            1 => Leader,
            2 => Follower,
            4 => Followers,
            _ => All,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn process_cluster_paused_nodes_answer_nothing_stale_when_they_wake() {
    let nodes = Nodes::start().await;
    let load = Load::start(nodes.ticket(), CLIENTS, Duration::from_millis(5)).await;
    let (client, mut choices) = (nodes.client().await, Choices::new(18));
    let all: Vec<usize> = (0..NODES).collect();
    for round in 0..ROUNDS {
        load.acknowledged(ACKNOWLEDGED).await;
        let leader = nodes.leader_among(&client, &all).await;
        let others: Vec<usize> = all.iter().copied().filter(|node| *node != leader).collect();
        let victims = match Victims::of(round) {
            Victims::Leader | Victims::LeaderUntilDeposed => vec![leader],
            Victims::Follower => vec![others[choices.below(2) as usize]],
            Victims::Followers => others.clone(),
            Victims::All => all.clone(),
        };
        for victim in &victims {
            nodes.signal(*victim, "STOP");
        }
        if let Victims::LeaderUntilDeposed = Victims::of(round) {
            nodes.leader_among(&client, &others).await;
            load.acknowledged(ACKNOWLEDGED).await;
        } else {
            tokio::time::sleep(Duration::from_millis(200 + choices.below(3_800))).await;
        }
        for victim in &victims {
            nodes.signal(*victim, "CONT");
        }
    }
    load.acknowledged(ACKNOWLEDGED).await;
    client.close().await;
    let history = load.finish().await;
    nodes.must_be_equal().await;
    let report = must_be_good(env!("CARGO_TARGET_TMPDIR"), "paused", &history);
    assert!(report.committed > ROUNDS as usize * ACKNOWLEDGED, "{report}");
}
