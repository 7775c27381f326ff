//! A node that serves on a socket: folder, iroh, storage, functions and node, joined.
//!
//! Promises that a server that reports ready answers requests, that stopping a server leaves nothing
//! running, and that an interrupted server can start again from its folder.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aspen_core::ids::NodeId;
use aspen_functions::CompileCheck;
use aspen_net::{
    IrohConfig, IrohTransport, NetError, PeerAddr, Purpose, Secret, Ticket, Transport,
};
use aspen_node::{Clock, Timing, WasmFunctions};
use aspen_node::{
    Folder, FolderError, Identity, NodeConfig, NodeError, NodeHandler, ShardedRaftNode,
};
use bytes::Bytes;
use snafu::{ResultExt, Snafu};

/// The check that compiles uploads in another process, for all servers of this process.
static COMPILE_CHECK: OnceLock<CompileCheck> = OnceLock::new();

/// Lets servers that start from now on compile uploads in another process first. Only the program that
/// understands the command calls this: tests, which run servers in their own process, compile there.
pub fn compile_apart(check: CompileCheck) {
    // A second call has the same check.
    let _ = COMPILE_CHECK.set(check);
}

/// The time that another process which runs as the same node may take to answer.
const PROBE_WAIT: Duration = Duration::from_secs(2);

/// Why a server does not start.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum ServerError {
    /// The folder cannot be used.
    #[snafu(display("{source}"), context(false))]
    Folder { source: FolderError },
    /// The socket cannot be bound. A node keeps its address for life: the port must be free at every
    /// start.
    #[snafu(display("{source}"), context(false))]
    Net { source: NetError },
    /// The node does not start.
    #[snafu(display("{source}"), context(false))]
    Node { source: NodeError },
    /// The storage does not open.
    #[snafu(display("{source}"), context(false))]
    Store { source: aspen_store::StoreError },
    /// The engine of functions does not start.
    #[snafu(display("the function engine does not start"))]
    Engine { source: aspen_functions::EngineError },
    /// The ticket cannot be used.
    #[snafu(display("the ticket cannot be used: {source}"), context(false))]
    Ticket { source: aspen_net::TicketError },
    /// The cluster to join cannot be reached.
    #[snafu(display("cannot join: {source}"), context(false))]
    Connect { source: aspen_client::ConnectError },
    /// The cluster to join refused, once connected.
    #[snafu(display("cannot join: {source}"))]
    Join { source: aspen_client::RequestError },
    /// The folder does not fit the options.
    #[snafu(display("{reason}"))]
    Mismatch { reason: String },
}

/// A server whose node is not started yet: its folder and its bound socket. The cluster agrees on the
/// address of the socket before the node exists.
pub struct BoundServer {
    folder: Folder,
    transport: Arc<IrohTransport>,
    check: Option<CompileCheck>,
}

/// A serving node.
pub struct Server {
    folder: Folder,
    transport: Arc<IrohTransport>,
    node: Arc<ShardedRaftNode>,
}

impl BoundServer {
    /// Opens the folder and binds its socket: on `listen` if the folder has no node yet, else on the
    /// node's address.
    pub async fn open(dir: &Path, listen: SocketAddr) -> Result<BoundServer, ServerError> {
        let folder = Folder::open(dir)?;
        let bind = if folder.is_occupied() { folder.identity()?.address.addr } else { listen };
        let secret = folder.secret()?;
        let transport = IrohTransport::bind(IrohConfig { secret, bind }).await?;
        let check = COMPILE_CHECK.get().cloned();
        Ok(BoundServer { folder, transport, check })
    }

    /// The folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Returns the key and address that others use.
    pub fn address(&self) -> PeerAddr {
        self.transport.local()
    }

    /// Lets this node compile in a process of its own.
    pub fn compiling_in(self, check: CompileCheck) -> BoundServer {
        BoundServer { check: Some(check), ..self }
    }

    /// Starts the folder's node and serves it.
    pub async fn serve(self, timing: Timing) -> Result<Server, ServerError> {
        let server = self.start(timing).await?;
        server.serve();
        Ok(server)
    }

    /// Starts the folder's node, which answers no request before [`Server::serve`]. A failure closes the
    /// socket.
    pub async fn start(self, timing: Timing) -> Result<Server, ServerError> {
        let transport = self.transport.clone();
        let started = self.start_node(timing).await;
        if started.is_err() {
            transport.close().await;
        }
        started
    }

    async fn start_node(self, timing: Timing) -> Result<Server, ServerError> {
        let BoundServer { folder, transport, check } = self;
        let identity = folder.identity()?;
        let path = folder.path().to_path_buf();
        let log = aspen_store::Log::open(folder.log_file()?, identity.store())?;
        let cache = Some(path.join("modules"));
        let functions = aspen_functions::Options { cache, check, ..Default::default() };
        let functions = Arc::new(WasmFunctions::new(functions).context(EngineSnafu)?);
        let clock = Clock::system();
        let own = identity.address;
        let config = NodeConfig { identity, states: path, timing, clock };
        let node = ShardedRaftNode::start(config, log, transport.clone(), functions).await?;
        if let Err(error) = must_be_alone(&node, own).await {
            node.stop().await;
            return Err(error);
        }
        Ok(Server { folder, transport, node })
    }

    /// Closes the socket.
    pub async fn close(self) {
        self.transport.close().await;
    }
}

impl Server {
    /// Lets others in. Called once.
    pub fn serve(&self) {
        self.transport.serve(Arc::new(NodeHandler(self.node.clone())));
    }

    /// The node.
    pub fn node(&self) -> &Arc<ShardedRaftNode> {
        &self.node
    }

    /// Its folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Its key and address.
    pub fn address(&self) -> PeerAddr {
        self.transport.local()
    }

    /// Stops gracefully.
    pub async fn stop(self) {
        self.node.stop().await;
        self.transport.close().await;
    }
}

/// Checks that no other process runs as the same node: two would break the promises of each. They cannot
/// share an address. If the cluster knows the node at another address than this folder, no process may
/// answer there.
async fn must_be_alone(node: &ShardedRaftNode, own: PeerAddr) -> Result<(), ServerError> {
    let id = node.id();
    let known = node.map().placement.address(id).and_then(|address| address.parse().ok());
    let Some(known) = known.filter(|known: &PeerAddr| *known != own) else { return Ok(()) };
    let secret = Secret::generate();
    let bind = SocketAddr::from((std::net::Ipv4Addr::UNSPECIFIED, 0));
    let stranger = IrohTransport::bind(IrohConfig { secret, bind }).await?;
    let asked = stranger.request(&known, Purpose::Client, Bytes::new(), PROBE_WAIT).await;
    stranger.close().await;
    // Only the holder of the node's key can refuse in the name of the node.
    let answers = matches!(asked, Ok(_) | Err(NetError::Refused { .. }));
    let reason = format!(
        "another process runs as node {id} at {}: this folder is a copy and must not be used; \
         join with an empty one",
        known.addr
    );
    snafu::ensure!(!answers, MismatchSnafu { reason });
    Ok(())
}

/// Makes the first node of a new cluster in a bound folder; `client` is the key that tickets carry.
pub fn found(
    bound: &BoundServer,
    shards: u16,
    factor: u8,
    client: &Secret,
) -> Result<Identity, ServerError> {
    check_shards(shards)?;
    check_factor(factor)?;
    let cluster = random_cluster();
    let mut identity = Identity::new(cluster, NodeId::new(1), shards, bound.address());
    identity.factor = factor;
    identity.peers.push(bound.address());
    identity.clients.push(client.public());
    bound.folder.create(&identity)?;
    Ok(identity)
}

/// Checks that a cluster has 1 to 256 shards.
pub fn check_shards(shards: u16) -> Result<(), ServerError> {
    match aspen_core::placement::ShardRouter::new(shards) {
        Ok(_) => Ok(()),
        Err(error) => MismatchSnafu { reason: error.to_string() }.fail(),
    }
}

/// Checks that a shard has 1, 3 or 5 replicas.
pub fn check_factor(factor: u8) -> Result<(), ServerError> {
    let reason = format!("a shard has 1, 3 or 5 replicas, not {factor}");
    let is_one = aspen_core::limits::REPLICATION_FACTORS.contains(&factor);
    snafu::ensure!(is_one, MismatchSnafu { reason });
    Ok(())
}

/// Checks that `wanted`, if given, is the number of shards that `dir` was `made` with: it never changes.
pub fn same_shards(dir: &Path, made: u16, wanted: Option<u16>) -> Result<(), ServerError> {
    let Some(wanted) = wanted.filter(|wanted| *wanted != made) else { return Ok(()) };
    let reason = format!("{} was made with {made} shards, not {wanted}", dir.display());
    MismatchSnafu { reason }.fail()
}

/// Draws a new cluster's id, so that no two clusters have the same.
pub fn random_cluster() -> u128 {
    let bytes = Secret::generate().to_bytes();
    u128::from_be_bytes(bytes[..16].try_into().expect("a secret has 32 bytes"))
}

/// Writes a ticket to `path`, readable by its owner alone.
pub fn write_ticket(path: &Path, ticket: &Ticket) -> Result<(), ServerError> {
    Ok(aspen_node::replace_file(path, ticket.to_string().as_bytes())?)
}
