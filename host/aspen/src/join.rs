//! One node per process: it founds a cluster, joins one, or starts again.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use aspen_client::{Client, Options, RequestError};
use aspen_core::ids::NodeId;
use aspen_core::protocol::ClusterInfo;
use aspen_net::{PeerAddr, Ticket};
use aspen_node::{Identity, Timing, secret_file};
use snafu::ResultExt;

use crate::server::{
    BoundServer, JoinSnafu, Server, ServerError, found, same_shards, write_ticket,
};

/// The time for which the wait for a joining node bears a cluster that does not answer.
const JOIN_LIMIT: Duration = Duration::from_secs(3600);

/// Founds a cluster with this one node and serves it.
pub async fn init(
    dir: &Path,
    listen: SocketAddr,
    shards: u16,
    factor: u8,
) -> Result<Server, ServerError> {
    let bound = BoundServer::open(dir, listen).await?;
    let client = secret_file(&dir.join("client.key"))?;
    let identity = found(&bound, shards, factor, &client)?;
    let ticket = Ticket::new(identity.cluster, vec![bound.address()], Some(client))?;
    write_ticket(&dir.join("ticket"), &ticket)?;
    let server = serve(bound).await?;
    server.node().founded().await;
    Ok(server)
}

/// Joins the cluster of `ticket` as a new node and serves it. Its replicas come later: see
/// [`wait_for_replicas`].
pub async fn join(dir: &Path, listen: SocketAddr, ticket: &Ticket) -> Result<Server, ServerError> {
    let bound = BoundServer::open(dir, listen).await?;
    if bound.folder().is_occupied() {
        return serve(bound).await;
    }
    let client = Client::connect_with(ticket, Options::default()).await?;
    let joined = enter(&bound, &client, ticket).await;
    client.close().await;
    joined?;
    let mut nodes = vec![bound.address()];
    let room = aspen_net::limits::TICKET_NODES_MAX - 1;
    nodes.extend(ticket.nodes().iter().copied().take(room));
    let own = Ticket::new(ticket.cluster(), nodes, ticket.secret().cloned())?;
    write_ticket(&dir.join("ticket"), &own)?;
    serve(bound).await
}

async fn enter(bound: &BoundServer, client: &Client, ticket: &Ticket) -> Result<(), ServerError> {
    let node = client.add_node(&bound.address()).await.context(JoinSnafu)?;
    let is_in = |info: &ClusterInfo| info.placement.nodes.contains_key(&node);
    let info = client.settle(is_in).await.context(JoinSnafu)?;
    let mut identity = Identity::new(info.cluster, node, info.shards, bound.address());
    let nodes = info.placement.nodes.values();
    let members = nodes.filter_map(|node| node.address.parse().ok());
    identity.peers = members.collect::<Vec<PeerAddr>>();
    identity.clients.extend(ticket.secret().map(|secret| secret.public()));
    bound.folder().create(&identity)?;
    Ok(())
}

/// Starts the node of a folder again. `shards`, if given, must be the number of its cluster.
pub async fn restart(dir: &Path, shards: Option<u16>) -> Result<Server, ServerError> {
    let unused = SocketAddr::from(([127, 0, 0, 1], 0));
    let bound = BoundServer::open(dir, unused).await?;
    if bound.folder().is_occupied() {
        let same = same_shards(dir, bound.folder().identity()?.shards, shards);
        if let Err(error) = same {
            bound.close().await;
            return Err(error);
        }
    }
    serve(bound).await
}

async fn serve(bound: BoundServer) -> Result<Server, ServerError> {
    let identity = bound.folder().identity()?;
    let founder = identity.node == NodeId::new(1);
    let server = bound.serve(Timing::default()).await?;
    // The first start may have ended before this step; later starts find it done.
    if founder {
        server.node().initialize(&[(identity.node, identity.address)]).await?;
    }
    Ok(server)
}

/// Waits until the node has the replicas of its target. The replicas arrive without this wait too.
pub async fn wait_for_replicas(ticket: &Ticket, node: NodeId) -> Result<(), RequestError> {
    let options = Options { limit: JOIN_LIMIT, ..Options::default() };
    let Ok(client) = Client::connect_with(ticket, options).await else { return Ok(()) };
    let arrived = client.settle(|info| info.placement.has_arrived(node)).await;
    client.close().await;
    arrived.map(|_| ())
}
