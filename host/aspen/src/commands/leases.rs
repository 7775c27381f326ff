//! `aspen lease`: grant, keep alive, revoke, show.

use aspen_client::{Client, Lease, LeaseId};
use aspen_core::ShardRouter;
use serde_json::{Value as Json, json};

use crate::cli;
use crate::commands::print::{bytes_json, say};
use crate::failure::Failure;
use crate::txn_print::print_ms;

/// `aspen lease`
pub async fn run(client: &Client, command: &cli::Lease) -> Result<(), Failure> {
    match command {
        cli::Lease::Grant { ttl, key, json } => {
            let lease = client.grant_lease(key, *ttl).await?;
            let answer = json!({ "lease": lease.id.get(), "shard": lease.shard.get() });
            let text = format!("lease {}", lease.id.get());
            say(&if *json { answer.to_string() } else { text })
        }
        cli::Lease::Keepalive(named) => {
            let lease = find(client, named).await?;
            let due = client.keep_alive(lease).await?;
            let answer = json!({ "lease": lease.id.get(), "due_ms": due.get() });
            let text = format!("lease {} is due at {} ms", lease.id.get(), due.get());
            say(&if named.json { answer.to_string() } else { text })
        }
        cli::Lease::Revoke(named) => {
            let lease = find(client, named).await?;
            let keys = client.revoke_lease(lease).await?;
            let answer = json!({ "lease": lease.id.get(), "keys_removed": keys });
            let text = format!("lease {} is over, removed {keys} keys", lease.id.get());
            say(&if named.json { answer.to_string() } else { text })
        }
        cli::Lease::Show(named) => show(client, named).await,
    }
}

async fn show(client: &Client, named: &cli::NamedLease) -> Result<(), Failure> {
    let lease = find(client, named).await?;
    let Some(info) = client.lease(lease).await? else {
        return Err(Failure::Refused { message: format!("lease {}: not found", lease.id.get()) });
    };
    if named.json {
        let keys: Vec<Json> = info.keys.iter().map(|key| bytes_json(key.as_bytes())).collect();
        return say(&json!({
            "lease": info.lease.get(), "ttl_ms": info.ttl_ms, "left_ms": info.left_ms, "keys": keys,
        })
        .to_string());
    }
    let (ttl, left) = (print_ms(info.ttl_ms), print_ms(info.left_ms));
    say(&format!("lease {}: {left} of {ttl} left, {} keys", info.lease.get(), info.keys.len()))?;
    info.keys.iter().try_for_each(|key| say(&key.to_string()))
}

/// The lease and the shard that it lives on.
async fn find(client: &Client, named: &cli::NamedLease) -> Result<Lease, Failure> {
    let shards = client.cluster().await?.shards;
    let router = ShardRouter::new(shards)
        .map_err(|error| Failure::Refused { message: error.to_string() })?;
    let shard = match &named.key {
        Some(key) => Some(router.shard(key.as_bytes())),
        None => router.only(),
    };
    let shard = shard.ok_or_else(|| Failure::Usage {
        message: "the cluster has several shards: say with --key which one the lease is on".into(),
    })?;
    Ok(Lease { shard, id: LeaseId::new(named.lease) })
}
