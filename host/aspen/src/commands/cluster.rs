//! `aspen route` and `aspen cluster`: where keys live, and on which nodes.

use aspen_client::Client;
use aspen_core::{Key, NodeId, ShardRouter, tag, tag_hash};
use serde_json::{Value as Json, json};

use crate::commands::print::{bytes_json, say};
use crate::failure::Failure;

/// `aspen route`: the leader is the one that the node asked knows.
pub async fn route(client: &Client, key: &str, as_json: bool) -> Result<(), Failure> {
    let usage = |message: String| Failure::Usage { message };
    let key = Key::try_from(key).map_err(|error| usage(error.to_string()))?;
    let info = client.cluster().await?;
    let router = ShardRouter::new(info.shards).map_err(|error| usage(error.to_string()))?;
    let (key, shard) = (key.as_bytes(), router.shard(key.as_bytes()));
    let leader = info.leaders.get(usize::from(shard.get())).copied().flatten();
    let leader = info.members.iter().find(|member| Some(member.node) == leader);
    let hash = format!("{:016x}", tag_hash(key));
    if as_json {
        let address = leader.map(|leader| &leader.address);
        let leader = leader.map(|leader| leader.node.get());
        return say(&json!({
            "key": bytes_json(key), "tag": bytes_json(tag(key)), "hash": hash,
            "shard": shard.get(), "shards": info.shards, "leader": leader, "address": address,
        })
        .to_string());
    }
    let leader = leader.map(|leader| format!("{} at {}", leader.node, leader.address));
    let leader = leader.unwrap_or_else(|| "none at the moment".into());
    say(&format!("tag     {}", String::from_utf8_lossy(tag(key))))?;
    say(&format!("hash    {hash}"))?;
    say(&format!("shard   {shard} of {}", info.shards))?;
    say(&format!("leader  {leader}"))
}

/// `aspen cluster members`
pub async fn members(client: &Client, as_json: bool) -> Result<(), Failure> {
    let info = client.cluster().await?;
    if as_json {
        let member = |member: &aspen_core::MemberInfo| json!({ "node": member.node.get(), "address": member.address, "voter": member.voter });
        let members: Vec<Json> = info.members.iter().map(member).collect();
        let cluster = format!("{:032x}", info.cluster);
        return say(
            &json!({ "cluster": cluster, "shards": info.shards, "members": members }).to_string()
        );
    }
    for member in &info.members {
        let role = if member.voter { "voter" } else { "learner" };
        say(&format!("{:<5} {role:<8} {}", member.node.to_string(), member.address))?;
    }
    Ok(())
}

/// `aspen cluster remove-node`
pub async fn remove(client: &Client, node: u64) -> Result<(), Failure> {
    client.remove_node(NodeId::new(node)).await?;
    say(&format!("node n{node} is no longer a member; its process can be stopped"))
}
