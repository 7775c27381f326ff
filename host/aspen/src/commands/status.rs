//! `aspen status`: a line for each node, then one for each shard, then the problems.
//!
//! ```text
//! node   leads  replicas  applied/s       size
//! n1         3         8        120     1.2 MB
//!
//! shard  leader  term    applied  applied/s       size      keys  digest            replicas
//! s0     n1      1            41          0      65 kB        12  0f3a...           n1 n2 n3
//! ```
//!
//! A shard's line comes from its leader, or if none leads from the replica that applied most. Of more
//! than `SHARDS_SHOWN` shards only those without a leader are shown, unless `--shards` asks for all.
//! With `--json` every replica of every node is printed, as it sees itself.

use std::collections::BTreeMap;

use aspen_client::{Client, PeerAddr, Profiles};
use aspen_core::ids::{NodeId, ShardId};
use aspen_core::protocol::{NodeStatus, ReplicaStatus};
use clap::Args;
use serde_json::{Value as Json, json};

use crate::failure::Failure;
use crate::print::{say, size};

/// `aspen status`
#[derive(Debug, Args)]
pub struct Status {
    /// Show every shard in a line of its own, also if they are more than 16.
    #[arg(long)]
    pub shards: bool,
    /// Print every replica as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Shards that are shown without `--shards`: as many as fit a screen.
const SHARDS_SHOWN: usize = 16;

/// Asks every node, and prints the answers.
pub async fn run(client: &Client, options: &Status) -> Result<(), Failure> {
    let asked = client.status().await;
    if options.json {
        return say(&json!(asked.iter().flat_map(answer_json).collect::<Vec<_>>()).to_string());
    }
    let nodes: Vec<&NodeStatus> = asked.iter().filter_map(|(_, it)| it.as_ref().ok()).collect();
    say("node   leads  replicas  applied/s       size")?;
    for node in &nodes {
        say(&node_line(node))?;
    }
    for (address, error) in asked.iter().filter_map(|(at, it)| Some((at, it.as_ref().err()?))) {
        say(&format!("{address}: {error}"))?;
    }
    let shards = by_shard(&nodes);
    let is_shown = |shard: &(NodeId, &ReplicaStatus)| {
        options.shards || shards.len() <= SHARDS_SHOWN || shard.1.leader != Some(shard.0)
    };
    let shown: Vec<&ReplicaStatus> =
        shards.values().filter(|shard| is_shown(shard)).map(|(_, status)| *status).collect();
    if !shown.is_empty() {
        say(
            "\nshard  leader  term    applied  applied/s       size      keys  digest            replicas",
        )?;
    }
    for shard in &shown {
        say(&shard_line(shard))?;
    }
    if shown.len() < shards.len() {
        say(&format!("{} shards have a leader; --shards lists them", shards.len() - shown.len()))?;
    }
    if let Some(line) = profile_line(&Profiles::of(&nodes)) {
        say(&line)?;
    }
    for (node, shard) in nodes.iter().flat_map(|node| node.shards.iter().map(|it| (node.node, it)))
    {
        for reason in
            shard.failed.iter().map(|why| format!("FAILED: {why}")).chain(shard.warning.clone())
        {
            say(&format!("{} on {node}: {reason}", shard.shard))?;
        }
    }
    Ok(())
}

/// Returns a line about profiles if a shard has an old one: usually all shards have the newest.
fn profile_line(profiles: &Profiles) -> Option<String> {
    let Profiles { present, newest, .. } = profiles;
    let newest = newest.filter(|newest| present.iter().any(|profile| profile < newest));
    let present: Vec<String> = present.iter().map(ToString::to_string).collect();
    let present = present.join(" and ");
    Some(format!(
        "\nfunctions run with {present}; all nodes know {}: see aspen cluster upgrade",
        newest?
    ))
}

/// Returns for each shard the replica that speaks for it, and its node.
fn by_shard<'a>(nodes: &[&'a NodeStatus]) -> BTreeMap<ShardId, (NodeId, &'a ReplicaStatus)> {
    let rank = |(node, status): &(NodeId, &ReplicaStatus)| {
        (status.leader == Some(*node), status.term, status.applied)
    };
    let mut shards: BTreeMap<ShardId, (NodeId, &ReplicaStatus)> = BTreeMap::new();
    for (node, status) in nodes.iter().flat_map(|node| node.shards.iter().map(|it| (node.node, it)))
    {
        let best = shards.entry(status.shard).or_insert((node, status));
        if rank(&(node, status)) > rank(best) {
            *best = (node, status);
        }
    }
    shards
}

fn node_line(status: &NodeStatus) -> String {
    let sum = |of: fn(&ReplicaStatus) -> u64| status.shards.iter().map(of).sum::<u64>();
    let leads = status.shards.iter().filter(|shard| shard.leader == Some(status.node)).count();
    let failed = status.shards.iter().filter(|shard| shard.failed.is_some()).count();
    let failed = if failed > 0 { format!("  {failed} FAILED") } else { String::new() };
    format!(
        "{:<5} {leads:>6} {:>9} {:>10} {:>10}{failed}",
        status.node.to_string(),
        status.shards.len(),
        sum(|shard| shard.rate),
        size(sum(|shard| shard.bytes)),
    )
}

fn shard_line(shard: &ReplicaStatus) -> String {
    let replica = |(node, votes): &(NodeId, bool)| match votes {
        true => node.to_string(),
        false => format!("{node}(learner)"),
    };
    let replicas: Vec<String> = shard.replicas.iter().map(replica).collect();
    format!(
        "{:<6} {:<7} {:<6} {:>8} {:>10} {:>10} {:>9}  {}  {}",
        shard.shard.to_string(),
        shard.leader.map_or("none".into(), |leader| leader.to_string()),
        shard.term,
        shard.applied.get(),
        shard.rate,
        size(shard.bytes),
        shard.keys,
        shard.digest,
        replicas.join(" "),
    )
}

fn answer_json<E: ToString>((address, status): &(PeerAddr, Result<NodeStatus, E>)) -> Vec<Json> {
    let address = address.to_string();
    match status {
        Ok(status) => {
            let replica = |shard| replica_json(&address, status.node, shard);
            status.shards.iter().map(replica).collect()
        }
        Err(error) => vec![json!({ "address": address, "error": error.to_string() })],
    }
}

fn replica_json(address: &str, node: NodeId, shard: &ReplicaStatus) -> Json {
    let role = match shard.leader == Some(node) {
        _ if shard.failed.is_some() => "failed",
        true => "leader",
        false => "follower",
    };
    let replica = |(node, votes): &(NodeId, bool)| json!({ "node": node.get(), "voter": votes });
    json!({
        "node": node.get(), "address": address, "shard": shard.shard.get(), "role": role,
        "term": shard.term, "leader": shard.leader.map(|leader| leader.get()),
        "first": shard.first.get(), "last": shard.last.get(), "applied": shard.applied.get(),
        "snapshot": shard.snapshot.get(), "revision": shard.revision.get(),
        "keys": shard.keys, "digest": shard.digest.to_string(),
        "failed": shard.failed, "warning": shard.warning,
        "replicas": shard.replicas.iter().map(replica).collect::<Vec<_>>(),
        "bytes": shard.bytes, "rate": shard.rate, "profile": shard.profile.get(),
        "receiving": shard.receiving.map(|(has, all)| json!({ "bytes": has, "of": all })),
    })
}
