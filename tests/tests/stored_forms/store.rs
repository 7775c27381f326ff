//! A node alone over a data folder, as `aspen_node::open_sharded` has it, with a clock that the test sets.
//!
//! Promises that [`Store::open`] returns when the whole log is applied. Leaves out the creation of a folder.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aspen_client::{Client, Secret};
use aspen_core::codec::{decode, encode};
use aspen_core::ids::{RequestId, ShardId};
use aspen_core::protocol::{Command, Outcome, Request, Response};
use aspen_functions::Options;
use aspen_net::{BoxFuture, Handler, NetError, PeerAddr, PeerId, Purpose, Transport};
use aspen_node::{Clock, Folder, NodeConfig, NodeHandler, ShardedRaftNode, Timing, WasmFunctions};
use aspen_store::Log;
use aspen_tests::cluster::pause;
use bytes::Bytes;

use crate::content::{SESSION, SESSION_SHARD};

/// Snapshots are this many entries apart: none is made.
pub const NO_SNAPSHOTS: u64 = 100_000;

/// How long the test waits for anything before it gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running node, its client and its clock.
pub struct Store {
    pub node: Arc<ShardedRaftNode>,
    pub client: Client,
    clock: Clock,
    _folder: Folder,
}

/// The transport of a node without others.
struct Alone(PeerAddr);

impl Transport for Alone {
    fn local(&self) -> PeerAddr {
        self.0
    }

    fn request(
        &self,
        _: &PeerAddr,
        _: Purpose,
        _: Bytes,
        _: Duration,
    ) -> BoxFuture<Result<Bytes, NetError>> {
        Box::pin(async { Err(NetError::Closed) })
    }
}

impl Store {
    /// Opens the folder of a node; its clock begins at `now`, in milliseconds since 1970.
    pub async fn open(path: &Path, now: u64, snapshot_every: u64) -> Store {
        let folder = Folder::open_existing(path).unwrap();
        let identity = folder.identity().unwrap();
        let log = Log::open(folder.log_file().unwrap(), identity.store()).unwrap();
        let functions = Arc::new(WasmFunctions::new(Options::default()).unwrap());
        let timing = Timing {
            heartbeat: Duration::from_millis(100),
            election: Duration::from_millis(300),
            snapshot_every,
            log_keep: 5,
            ..Timing::default()
        };
        let clock = Clock::system();
        set(&clock, now);
        let transport = Arc::new(Alone(identity.address));
        let states = path.to_path_buf();
        let config = NodeConfig { identity, states, timing, clock: clock.clone() };
        let node = ShardedRaftNode::start(config, log, transport, functions).await.unwrap();
        let has_all = |shard| {
            let status = node.shard_status(shard).unwrap();
            node.leads(shard) && status.applied == status.last
        };
        until("the node leads", async || node.router().all().all(has_all)).await;
        node.founded().await;
        let client = node.client().await.unwrap();
        Store { node, client, clock, _folder: folder }
    }

    /// Lets the clock go on from `now`. Entry time never goes back, whatever the clock says.
    pub fn set_clock(&self, now: u64) {
        set(&self.clock, now);
    }

    /// Stops the node in good order.
    pub async fn close(self) {
        self.node.stop().await;
    }

    /// Asks the node as one client that every build knows, for `client` has another key in each folder.
    pub async fn ask(&self, request: &Request) -> Response {
        let from = friend();
        let handler = NodeHandler(self.node.clone());
        decode(&handler.handle(from, Purpose::Client, encode(request)).await).unwrap()
    }

    /// Proposes a command on the shard of that client's session.
    pub async fn propose(&self, request: Option<RequestId>, command: Command) -> Outcome {
        let shard = SESSION_SHARD;
        match self.ask(&Request::Write { shard, request, command }).await {
            Response::Outcome(outcome) => decode(&outcome).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// The outcome of a request of that client's session: the kept one if it was made before.
    pub async fn request(&self, sequence: u64, command: Command) -> Outcome {
        let request = RequestId { session: SESSION, sequence, acknowledged: 1 };
        self.propose(Some(request), command).await
    }

    /// The shards of the store.
    pub fn shards(&self) -> Vec<ShardId> {
        self.node.router().all().collect()
    }
}

fn friend() -> PeerId {
    Secret::from_bytes([7; 32]).public()
}

fn set(clock: &Clock, now: u64) {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    clock.set_ahead(now as i64 - since.as_millis() as i64);
}

/// Waits until `is_so`.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < end, "not in time: {what}");
        pause().await;
    }
}
