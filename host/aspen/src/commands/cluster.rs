//! `aspen cluster`: the nodes, and the placement of replicas.
//!
//! A change is answered as soon as it is part of the placement map. Then the command waits until the
//! replicas have moved, and prints their progress on standard error once a second. Ctrl-C ends the wait
//! alone: the cluster goes on, and the same command waits again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use aspen_client::{Client, ProfileId, Profiles};
use aspen_core::ids::{NodeId, ShardId};
use aspen_core::placement::{PlacedNode, Replicas};
use aspen_core::protocol::{ClusterInfo, ReplicaStatus};
use aspen_net::PeerAddr;
use clap::Subcommand;
use serde_json::{Value as Json, json};

use crate::commands::values::{node_number, shard_number};
use crate::failure::Failure;
use crate::print::{say, size};

/// `aspen cluster`
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// List the nodes and how many replicas each has.
    Members {
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the placement map: the nodes of each shard's replicas, and the replicas that move.
    Status {
        /// Show every shard in a line of its own, also if they are more than 16.
        #[arg(long)]
        shards: bool,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a node in before it starts; `aspen node --join` does this by itself.
    AddNode {
        /// The node's key and address, `hex@ip:port`.
        address: String,
    },
    /// Move the replicas of a node to other nodes and remove the node; refused if the others are too few.
    RemoveNode {
        /// The node's number, as `members` shows it.
        #[arg(value_parser = node_number)]
        node: u64,
        /// Do not wait until the node is removed.
        #[arg(long)]
        no_wait: bool,
    },
    /// Let functions run with the newest profile that all nodes know, once all nodes run a new version of
    /// Aspen; after that no node can go back to the old version.
    Upgrade {
        /// Use this profile instead.
        #[arg(long)]
        profile: Option<u32>,
    },
    /// Even out the number of replicas of each node.
    Rebalance {
        /// Do not wait until every replica has arrived.
        #[arg(long)]
        no_wait: bool,
    },
    /// Move a replica of a shard to a node, while it is in use.
    Move {
        /// The shard's number.
        #[arg(value_parser = shard_number)]
        shard: u16,
        /// The node that gets the replica.
        #[arg(long, value_parser = node_number)]
        to: u64,
        /// The node that gives the replica [default: of the nodes with a replica, the one with the most]
        #[arg(long, value_parser = node_number)]
        from: Option<u64>,
        /// Do not wait until the replica has arrived.
        #[arg(long)]
        no_wait: bool,
    },
}

/// Interval at which a command that waits prints the progress.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Shards that are shown without `--shards`: as many as fit a screen.
const SHARDS_SHOWN: usize = 16;

/// Runs one of the commands.
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
            // The first request left alone the replicas that were under way.
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
    for line in progress(client, &info).await {
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

/// Waits until the placement map satisfies `is_there`, and prints the progress meanwhile.
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
            let lines = progress(client, &info).await;
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

/// Returns a line for each shard with replicas under way: its replicas, and the progress of new ones.
async fn progress(client: &Client, info: &ClusterInfo) -> Vec<String> {
    let placed = (0..).map(ShardId::new).zip(&info.placement.shards);
    let moving: BTreeMap<ShardId, &Replicas> =
        placed.filter(|(_, replicas)| !replicas.is_settled()).collect();
    if moving.is_empty() {
        return vec![];
    }
    let nodes = client.status().await;
    let nodes: Vec<_> = nodes.into_iter().filter_map(|(_, status)| status.ok()).collect();
    let of = |shard: ShardId, node: NodeId| -> Option<&ReplicaStatus> {
        let status = nodes.iter().find(|status| status.node == node)?;
        status.shards.iter().find(|status| status.shard == shard)
    };
    let line = |(shard, replicas): (&ShardId, &&Replicas)| {
        let last = replicas.now.iter().filter_map(|node| of(*shard, *node));
        let last = last.map(|status| status.last.get()).max().unwrap_or(0);
        let come = replicas.target.iter().filter(|node| !replicas.now.contains(node));
        let far = come.map(|node| match of(*shard, *node) {
            Some(ReplicaStatus { receiving: Some((has, all)), .. }) => {
                format!("{node} has {} of a snapshot of {}", size(*has), size(*all))
            }
            Some(status) => format!("{node} has {} of {last} entries", status.applied.get()),
            None => format!("{node} has nothing yet"),
        });
        format!("{}: {}", shard_line(*shard, replicas), far.collect::<Vec<_>>().join(", "))
    };
    moving.iter().map(line).collect()
}
