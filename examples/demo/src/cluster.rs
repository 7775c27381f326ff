//! The cluster under demonstration: one `aspen node` process per node, each with its folder.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use aspen_client::{Client, Digest};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_real as tokio;

use crate::failure::Failure;

/// Running processes. Dropping it kills them.
pub struct Cluster {
    aspen: PathBuf,
    folders: Vec<PathBuf>,
    nodes: Vec<Option<Child>>,
}

impl Cluster {
    /// Founds a cluster with the first node and lets the others join it.
    pub async fn start(aspen: &Path, dir: &Path, nodes: usize) -> Result<Cluster, Failure> {
        let folders: Vec<PathBuf> = (1..=nodes).map(|n| dir.join(format!("node-{n}"))).collect();
        let mut cluster = Cluster { aspen: aspen.to_path_buf(), folders, nodes: vec![] };
        for at in 0..nodes {
            let first = cluster.folders[0].display().to_string();
            // One shard: then one digest says whether two replicas are equal.
            let how = match at {
                0 => ["--init", "--shards", "1"].map(String::from).to_vec(),
                _ => vec!["--join".into(), first],
            };
            let child = cluster.spawn(at, &how).await?;
            cluster.nodes.push(Some(child));
        }
        Ok(cluster)
    }

    /// Returns the ticket of the first node.
    pub fn ticket(&self) -> Result<String, Failure> {
        Ok(std::fs::read_to_string(self.folders[0].join("ticket"))?)
    }

    /// Kills a node's process (SIGKILL), which has no chance to finish anything. `node` counts from 1.
    pub async fn kill(&mut self, node: u64) -> Result<(), Failure> {
        let child = self.nodes[node as usize - 1].take();
        child.ok_or("the node does not run")?.kill().await?;
        Ok(())
    }

    /// Starts a killed node again.
    pub async fn restart(&mut self, node: u64) -> Result<(), Failure> {
        let at = node as usize - 1;
        self.nodes[at] = Some(self.spawn(at, &[]).await?);
        Ok(())
    }

    /// Asks every process to stop and waits for it.
    pub async fn stop(mut self) -> Result<(), Failure> {
        for child in self.nodes.iter_mut().flatten() {
            if let Some(id) = child.id() {
                Command::new("kill").arg(id.to_string()).status().await?;
            }
        }
        for child in self.nodes.iter_mut().flatten() {
            let status = child.wait().await?;
            if !status.success() {
                return Err(format!("a node ended with {status}").into());
            }
        }
        Ok(())
    }

    async fn spawn(&self, at: usize, how: &[String]) -> Result<Child, Failure> {
        let mut child = Command::new(&self.aspen)
            .args(["node", "--data"])
            .arg(&self.folders[at])
            .args(how)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot run {}: {error}", self.aspen.display()))?;
        let stdout = child.stdout.take().ok_or("no output to read")?;
        let line = BufReader::new(stdout).lines().next_line().await?;
        match line.filter(|line| line.starts_with("ready")) {
            Some(_) => Ok(child),
            None => Err(format!("node {} did not become ready", at + 1).into()),
        }
    }
}

/// Waits until the cluster has this many nodes with all their replicas.
pub async fn wait_for_nodes(client: &Client, nodes: usize) -> Result<(), Failure> {
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        let info = client.cluster().await?;
        let placement = &info.placement;
        if placement.nodes.keys().filter(|node| placement.has_arrived(**node)).count() >= nodes {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(format!("the cluster did not get {nodes} nodes").into())
}

/// Waits until all replicas applied the same entries; their digests must be equal then.
pub async fn wait_for_equal_replicas(client: &Client, nodes: usize) -> Result<Digest, Failure> {
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        let all = client.status().await;
        let shards =
            all.into_iter().filter_map(|(_, status)| status.ok()?.shards.into_iter().next());
        let shards: Vec<_> = shards.collect();
        let last = shards.iter().map(|shard| shard.last).max();
        if shards.len() == nodes && shards.iter().all(|shard| Some(shard.applied) == last) {
            let digest = shards[0].digest;
            return match shards.iter().all(|shard| shard.digest == digest) {
                true => Ok(digest),
                false => Err(format!("replicas differ: {shards:?}").into()),
            };
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("the replicas did not catch up".into())
}
