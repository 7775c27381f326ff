//! The client: connecting to a cluster, and the parts that all its requests share.
//!
//! The methods of [`Client`] stand with their subjects: requests to a shard in `client/requests.rs`,
//! all shards in `client/every_shard.rs`; writes, reads, scans, transactions, leases, functions and
//! members in rooms of their own. Clones share one link and its sessions.

mod every_shard;
pub(crate) mod requests;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aspen_core::ids::ShardId;
use aspen_core::placement::ShardRouter;
use aspen_net::{IrohConfig, IrohTransport, PeerAddr, Ticket, Transport};
use snafu::{OptionExt, ResultExt};
use tokio::sync::Mutex;

use crate::error::*;
use crate::link::Link;
use crate::session::Session;

/// Time limits of a client.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Limit of a whole operation with all its repeats: 30 s; longer for the end of a large upload.
    pub limit: Duration,
    /// Limit of one attempt at one node: 5 s; of an upload, which is compiled first, at least 25 s.
    pub attempt: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { limit: Duration::from_secs(30), attempt: Duration::from_secs(5) }
    }
}

/// A connection to a cluster, or to an embedded node. Cheap to clone; clones share sessions.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    link: Link,
    router: ShardRouter,
    cluster: u128,
    sessions: Mutex<BTreeMap<ShardId, Arc<Session>>>,
    /// The socket that this client owns, to be closed with it.
    socket: Option<Arc<IrohTransport>>,
}

impl Client {
    /// Connects with a ticket's text, as `aspen dev` and `aspen node` write it.
    pub async fn connect(ticket: &str) -> Result<Client, ConnectError> {
        let ticket: Ticket = ticket.trim().parse().context(BadTicketSnafu)?;
        Self::connect_with(&ticket, Options::default()).await
    }

    /// Connects with a ticket and the caller's own time limits.
    pub async fn connect_with(ticket: &Ticket, options: Options) -> Result<Client, ConnectError> {
        let secret = ticket.secret().context(NoSecretSnafu)?.clone();
        let bind = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let local = ticket.nodes().iter().all(|node| node.addr.ip().is_loopback());
        let bind = if local { SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) } else { bind };
        let socket = IrohTransport::bind(IrohConfig { secret, bind }).await.context(BindSnafu)?;
        let made =
            Self::make(socket.clone(), Some(socket.clone()), ticket.nodes().to_vec(), options);
        let found = match made.await {
            Ok(client) if client.inner.cluster == ticket.cluster() => return Ok(client),
            Ok(client) => client.inner.cluster,
            Err(error) => {
                socket.close().await;
                return Err(error);
            }
        };
        socket.close().await;
        OtherClusterSnafu { expected: ticket.cluster(), found }.fail()
    }

    /// Connects over the caller's transport: to an embedded node, or in a simulation. `nodes` has one
    /// node at least.
    pub async fn over(
        transport: Arc<dyn Transport>,
        nodes: Vec<PeerAddr>,
        options: Options,
    ) -> Result<Client, ConnectError> {
        Self::make(transport, None, nodes, options).await
    }

    async fn make(
        transport: Arc<dyn Transport>,
        socket: Option<Arc<IrohTransport>>,
        nodes: Vec<PeerAddr>,
        options: Options,
    ) -> Result<Client, ConnectError> {
        let link = Link::new(transport, nodes, options.limit, options.attempt);
        let info = link.cluster().await.context(RequestSnafu)?;
        let router = ShardRouter::new(info.shards).ok().context(ProtocolSnafu);
        let router = router.context(RequestSnafu)?;
        let sessions = Mutex::new(BTreeMap::new());
        Ok(Client {
            inner: Arc::new(Inner { link, router, cluster: info.cluster, sessions, socket }),
        })
    }

    /// Ends the connection. Requests under way fail.
    pub async fn close(&self) {
        if let Some(socket) = &self.inner.socket {
            socket.close().await;
        }
    }

    pub(crate) fn cluster_id(&self) -> u128 {
        self.inner.cluster
    }

    pub(crate) fn router(&self) -> &ShardRouter {
        &self.inner.router
    }

    pub(crate) fn link(&self) -> &Link {
        &self.inner.link
    }
}
