//! The same store inside one program: one node, no network.
//!
//! [`open`] gives a node over a folder and a [`Client`] that reaches it by function call. Durable
//! like a cluster of one: a write is answered after it is on this disk.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use aspen_client::{Client, Options};
use aspen_core::NodeId;
use aspen_functions::WasmFunctions;
use aspen_net::{BoxFuture, Handler, NetError, PeerAddr, Purpose, Transport};
use aspen_store::Log;
use bytes::Bytes;
use snafu::{ResultExt, ensure};

use crate::error::{EngineSnafu, NodeError, NotReadySnafu, ShardsSnafu};
use crate::folder::{Folder, Identity};
use crate::node::{Clock, Node, NodeConfig, NodeHandler, Timing};

/// A node inside this program. Close it before the program ends; what was acknowledged is safe
/// without.
pub struct Embedded {
    node: Arc<Node>,
    client: Client,
    _folder: Folder,
}

/// Opens the store in `path`, creating it if there is none, with one shard.
pub async fn open(path: impl AsRef<Path>) -> Result<Embedded, NodeError> {
    open_sharded(path, 1).await
}

/// As [`open`]; a store that is created gets so many shards, at most
/// [`aspen_core::limits::SHARDS_MAX`]: each applies on a thread of its own.
pub async fn open_sharded(path: impl AsRef<Path>, shards: u16) -> Result<Embedded, NodeError> {
    let allowed = 1..=aspen_core::limits::SHARDS_MAX;
    ensure!(allowed.contains(&shards), ShardsSnafu { shards });
    let folder = Folder::open(path.as_ref())?;
    let id = folder.secret()?.public();
    let address = PeerAddr { id, addr: ([127, 0, 0, 1], 0).into() };
    if !folder.is_occupied() {
        let mut identity = Identity::new(rand::random(), NodeId::new(1), shards, address);
        identity.clients.push(id);
        folder.create(&identity)?;
    }
    let identity = folder.identity()?;
    let (address, node_id) = (identity.address, identity.node);
    let log = Log::open(folder.log_file()?, identity.store())?;
    let functions = aspen_functions::Options {
        cache: Some(folder.path().join("modules")),
        ..Default::default()
    };
    let functions = Arc::new(WasmFunctions::new(functions).context(EngineSnafu)?);
    let local = Arc::new(Local { address, node: OnceLock::new() });
    let timing = Timing { election: Duration::from_millis(300), ..Timing::default() };
    let timing = Timing { heartbeat: Duration::from_millis(100), ..timing };
    let states = folder.path().to_path_buf();
    let config = NodeConfig { identity, states, timing, clock: Clock::system() };
    let node = Node::start(config, log, local.clone(), functions).await?;
    node.initialize(&[(node_id, address)]).await?;
    // Set once, here.
    let _ = local.node.set(NodeHandler(node.clone()));
    let client = Client::over(local, vec![address], Options::default()).await;
    let client = client.context(NotReadySnafu)?;
    Ok(Embedded { node, client, _folder: folder })
}

impl Embedded {
    /// The client of this store.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The node behind it.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// Finishes what is under way and closes the files.
    pub async fn close(self) {
        self.node.stop().await;
    }
}

/// The transport that is none: a function call to the node itself.
struct Local {
    address: PeerAddr,
    node: OnceLock<NodeHandler>,
}

impl Transport for Local {
    fn local(&self) -> PeerAddr {
        self.address
    }

    fn request(
        &self,
        to: &PeerAddr,
        purpose: Purpose,
        body: Bytes,
        deadline: Duration,
    ) -> BoxFuture<Result<Bytes, NetError>> {
        let peer = *to;
        let Some(node) = self.node.get().filter(|_| peer.id == self.address.id) else {
            return Box::pin(async { Err(NetError::Closed) });
        };
        let handled = node.handle(self.address.id, purpose, body);
        Box::pin(async move {
            let reply = tokio::time::timeout(deadline, handled).await;
            reply.map_err(|_| NetError::Deadline { peer, after: deadline, sent: true })
        })
    }
}
