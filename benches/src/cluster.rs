//! Three nodes in one process, each with runtimes of its own, so that its threads can be told
//! apart: `nN-net` (sockets and framing), `nN-raft` (consensus) and the log. Those that apply and flush
//! belong to all nodes of a process.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use aspen::dev::DevCluster;
use aspen::server::{BoundServer, Server};
use aspen_client::Client;
use aspen_node::Timing;
use tokio::runtime::{Builder, Runtime};
use tokio_real as tokio;

use crate::cpu;
use crate::failure::Failure;

/// A running cluster, and the use of each thread.
pub struct Cluster {
    nodes: Vec<Node>,
    ticket: String,
    threads: BTreeMap<u64, String>,
}

struct Node {
    net: Runtime,
    raft: Runtime,
    server: Server,
}

fn runtime(name: &str) -> Result<Runtime, Failure> {
    Ok(Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build()?)
}

impl Cluster {
    /// Starts `nodes` nodes with `shards` shards in `dir`.
    pub fn start(dir: &Path, nodes: u16, shards: u16) -> Result<Cluster, Failure> {
        let maker = runtime("maker")?;
        let made = DevCluster::start(dir, Some(nodes), Some(shards), None, Timing::default());
        let made = maker.block_on(made)?;
        maker.block_on(made.stop());
        drop(maker);
        let ticket = std::fs::read_to_string(dir.join("ticket"))?;
        let mut cluster = Cluster { nodes: vec![], ticket, threads: BTreeMap::new() };
        for node in 1..=nodes {
            let before: BTreeSet<u64> = cpu::threads().into_keys().collect();
            let (net, raft) =
                (runtime(&format!("n{node}-net"))?, runtime(&format!("n{node}-raft"))?);
            let folder = dir.join(format!("node-{node}"));
            let bound = net.block_on(BoundServer::open(&folder, ([127, 0, 0, 1], 0).into()))?;
            let server = raft.block_on(bound.start(Timing::default()))?;
            net.block_on(async { server.serve() });
            cluster.nodes.push(Node { net, raft, server });
            for (id, (name, _)) in cpu::threads() {
                if !before.contains(&id) {
                    let part = name.trim_start_matches(&format!("n{node}-")).to_string();
                    cluster.threads.insert(id, format!("node {node}: {}", part_name(&part)));
                }
            }
        }
        Ok(cluster)
    }

    /// A client on the calling runtime.
    pub async fn client(&self) -> Result<Client, Failure> {
        Ok(Client::connect(&self.ticket).await?)
    }

    /// CPU seconds so far by part: of each node, of the client, of the rest.
    pub fn cpu(&self) -> BTreeMap<String, f64> {
        let mut parts = BTreeMap::new();
        for (id, (name, seconds)) in cpu::threads() {
            let part = match (self.threads.get(&id), part_name(&name)) {
                (Some(part), _) => part.clone(),
                (None, part @ ("apply" | "flush")) => format!("all nodes: {part}"),
                (None, _) if name == "client" => name,
                (None, _) => "other".into(),
            };
            *parts.entry(part).or_default() += seconds;
        }
        parts
    }

    /// The number of the node that leads.
    pub fn leader(&self) -> Option<u64> {
        let leads = |node: &&Node| node.server.node().leads(aspen_core::ids::ShardId::new(0));
        self.nodes.iter().find(leads).map(|node| node.server.node().id().get())
    }

    /// Stops all nodes.
    pub fn stop(self) {
        for Node { net, raft, server } in self.nodes {
            raft.block_on(server.stop());
            drop(net);
        }
    }
}

fn part_name(thread: &str) -> &str {
    match thread {
        "net" => "network",
        "raft" => "consensus",
        name if name.starts_with("aspen-apply") => "apply",
        name if name.starts_with("aspen-flush") => "flush",
        name if name.starts_with("aspen-log") => "log",
        _ => "other",
    }
}
