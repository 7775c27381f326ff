//! `aspen verify`: comparing the whole state of all replicas.
//!
//! ```text
//! shard   entry       keys       size  hash              replicas
//! s0         41         12     1234 B  9f3a6cd0015b77e2  n1 n2 n3
//! s1         40          7      934 B  5511aabbccddeeff  n1 n2
//! s1         40          7      934 B  77e29f3a6cd0015b  n3 DIFFERS
//! ```
//!
//! A line for each hash that replicas of a shard have. Problems and their remedies follow on standard
//! error. A difference or a damaged replica counts more than a replica that could not be asked.

use aspen_client::{Client, ReplicaVerification, ShardVerification, VerificationError};
use aspen_core::ids::{NodeId, ShardId};
use aspen_core::placement::ShardRouter;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value as Json, json};

use crate::commands::values::shard_number;
use crate::failure::Failure;
use crate::print::{say, size};

/// `aspen verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// Verify this shard only [default: all, one after the other]
    #[arg(value_parser = shard_number)]
    pub shard: Option<u16>,
    /// Print every replica's hash as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Digits of a hash that are shown; JSON has all digits.
const DIGITS: usize = 16;

/// Verifies one shard, or all.
pub async fn run(client: &Client, options: &Verify) -> Result<(), Failure> {
    let shards = client.cluster().await?.shards;
    let router = ShardRouter::new(shards)
        .map_err(|error| Failure::Refused { message: error.to_string() })?;
    let shards: Vec<ShardId> = match options.shard {
        Some(shard) if shard >= shards => {
            let message = format!("there is no shard {shard}: the cluster has {shards}");
            return Err(Failure::Refused { message });
        }
        Some(shard) => vec![ShardId::new(shard)],
        None => router.all().collect(),
    };
    if !options.json {
        say("shard   entry       keys       size  hash              replicas")?;
    }
    // On standard error, and only on a terminal.
    let bar = ProgressBar::no_length();
    let style = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} keys {per_sec}");
    bar.set_style(style.map_err(|error| Failure::Refused { message: error.to_string() })?);
    let mut all = vec![];
    for shard in shards {
        bar.set_message(shard.to_string());
        let told = client.verify_shard(shard, |progress| {
            bar.set_length(progress.of);
            bar.set_position(progress.keys);
        });
        let verified = told.await?;
        if !options.json {
            let lines = lines(&verified);
            bar.suspend(|| lines.iter().try_for_each(|line| say(line)))?;
        }
        all.push(verified);
    }
    bar.finish_and_clear();
    if options.json {
        say(&json!(all.iter().map(to_json).collect::<Vec<_>>()).to_string())?;
    }
    judge(&all)
}

/// Returns a failure if a replica differs, is damaged, or could not be asked.
fn judge(all: &[ShardVerification]) -> Result<(), Failure> {
    let mut bad: Vec<String> = all.iter().filter_map(difference).collect();
    let mut unasked = vec![];
    let replicas = all.iter().flat_map(|it| it.replicas.iter().map(move |replica| (it, replica)));
    for (verified, replica) in replicas {
        let Err(error) = &replica.found else { continue };
        let line = format!("{} on {} is not verified: {error}", verified.shard, replica.node);
        match error {
            VerificationError::ReplicaFailed { .. } => {
                bad.push(format!("{line}\nrestart {}: what is damaged is rebuilt", replica.node));
            }
            _ => unasked.push(line),
        }
    }
    match (bad.is_empty(), unasked.is_empty()) {
        (true, true) => Ok(()),
        (true, false) => Err(Failure::NotReached { message: unasked.join("\n") }),
        (false, _) => {
            bad.append(&mut unasked);
            Err(Failure::Refused { message: bad.join("\n") })
        }
    }
}

/// Returns the nodes that differ in a shard, and the remedy.
fn difference(verified: &ShardVerification) -> Option<String> {
    let (differing, shard) = (verified.differing(), verified.shard);
    if differing.is_empty() {
        return None;
    }
    let (who, at) = (names(&differing), verified.index.get());
    Some(match verified.majority() {
        Some(_) => format!(
            "{shard} on {who} differs from the majority as of entry {at}\n\
             stop {who}, remove the folder shard-{} in its data folder, but no log.redb, and start it \
             again: the state is rebuilt from the log, or comes from another replica; then verify again",
            shard.get()
        ),
        None => format!(
            "{shard} differs between {who} as of entry {at}, and no majority tells who is right"
        ),
    })
}

fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ")
}

/// Returns a line for each hash.
fn lines(verified: &ShardVerification) -> Vec<String> {
    let (differing, mut lines) = (verified.differing(), vec![]);
    let mut left: Vec<&ReplicaVerification> = verified.replicas.iter().collect();
    while let Some(hash) = left.iter().find_map(|replica| replica.found.as_ref().ok()) {
        let same =
            |replica: &&ReplicaVerification| replica.found.as_ref().is_ok_and(|it| it == hash);
        let (group, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(same);
        let nodes: Vec<NodeId> = group.iter().map(|replica| replica.node).collect();
        let differs = if nodes.iter().any(|it| differing.contains(it)) { " DIFFERS" } else { "" };
        lines.push(format!(
            "{:<6} {:>6} {:>10} {:>10}  {}  {}{differs}",
            verified.shard.to_string(),
            verified.index.get(),
            hash.keys,
            size(hash.bytes),
            &hash.to_string()[..DIGITS],
            names(&nodes),
        ));
        left = rest;
    }
    lines
}

fn to_json(verified: &ShardVerification) -> Json {
    let differing = verified.differing();
    let replica = |replica: &ReplicaVerification| {
        let found = replica.found.as_ref();
        json!({
            "node": replica.node.get(), "address": replica.address,
            "hash": found.ok().map(ToString::to_string),
            "keys": found.ok().map(|hash| hash.keys), "bytes": found.ok().map(|hash| hash.bytes),
            "differs": differing.contains(&replica.node),
            "error": found.err().map(ToString::to_string),
        })
    };
    json!({
        "shard": verified.shard.get(), "index": verified.index.get(), "equal": verified.is_equal(),
        "majority": verified.majority().map(ToString::to_string),
        "replicas": verified.replicas.iter().map(replica).collect::<Vec<_>>(),
    })
}
