//! A real cluster in this process: iroh on loopback, redb and SQLite in a temporary folder.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use aspen::dev::DevCluster;
use aspen::server::{BoundServer, Server, ServerError};
use aspen_client::{Client, Digest, Options};
use aspen_core::ids::ShardId;
use aspen_node::Timing;
use tempfile::TempDir;

/// The time that anything may take before a test gives up: far above what a slow machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cluster whose nodes can be stopped and started one by one.
pub struct Cluster {
    /// The folder of everything; deleted at the end.
    pub dir: TempDir,
    /// The nodes by number, from 0; `None` while stopped.
    pub servers: Vec<Option<Server>>,
    /// The timing of every node that is started from now on.
    pub timing: Timing,
}

impl Cluster {
    /// Starts this many nodes with one shard.
    pub async fn start(nodes: u16) -> Cluster {
        Self::with_timing(nodes, Timing::default()).await
    }

    /// Starts this many nodes with a timing of the test's own.
    pub async fn with_timing(nodes: u16, timing: Timing) -> Cluster {
        Self::with_shards(nodes, 1, timing).await
    }

    /// Starts this many nodes with this many shards.
    pub async fn with_shards(nodes: u16, shards: u16, timing: Timing) -> Cluster {
        Self::with_replicas(nodes, shards, 3, timing).await
    }

    /// Starts this many nodes with this many shards, and this many replicas of each.
    pub async fn with_replicas(nodes: u16, shards: u16, replicas: u8, timing: Timing) -> Cluster {
        let dir = tempfile::tempdir().unwrap();
        let (nodes, shards) = (Some(nodes), Some(shards));
        let started = DevCluster::start(dir.path(), nodes, shards, Some(replicas), timing).await;
        let servers = started.unwrap().into_servers().into_iter().map(Some).collect();
        Cluster { dir, servers, timing }
    }

    /// The text of the ticket.
    pub fn ticket(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("ticket")).unwrap()
    }

    /// A client with the usual time limits.
    pub async fn client(&self) -> Client {
        self.client_with(Options { limit: PATIENCE, ..Options::default() }).await
    }

    /// A client with time limits of the test's own.
    pub async fn client_with(&self, options: Options) -> Client {
        Client::connect_with(&self.ticket().parse().unwrap(), options).await.unwrap()
    }

    /// The folder of a node.
    pub fn folder(&self, node: usize) -> PathBuf {
        self.dir.path().join(format!("node-{}", node + 1))
    }

    /// The number of the node that leads, once one does.
    pub async fn leader(&self) -> usize {
        let end = Instant::now() + PATIENCE;
        loop {
            let leads = |server: &Option<Server>| {
                server.as_ref().is_some_and(|server| server.node().leads(ShardId::new(0)))
            };
            if let Some(leader) = self.servers.iter().position(leads) {
                return leader;
            }
            assert!(Instant::now() < end, "no leader");
            pause().await;
        }
    }

    /// Stops a node gracefully.
    pub async fn stop_node(&mut self, node: usize) {
        self.servers[node].take().unwrap().stop().await;
    }

    /// Starts a stopped node again.
    pub async fn start_node(&mut self, node: usize) {
        self.servers[node] = Some(self.try_start_node(node).await.unwrap());
    }

    /// Starts a stopped node again, or says why not.
    pub async fn try_start_node(&self, node: usize) -> Result<Server, ServerError> {
        let bound = BoundServer::open(&self.folder(node), ([127, 0, 0, 1], 0).into()).await?;
        bound.serve(self.timing).await
    }

    /// Waits until all running replicas have applied the same entries, and compares their digests.
    pub async fn equal_digests(&self) -> Digest {
        let end = Instant::now() + PATIENCE;
        loop {
            let shard = ShardId::new(0);
            let running = || self.servers.iter().flatten().map(|server| server.node());
            let all: Vec<_> = running().filter_map(|node| node.shard_status(shard)).collect();
            let last = all.iter().map(|status| status.last).max().unwrap_or_default();
            // The newest placement map tells the number of replicas.
            let newest = running().map(|node| node.map()).max_by_key(|map| map.epoch).unwrap();
            let placed = running().filter(|node| newest.placement.hosts(node.id(), shard));
            let is_whole = newest.epoch > 0 && all.len() == placed.count();
            if is_whole && all.iter().all(|status| status.applied == last) {
                assert!(all.iter().all(|status| status.digest == all[0].digest), "{all:#?}");
                return all[0].digest;
            }
            assert!(Instant::now() < end, "replicas do not catch up: {all:#?}");
            pause().await;
        }
    }

    /// Stops everything.
    pub async fn stop(mut self) {
        for server in self.servers.iter_mut() {
            if let Some(server) = server.take() {
                server.stop().await;
            }
        }
    }
}

/// A moment between two looks at something that has no event to wait for.
pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}
