//! The same store inside one program: one node, no network.
//!
//! [`open`] gives a node over a folder and a [`Client`] that reaches the node by function call.
//! Promises the durability of a cluster of one: a write is answered after it is on this disk.
//! Leaves out a process of its own for compiling: uploads are compiled in this program, so the
//! program must trust that no upload is made to take long.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aspen_client::Client;
use aspen_core::ids::NodeId;
use aspen_functions::WasmFunctions;
use aspen_net::PeerAddr;
use aspen_store::Log;
use snafu::{ResultExt, ensure};

use crate::config::{Clock, NodeConfig, Timing};
use crate::error::{EngineSnafu, NodeError, NotReadySnafu, ShardsSnafu};
use crate::folder::{Folder, Identity};
use crate::local::NoNetwork;
use crate::node::ShardedRaftNode;

/// A node inside this program. Close it before the program ends; acknowledged writes are safe
/// without that.
pub struct Embedded {
    node: Arc<ShardedRaftNode>,
    client: Client,
    _folder: Folder,
}

/// Opens the store in `path`, with one shard; creates the store if there is none.
pub async fn open(path: impl AsRef<Path>) -> Result<Embedded, NodeError> {
    open_sharded(path, 1).await
}

/// As [`open`]; a store that is created gets `shards` shards, at most
/// [`aspen_core::limits::SHARDS_MAX`]: each applies on a thread of its own.
pub async fn open_sharded(path: impl AsRef<Path>, shards: u16) -> Result<Embedded, NodeError> {
    let allowed = 1..=aspen_core::limits::SHARDS_MAX;
    ensure!(allowed.contains(&shards), ShardsSnafu { shards });
    let folder = Folder::open(path.as_ref())?;
    let id = folder.secret()?.public();
    let address = PeerAddr { id, addr: ([127, 0, 0, 1], 0).into() };
    if !folder.is_occupied() {
        let mut identity = Identity::new(rand::random(), NodeId::new(1), shards, address);
        identity.factor = 1;
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
    let timing = Timing { election: Duration::from_millis(300), ..Timing::default() };
    let timing = Timing { heartbeat: Duration::from_millis(100), ..timing };
    let states = folder.path().to_path_buf();
    let config = NodeConfig { identity, states, timing, clock: Clock::system() };
    let node = ShardedRaftNode::start(config, log, Arc::new(NoNetwork(address)), functions).await?;
    node.initialize(&[(node_id, address)]).await?;
    node.founded().await;
    let client = node.client().await;
    let client = client.context(NotReadySnafu)?;
    Ok(Embedded { node, client, _folder: folder })
}

impl Embedded {
    /// Returns the client of this store.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Returns the node behind the store.
    pub fn node(&self) -> &Arc<ShardedRaftNode> {
        &self.node
    }

    /// Finishes what is under way and closes the files.
    pub async fn close(self) {
        self.node.stop().await;
    }
}
