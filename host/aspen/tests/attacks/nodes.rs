//! Three `aspen node` processes: started, killed, paused and asked how they are.
//!
//! Promises that no process outlives the test, also when it panics, and that a node that ends by
//! itself is noticed at the next look at it. The stderr of each node is in a file next to their
//! folder. Their addresses are on a loopback address of the test's own: a port that is free while
//! its node is dead stays free, whatever other tests do.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use aspen_client::{Client, Options, Ticket};
use serde_json::Value as Json;
use tempfile::TempDir;
use tokio_real as tokio;

const ASPEN: &str = env!("CARGO_BIN_EXE_aspen");

/// Nodes of a cluster; all vote.
pub const NODES: usize = 3;

/// The time after which a test gives up: far above the need of a slow machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// A cluster of processes.
pub struct Nodes {
    folder: TempDir,
    nodes: Vec<Node>,
}

/// A node, whether it runs or not.
struct Node {
    dir: PathBuf,
    /// The network namespace it starts in, if not that of the test.
    namespace: Option<String>,
    process: Option<Process>,
}

/// A running process, killed when it goes out of scope.
struct Process {
    child: Child,
    /// The line that says that it serves.
    ready: mpsc::Receiver<String>,
}

impl Process {
    fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Nodes {
    /// Founds a cluster, lets the others join it, and waits until all vote.
    pub async fn start() -> Nodes {
        Self::start_on(own_address(), |_| ()).await
    }

    /// As [`Nodes::start`], on another address; `prepare` gets the folder of the last node before
    /// that joins.
    pub async fn start_on(address: Ipv4Addr, prepare: impl FnOnce(&Path)) -> Nodes {
        let folder = tempfile::tempdir().unwrap();
        let node = |number| Node {
            dir: folder.path().join(format!("n{number}")),
            namespace: None,
            process: None,
        };
        let nodes = (0..NODES).map(node).collect();
        let mut cluster = Nodes { folder, nodes };
        let listen = format!("{address}:0");
        let first = cluster.nodes[0].dir.join("ticket");
        cluster.launch(0, &["--init", "--shards", "1", "--listen", &listen]);
        cluster.ready(0);
        std::fs::create_dir_all(&cluster.nodes[NODES - 1].dir).unwrap();
        prepare(&cluster.nodes[NODES - 1].dir);
        for node in 1..NODES {
            let join = ["--join", first.to_str().unwrap(), "--listen", &listen];
            cluster.launch(node, &join);
            cluster.ready(node);
        }
        cluster.all_vote().await;
        cluster
    }

    /// Starts a stopped node again. It may serve later, or be killed before.
    pub fn restart(&mut self, node: usize) {
        self.launch(node, &[]);
    }

    fn launch(&mut self, node: usize, args: &[&str]) {
        let Node { dir, namespace, process } = &mut self.nodes[node];
        assert!(process.is_none(), "the node runs already");
        let errors = File::options().create(true).append(true).open(dir.with_extension("log"));
        let mut command = Command::new(ASPEN);
        if let Some(namespace) = namespace {
            // Becomes the node: the process keeps its id.
            command = Command::new("ip");
            command.args(["netns", "exec", namespace, ASPEN]);
        }
        command.args(["node", "--data"]).arg(dir).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors.unwrap());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (told, ready) = mpsc::channel();
        *process = Some(Process { child, ready });
        // Ends with the process.
        std::thread::spawn(move || {
            let mut line = String::new();
            if out.read_line(&mut line).is_ok() && line.starts_with("ready") {
                // The test may not wait for the line.
                let _ = told.send(line);
            }
        });
    }

    /// Waits until a started node serves, and gives its socket's address.
    pub fn ready(&mut self, node: usize) -> SocketAddr {
        let Some(process) = &self.nodes[node].process else { panic!("the node is not started") };
        let Ok(line) = process.ready.recv_timeout(PATIENCE) else {
            panic!("node {node} does not start: {}", self.errors(node));
        };
        let address = line.trim_end().trim_end_matches(')').rsplit(' ').next().unwrap();
        address.parse().expect("the line `ready` ends with the address")
    }

    /// SIGKILL to all of these, then waits for their ends.
    pub fn kill(&mut self, nodes: &[usize]) {
        for node in nodes {
            let errors = self.errors(*node);
            let process = self.nodes[*node].process.as_mut().expect("it runs");
            assert!(process.runs(), "node {node} ended by itself: {errors}");
            process.child.kill().unwrap();
        }
        for node in nodes {
            self.nodes[*node].process = None;
        }
    }

    /// Asks a node to end, as Ctrl-C does, and waits until it has.
    pub fn interrupt(&mut self, node: usize) {
        self.signal(node, "INT");
        let end = Instant::now() + PATIENCE;
        while self.nodes[node].process.as_mut().is_some_and(Process::runs) {
            assert!(Instant::now() < end, "node {node} does not end: {}", self.errors(node));
            std::thread::sleep(Duration::from_millis(20));
        }
        self.nodes[node].process = None;
    }

    /// Ends a node that may have ended by itself.
    pub fn end(&mut self, node: usize) {
        self.nodes[node].process = None;
    }

    /// Lets a node start in a network namespace from now on, with this socket there, while all know
    /// it by the address that it had.
    pub fn move_to(&mut self, node: usize, namespace: &str, socket: SocketAddr) {
        let path = self.nodes[node].dir.join("node.json");
        let mut identity: Json = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        identity["address"]["addr"] = socket.to_string().into();
        std::fs::write(&path, identity.to_string()).unwrap();
        self.nodes[node].namespace = Some(namespace.to_string());
    }

    /// Sends a signal by name, such as `STOP`.
    pub fn signal(&self, node: usize, name: &str) {
        let process = self.nodes[node].process.as_ref().expect("it runs");
        let id = process.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status();
        assert!(sent.unwrap().success(), "SIG{name} to node {node}");
    }

    /// Returns the error output of a node in all its lives.
    pub fn errors(&self, node: usize) -> String {
        std::fs::read_to_string(self.nodes[node].dir.with_extension("log")).unwrap_or_default()
    }

    /// A ticket that names all nodes.
    pub fn ticket(&self) -> Ticket {
        let tickets = self.nodes.iter().map(|node| {
            let text = std::fs::read_to_string(node.dir.join("ticket")).unwrap();
            text.parse::<Ticket>().unwrap()
        });
        // A node's own address comes first in its ticket.
        let tickets: Vec<Ticket> = tickets.collect();
        let nodes = tickets.iter().map(|ticket| ticket.nodes()[0]).collect();
        Ticket::new(tickets[0].cluster(), nodes, tickets[0].secret().cloned()).unwrap()
    }

    /// A client that finds out quickly who does not answer.
    pub async fn client(&self) -> Client {
        let options = Options { limit: PATIENCE, attempt: Duration::from_secs(1) };
        Client::connect_with(&self.ticket(), options).await.unwrap()
    }

    async fn all_vote(&self) {
        let (client, end) = (self.client().await, Instant::now() + PATIENCE);
        loop {
            let placement = client.cluster().await.unwrap().placement;
            let is_there = |shard: &aspen_core::placement::Replicas| shard.now.len() == NODES;
            if placement.nodes.len() == NODES && placement.shards.iter().all(is_there) {
                return client.close().await;
            }
            assert!(Instant::now() < end, "nodes without a vote: {placement:?}");
            pause().await;
        }
    }

    /// Waits until one of these nodes leads by its own word, in the latest term they know.
    pub async fn leader_among(&self, client: &Client, nodes: &[usize]) -> usize {
        let end = Instant::now() + PATIENCE;
        loop {
            let mut latest = (0, None);
            let all = client.status().await;
            for (_, status) in &all {
                let Ok(status) = status else { continue };
                let number = status.node.get() as usize - 1;
                let shard = &status.shards[0];
                let leads = nodes.contains(&number) && shard.leader == Some(status.node);
                if nodes.contains(&number) && shard.term >= latest.0 {
                    let known = latest.1.filter(|_| shard.term == latest.0);
                    latest = (shard.term, if leads { Some(number) } else { known });
                }
            }
            if let (_, Some(leader)) = latest {
                return leader;
            }
            assert!(Instant::now() < end, "no leader among {nodes:?}: {all:#?}");
            pause().await;
        }
    }

    /// Waits until all nodes have applied the same entries, and compares their digests.
    pub async fn must_be_equal(&self) {
        let ticket = self.folder.path().join("ticket");
        std::fs::write(&ticket, self.ticket().to_string()).unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            let mut command = Command::new(ASPEN);
            command.arg("--connect").arg(&ticket).args(["status", "--json"]);
            let output = command.output().unwrap();
            let replicas: Vec<Json> = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let of = |name: &str| replicas.iter().map(|r| r[name].clone()).collect::<Vec<_>>();
            let (last, applied) = (of("last"), of("applied"));
            let same = |all: &[Json]| all.iter().all(|one| one.is_u64() && *one == all[0]);
            if replicas.len() == NODES && same(&applied) && last == applied {
                assert!(of("failed").iter().all(Json::is_null), "{replicas:#?}");
                let digests = of("digest");
                assert!(digests.iter().all(|digest| *digest == digests[0]), "{replicas:#?}");
                return;
            }
            assert!(Instant::now() < end, "replicas do not catch up: {replicas:#?}");
            pause().await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already, as a rule. SIGKILL also ends a process that is paused.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for (number, node) in self.nodes.iter_mut().enumerate() {
            node.process = None;
            let errors = std::fs::read_to_string(node.dir.with_extension("log"));
            if std::thread::panicking() {
                eprintln!("stderr of node {number}: {}", errors.unwrap_or_default());
            }
        }
    }
}

/// A loopback address for one cluster of this process: 127.64.0.0/10, by process id and count.
pub fn own_address() -> Ipv4Addr {
    static CLUSTERS: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let cluster = CLUSTERS.fetch_add(1, Ordering::Relaxed);
    Ipv4Addr::new(127, 64 + cluster % 64, high, low.clamp(1, 254))
}

/// A moment between two looks at something that has no event to wait for.
pub async fn pause() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
