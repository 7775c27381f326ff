//! A cluster of several nodes in one process, for development and demonstration.
//!
//! ```text
//! DIR/ticket       how to connect; written when the cluster is made
//! DIR/client.key   the key that the ticket carries
//! DIR/node-N/      the nodes' folders, as `aspen node` uses them
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use aspen_core::ids::NodeId;
use aspen_core::limits::{REPLICATION_FACTOR_DEFAULT, SHARDS_DEFAULT};
use aspen_net::{PeerAddr, Ticket};
use aspen_node::{Folder, Identity, Timing, secret_file};
use snafu::ensure;

use crate::server::{
    BoundServer, MismatchSnafu, Server, ServerError, check_factor, check_shards, random_cluster,
    same_shards, write_ticket,
};

/// The most nodes of a development cluster.
pub const DEV_NODES_MAX: u16 = 7;

/// A running development cluster.
pub struct DevCluster {
    servers: Vec<Server>,
    ticket: PathBuf,
}

impl DevCluster {
    /// Starts the cluster in `dir`; makes it first if it does not exist. `nodes`, `shards` and `factor`, if
    /// given, must be those that it was made with.
    pub async fn start(
        dir: &Path,
        nodes: Option<u16>,
        shards: Option<u16>,
        factor: Option<u8>,
        timing: Timing,
    ) -> Result<DevCluster, ServerError> {
        let ticket = dir.join("ticket");
        let bound = match ticket.exists() {
            true => reopen(dir, nodes, shards, factor).await?,
            false => {
                let factor = factor.unwrap_or(REPLICATION_FACTOR_DEFAULT);
                create(dir, nodes.unwrap_or(1), shards.unwrap_or(SHARDS_DEFAULT), factor).await?
            }
        };
        let mut servers: Vec<Server> = vec![];
        for bound in bound {
            servers.push(bound.serve(timing).await?);
        }
        let member = |server: &Server| (server.node().id(), server.address());
        let members: Vec<(NodeId, PeerAddr)> = servers.iter().map(member).collect();
        // The first start may have ended before this step; later starts find it done.
        if let Some(first) = servers.first() {
            first.node().initialize(&members).await?;
        }
        for server in &servers {
            server.node().founded().await;
        }
        Ok(DevCluster { servers, ticket })
    }

    /// Returns the file with the ticket.
    pub fn ticket(&self) -> &Path {
        &self.ticket
    }

    /// Returns the nodes.
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// Returns the nodes, to be stopped one by one.
    pub fn into_servers(self) -> Vec<Server> {
        self.servers
    }

    /// Stops all nodes gracefully, at the same time.
    pub async fn stop(self) {
        let mut stops = tokio_real::task::JoinSet::new();
        for server in self.servers {
            stops.spawn(server.stop());
        }
        while stops.join_next().await.is_some() {}
    }
}

fn folder(dir: &Path, node: usize) -> PathBuf {
    dir.join(format!("node-{node}"))
}

fn any_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}

async fn create(
    dir: &Path,
    nodes: u16,
    shards: u16,
    factor: u8,
) -> Result<Vec<BoundServer>, ServerError> {
    check_shards(shards)?;
    check_factor(factor)?;
    let count = format!("a development cluster has 1 to {DEV_NODES_MAX} nodes, not {nodes}");
    ensure!((1..=DEV_NODES_MAX).contains(&nodes), MismatchSnafu { reason: count });
    let half = format!("{} was left half made; delete it and start again", dir.display());
    let is_half = folder(dir, 1).join("node.json").exists();
    ensure!(!is_half, MismatchSnafu { reason: half });
    let mut bound = vec![];
    for node in 1..=usize::from(nodes) {
        bound.push(BoundServer::open(&folder(dir, node), any_port()).await?);
    }
    let client = secret_file(&dir.join("client.key"))?;
    let (cluster, peers) = (random_cluster(), bound.iter().map(BoundServer::address));
    let peers: Vec<PeerAddr> = peers.collect();
    for (at, bound) in bound.iter().enumerate() {
        let node = NodeId::new(at as u64 + 1);
        let mut identity = Identity::new(cluster, node, shards, bound.address());
        identity.factor = factor;
        identity.peers.clone_from(&peers);
        identity.clients.push(client.public());
        bound.folder().create(&identity)?;
    }
    let ticket = Ticket::new(cluster, peers, Some(client))?;
    write_ticket(&dir.join("ticket"), &ticket)?;
    Ok(bound)
}

async fn reopen(
    dir: &Path,
    nodes: Option<u16>,
    shards: Option<u16>,
    factor: Option<u8>,
) -> Result<Vec<BoundServer>, ServerError> {
    let has = (1..).take_while(|node| folder(dir, *node).exists()).count();
    if let Some(wanted) = nodes.filter(|wanted| usize::from(*wanted) != has) {
        let reason = format!("{} has {has} nodes, not {wanted}", dir.display());
        return MismatchSnafu { reason }.fail();
    }
    let made = Folder::open(folder(dir, 1))?.identity()?;
    same_shards(dir, made.shards, shards)?;
    if let Some(wanted) = factor.filter(|wanted| *wanted != made.factor) {
        let made = made.factor;
        let reason = format!("{} was made with {made} replicas, not {wanted}", dir.display());
        return MismatchSnafu { reason }.fail();
    }
    let mut bound = vec![];
    for node in 1..=has {
        bound.push(BoundServer::open(&folder(dir, node), any_port()).await?);
    }
    Ok(bound)
}
