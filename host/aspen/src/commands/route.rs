//! `aspen route`: the place of a key.

use aspen_client::Client;
use aspen_core::key::Key;
use aspen_core::placement::{ShardRouter, tag, tag_hash};
use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::print::{bytes_json, say};

/// `aspen route`
#[derive(Debug, Args)]
pub struct Route {
    /// The key.
    pub key: String,
    /// Print as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Asks for the placement map, and one of the shard's replicas for its leader.
pub async fn run(client: &Client, options: &Route) -> Result<(), Failure> {
    let usage = |message: String| Failure::Usage { message };
    let key = Key::try_from(options.key.as_str()).map_err(|error| usage(error.to_string()))?;
    let info = client.cluster().await?;
    let router = ShardRouter::new(info.shards).map_err(|error| usage(error.to_string()))?;
    let (key, shard) = (key.as_bytes(), router.shard(key.as_bytes()));
    let leader = client.leader(shard).await?;
    let address = leader.and_then(|leader| info.placement.address(leader));
    let hash = format!("{:016x}", tag_hash(key));
    if options.json {
        let leader = leader.map(|leader| leader.get());
        return say(&json!({
            "key": bytes_json(key), "tag": bytes_json(tag(key)), "hash": hash,
            "shard": shard.get(), "shards": info.shards, "leader": leader, "address": address,
        })
        .to_string());
    }
    let leader = leader.zip(address).map(|(leader, address)| format!("{leader} at {address}"));
    let leader = leader.unwrap_or_else(|| "none at the moment".into());
    say(&format!("tag     {}", String::from_utf8_lossy(tag(key))))?;
    say(&format!("hash    {hash}"))?;
    say(&format!("shard   {shard} of {}", info.shards))?;
    say(&format!("leader  {leader}"))
}
