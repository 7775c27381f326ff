//! `aspen lease`: grant, keep alive, revoke, show.

use std::time::Duration;

use aspen_client::{Client, LeaseId};
use aspen_core::placement::ShardRouter;
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};

use crate::commands::values::duration;
use crate::failure::Failure;
use crate::print::{bytes_json, say};
use crate::txn_print::print_ms;

/// `aspen lease`
#[derive(Debug, Subcommand)]
pub enum Lease {
    /// Grant a lease; prints its number.
    Grant {
        /// The time that the lease lives without being kept alive: 500ms, 30s, 5m, 2h, 1d.
        #[arg(value_parser = duration)]
        ttl: Duration,
        /// A key, existing or not, of the shard for the lease.
        #[arg(long)]
        key: String,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a lease run its whole time again.
    Keepalive(NamedLease),
    /// End a lease and remove its keys.
    Revoke(NamedLease),
    /// Show the time left of a lease, and its keys.
    Show(NamedLease),
}

/// A lease that exists.
#[derive(Debug, Args)]
pub struct NamedLease {
    /// The lease's number, as `grant` printed it.
    pub lease: u64,
    /// A key of the lease's shard; not needed if the cluster has one shard.
    #[arg(long)]
    pub key: Option<String>,
    /// Print as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs one of the commands.
pub async fn run(client: &Client, command: &Lease) -> Result<(), Failure> {
    match command {
        Lease::Grant { ttl, key, json } => {
            let lease = client.grant_lease(key, *ttl).await?;
            let answer = json!({ "lease": lease.id.get(), "shard": lease.shard.get() });
            let text = format!("lease {}", lease.id.get());
            say(&if *json { answer.to_string() } else { text })
        }
        Lease::Keepalive(named) => {
            let lease = find(client, named).await?;
            let due = client.keep_alive(lease).await?;
            let answer = json!({ "lease": lease.id.get(), "due_ms": due.get() });
            let text = format!("lease {} is due at {} ms", lease.id.get(), due.get());
            say(&if named.json { answer.to_string() } else { text })
        }
        Lease::Revoke(named) => {
            let lease = find(client, named).await?;
            let keys = client.revoke_lease(lease).await?;
            let answer = json!({ "lease": lease.id.get(), "keys_removed": keys });
            let text = format!("lease {} is over, removed {keys} keys", lease.id.get());
            say(&if named.json { answer.to_string() } else { text })
        }
        Lease::Show(named) => show(client, named).await,
    }
}

async fn show(client: &Client, named: &NamedLease) -> Result<(), Failure> {
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

/// Finds the shard of a lease.
async fn find(client: &Client, named: &NamedLease) -> Result<aspen_client::Lease, Failure> {
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
    Ok(aspen_client::Lease { shard, id: LeaseId::new(named.lease) })
}
