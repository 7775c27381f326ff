//! `aspen dev`: a development cluster in the foreground.

use std::path::PathBuf;

use aspen_node::Timing;
use clap::Args;

use crate::commands::serving::{compile_apart, ready, refused, stop_signal};
use crate::dev::DevCluster;
use crate::failure::Failure;

/// `aspen dev`
#[derive(Debug, Args)]
pub struct Dev {
    /// The cluster's folder; made if it does not exist.
    #[arg(default_value = ".aspen")]
    pub dir: PathBuf,
    /// Nodes of a new cluster (1 to 7) [default: 1]
    #[arg(long)]
    pub nodes: Option<u16>,
    /// Shards of a new cluster (1 to 256) [default: 8]
    #[arg(long)]
    pub shards: Option<u16>,
    /// Replicas of each shard of a new cluster (1, 3 or 5), as far as there are nodes [default: 3]
    #[arg(long)]
    pub replicas: Option<u8>,
}

/// Runs the cluster until a signal stops it.
pub async fn run(options: &Dev) -> Result<(), Failure> {
    compile_apart();
    let Dev { dir, nodes, shards, replicas } = options;
    let cluster = DevCluster::start(dir, *nodes, *shards, *replicas, Timing::default());
    let cluster = cluster.await;
    let cluster = cluster.map_err(refused)?;
    let first = cluster.servers().first();
    let shards = first.map_or(0, |server| server.node().router().shards());
    ready(&format!(
        "ready {} ({} nodes, {shards} shards)",
        cluster.ticket().display(),
        cluster.servers().len()
    ));
    stop_signal().await;
    cluster.stop().await;
    Ok(())
}
