//! `aspen cluster`: the nodes, and on which of them the replicas are.
//!
//! A change is answered as soon as it is part of the cluster's map; then the command waits until the
//! replicas have followed, and tells on standard error once a second how far they are. Whoever stops
//! waiting (Ctrl-C) stops nothing: the cluster goes on, and the same command waits again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aspen_client::{Client, ProfileId, Profiles};
use aspen_core::{ClusterInfo, NodeId, PlacedNode, Replicas, ShardId, ShardStatus};
use aspen_net::PeerAddr;
use serde_json::{Value as Json, json};

use crate::cli::Cluster;
use crate::commands::print::{say, size};
use crate::failure::Failure;

/// How often a command that waits says how far things are.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Shards that are shown without being asked for: what fits a screen.
const SHARDS_SHOWN: usize = 16;

/// Does one of the commands.
pub async fn run(client: &Client, command: &Cluster) -> Result<(), Failure> {
    match command {
        Cluster::Members { json } => members(client, *json).await,
        Cluster::Status { shards, json } => status(client, *shards, *json).await,
        Cluster::AddNode { address } => add(client, address).await,
        Cluster::RemoveNode { node, no_wait } => {
            let node = NodeId::new(*node);
            client.remove_node(node).await?;
            let is_gone = |info: &ClusterInfo| !info.placement.nodes.contains_key(&node);
            wait(client, *no_wait, is_gone).await?;
            match no_wait {
                true => say(&format!("node {node} is on its way out")),
                false => {
                    say(&format!("node {node} is no longer a member; its process can be stopped"))
                }
            }
        }
        Cluster::Upgrade { profile } => upgrade(client, profile.map(ProfileId::new)).await,
        Cluster::Rebalance { no_wait } => {
            let is_there = |info: &ClusterInfo| info.placement.is_settled();
            client.rebalance().await?;
            wait(client, *no_wait, is_there).await?;
            // What was on its way already was left alone.
            client.rebalance().await?;
            wait(client, *no_wait, is_there).await?;
            members(client, false).await
        }
        Cluster::Move { shard, to, from, no_wait } => {
            let (shard, to) = (ShardId::new(*shard), NodeId::new(*to));
            client.move_replica(shard, from.map(NodeId::new), to).await?;
            let is_there = |info: &ClusterInfo| {
                info.placement.replicas(shard).is_none_or(Replicas::is_settled)
            };
            wait(client, *no_wait, is_there).await?;
            let info = client.cluster().await?;
            let line = info.placement.replicas(shard).map(|replicas| shard_line(shard, replicas));
            say(&line.unwrap_or_default())
        }
    }
}

async fn upgrade(client: &Client, wanted: Option<ProfileId>) -> Result<(), Failure> {
    let Profiles { present, newest, .. } = client.profiles().await;
    let Some(profile) = wanted.or(newest) else {
        let message = "there is no profile that all nodes that answer know".into();
        return Err(Failure::Refused { message });
    };
    client.switch_profile(profile).await?;
    match present[..] == [profile] {
        true => say(&format!("functions run with {profile} already")),
        false => say(&format!("functions run with {profile} now")),
    }
}

async fn add(client: &Client, address: &str) -> Result<(), Failure> {
    let parsed = address.parse::<PeerAddr>();
    let address = parsed.map_err(|error| Failure::Usage {
        message: format!("{address:?} is no node address (hex@ip:port): {error}"),
    })?;
    let node = client.add_node(&address).await?;
    say(&format!("{address} is node {node}; start it with `aspen node --join`"))
}

async fn members(client: &Client, as_json: bool) -> Result<(), Failure> {
    let info = client.cluster().await?;
    let placement = &info.placement;
    let has =
        |node: &NodeId| placement.shards.iter().filter(|shard| shard.now.contains(node)).count();
    let state = |id: &NodeId, node: &PlacedNode| match node.leaves {
        true => "leaving",
        false if placement.has_arrived(*id) => "in",
        false => "joining",
    };
    if as_json {
        let member = |(id, node): (&NodeId, &PlacedNode)| {
            json!({
                "node": id.get(), "address": node.address, "replicas": has(id),
                "state": state(id, node),
            })
        };
        let members: Vec<Json> = placement.nodes.iter().map(member).collect();
        let cluster = format!("{:032x}", info.cluster);
        return say(
            &json!({ "cluster": cluster, "shards": info.shards, "members": members }).to_string()
        );
    }
    say("node   replicas  state    address")?;
    for (id, node) in &placement.nodes {
        let (has, state) = (has(id), state(id, node));
        say(&format!("{:<5} {has:>9}  {state:<8} {}", id.to_string(), node.address))?;
    }
    Ok(())
}

async fn status(client: &Client, all: bool, as_json: bool) -> Result<(), Failure> {
    let info = client.cluster().await?;
    let placement = &info.placement;
    let shards: Vec<(ShardId, &Replicas)> =
        (0..).map(ShardId::new).zip(&placement.shards).collect();
    let ids = |nodes: &[NodeId]| nodes.iter().map(|id| id.get()).collect::<Vec<_>>();
    if as_json {
        let shard = |(shard, replicas): &(ShardId, &Replicas)| {
            json!({
                "shard": shard.get(), "replicas": ids(&replicas.now),
                "target": ids(&replicas.target),
            })
        };
        return say(&json!({
            "epoch": info.epoch, "factor": placement.factor, "settled": placement.is_settled(),
            "shards": shards.iter().map(shard).collect::<Vec<_>>(),
        })
        .to_string());
    }
    let moving = shards.iter().filter(|(_, replicas)| !replicas.is_settled()).count();
    say(&format!(
        "map of epoch {}: {} nodes, {} shards with {} replicas each, {moving} on their way",
        info.epoch,
        placement.nodes.len(),
        info.shards,
        placement.factor
    ))?;
    let is_shown = |(_, replicas): &&(ShardId, &Replicas)| {
        all || shards.len() <= SHARDS_SHOWN || !replicas.is_settled()
    };
    let shown: Vec<_> = shards.iter().filter(is_shown).collect();
    for (shard, replicas) in &shown {
        say(&shard_line(*shard, replicas))?;
    }
    for line in how_far(client, &info).await {
        say(&line)?;
    }
    match shards.len() - shown.len() {
        0 => Ok(()),
        rest => say(&format!("{rest} shards are where they shall be; --shards lists them")),
    }
}

fn names(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(" ")
}

fn shard_line(shard: ShardId, replicas: &Replicas) -> String {
    let target = match replicas.is_settled() {
        true => String::new(),
        false => format!("  ->  {}", names(&replicas.target)),
    };
    format!("{:<5} {}{target}", shard.to_string(), names(&replicas.now))
}

/// Waits until the map is as it shall be, and says meanwhile how far it is.
async fn wait(
    client: &Client,
    no_wait: bool,
    is_there: impl Fn(&ClusterInfo) -> bool,
) -> Result<(), Failure> {
    if no_wait {
        return Ok(());
    }
    let begun = Instant::now();
    let tell = async {
        let mut last = vec![];
        loop {
            tokio_real::time::sleep(TELL_EVERY).await;
            let Ok(info) = client.cluster().await else { continue };
            let lines = how_far(client, &info).await;
            for line in lines.iter().filter(|line| !last.contains(*line)) {
                eprintln!("{:>4} s  {line}", begun.elapsed().as_secs());
            }
            last = lines;
        }
    };
    tokio_real::select! {
        settled = client.settle(is_there) => settled.map(|_| ()).map_err(Failure::from),
        () = tell => Ok(()),
    }
}

/// What is on its way, a line for each shard: its replicas, and how far those that come are.
async fn how_far(client: &Client, info: &ClusterInfo) -> Vec<String> {
    let placed = (0..).map(ShardId::new).zip(&info.placement.shards);
    let moving: BTreeMap<ShardId, &Replicas> =
        placed.filter(|(_, replicas)| !replicas.is_settled()).collect();
    if moving.is_empty() {
        return vec![];
    }
    let nodes = client.status().await;
    let nodes: Vec<_> = nodes.into_iter().filter_map(|(_, status)| status.ok()).collect();
    let of = |shard: ShardId, node: NodeId| -> Option<&ShardStatus> {
        let status = nodes.iter().find(|status| status.node == node)?;
        status.shards.iter().find(|status| status.shard == shard)
    };
    let line = |(shard, replicas): (&ShardId, &&Replicas)| {
        let last = replicas.now.iter().filter_map(|node| of(*shard, *node));
        let last = last.map(|status| status.last.get()).max().unwrap_or(0);
        let come = replicas.target.iter().filter(|node| !replicas.now.contains(node));
        let far = come.map(|node| match of(*shard, *node) {
            Some(ShardStatus { receiving: Some((has, all)), .. }) => {
                format!("{node} has {} of a snapshot of {}", size(*has), size(*all))
            }
            Some(status) => format!("{node} has {} of {last} entries", status.applied.get()),
            None => format!("{node} has nothing yet"),
        });
        format!("{}: {}", shard_line(*shard, replicas), far.collect::<Vec<_>>().join(", "))
    };
    moving.iter().map(line).collect()
}
