//! `aspen node`: one node of a cluster in the foreground.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use aspen_core::limits::{REPLICATION_FACTOR_DEFAULT, SHARDS_DEFAULT};
use clap::Args;

use crate::commands::connect::read_ticket;
use crate::commands::serving::{compile_apart, ready, refused, stop_signal};
use crate::failure::Failure;
use crate::join;
use crate::server::Server;

/// `aspen node`
#[derive(Debug, Args)]
pub struct Node {
    /// The node's folder. Without --init and --join: start the node that the folder has.
    #[arg(long)]
    pub data: PathBuf,
    /// Found a new cluster, with this as its only node.
    #[arg(long, conflicts_with = "join")]
    pub init: bool,
    /// Join the cluster of this ticket (its text, its file, or the folder of a node).
    #[arg(long, value_name = "TICKET")]
    pub join: Option<String>,
    /// Address to serve on, fixed for life: other nodes and clients use it.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Shards of a new cluster (1 to 256), fixed for life [default: 8]
    #[arg(long, conflicts_with = "join")]
    pub shards: Option<u16>,
    /// Replicas of each shard of a new cluster (1, 3 or 5), as far as there are nodes [default: 3]
    #[arg(long, requires = "init")]
    pub replicas: Option<u8>,
}

/// Runs the node until a signal stops it.
pub async fn run(options: &Node) -> Result<(), Failure> {
    compile_apart();
    let Node { data, init, join, listen, shards, replicas } = options;
    let started = match (init, join) {
        (true, _) => {
            let shards = shards.unwrap_or(SHARDS_DEFAULT);
            let factor = replicas.unwrap_or(REPLICATION_FACTOR_DEFAULT);
            join::init(data, *listen, shards, factor).await
        }
        (false, Some(ticket)) => join::join(data, *listen, &read_ticket(ticket)?).await,
        (false, None) => join::restart(data, *shards).await,
    };
    serve_until_stopped(started.map_err(refused)?, data).await
}

async fn serve_until_stopped(server: Server, data: &Path) -> Result<(), Failure> {
    let path = data.join("ticket");
    let id = server.node().id();
    ready(&format!("ready {} (node {id} at {})", path.display(), server.address().addr));
    let removed = async {
        server.node().removed().await;
        eprintln!("node {id} is no longer a member of its cluster; it can be stopped");
        std::future::pending().await
    };
    tokio_real::select! {
        () = removed => {}
        () = stop_signal() => {}
    }
    server.stop().await;
    Ok(())
}
