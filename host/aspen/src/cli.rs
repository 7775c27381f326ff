//! The command line: what can be asked of the `aspen` binary.

mod functions;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::txn_text::parse_ms;

pub use functions::{Build, Call, ClientGen, Logs, Query, Schedule};

/// A distributed, strictly serializable key-value store that you program with WebAssembly
/// functions.
///
/// Exit codes: 0 done, 1 refused or not found, 2 wrong usage, 3 cluster not reached.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// The cluster to talk to: a folder made by `aspen dev` or `aspen node`, a ticket's file, or a
    /// ticket's text.
    #[arg(long, global = true, env = "ASPEN_CONNECT", default_value = ".aspen")]
    pub connect: String,

    /// Give up after this many seconds.
    #[arg(long, global = true, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a cluster on this machine, in the foreground; Ctrl-C stops it.
    Dev(Dev),
    /// Run one node of a cluster, in the foreground; Ctrl-C stops it.
    Node(Node),
    /// Write a key.
    Put(Put),
    /// Print the value of a key.
    Get(Get),
    /// Remove a key.
    Delete {
        /// The key.
        key: String,
    },
    /// List keys and values in the order of keys.
    Scan(Scan),
    /// Check and write several keys at once: everything or nothing.
    Txn(Txn),
    /// Leases: keys that go together when nobody keeps them alive.
    #[command(subcommand)]
    Lease(Lease),
    /// Show where a key lives: its tag, the tag's hash, the shard, and who leads that.
    Route {
        /// The key.
        key: String,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show every node, and of each shard its leader, replicas, applied entries, size and rate.
    Status(Status),
    /// Compare what all replicas have stored, all of it; exit code 1 if one differs or is damaged, 3 if
    /// one could not be asked.
    Verify(Verify),
    /// Start a function: a crate with WIT, code and a native test.
    New {
        /// Name of the folder and of the crate (a-z, 0-9, '-').
        name: String,
    },
    /// Build a function crate, or a core module, into a component.
    Build(Build),
    /// Upload a component and let a name point to it.
    Upload {
        /// The component's file.
        file: PathBuf,
        /// The name that calls use.
        #[arg(long)]
        name: String,
    },
    /// List the components by name.
    Functions {
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show which components a name points to and pointed to, the newest first.
    History {
        /// The name.
        name: String,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a name point to a component that is there already.
    Alias {
        /// The name, old or new.
        name: String,
        /// The component: its hash, as `history` prints it, or another name that points to it.
        component: String,
    },
    /// Let a name point to the component that it pointed to before.
    Rollback {
        /// The name.
        name: String,
        /// To this one of its history: the hash, or how it begins.
        #[arg(long)]
        to: Option<String>,
    },
    /// Send a share of a name's calls to a second component, to try it; show it or end it.
    Canary {
        /// The name.
        name: String,
        /// The second component: a name, or sha256: and a hash.
        #[arg(long, requires = "percent")]
        to: Option<String>,
        /// How many of a hundred tags of keys (1 to 100); all calls with one tag go the same way.
        #[arg(long, requires = "to", value_parser = clap::value_parser!(u8).range(1..=100))]
        percent: Option<u8>,
        /// No more: all calls go to what the name points to.
        #[arg(long, conflicts_with = "to")]
        off: bool,
    },
    /// Remove a name with its history, and the components that no other name has or had.
    Remove {
        /// The name.
        name: String,
    },
    /// Show the functions of a component with their types.
    Describe {
        /// The component's name, or sha256: and its hash.
        name: String,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write a Rust module with a typed method for each function of a component.
    ClientGen(ClientGen),
    /// Call a function: it runs next to the data and is applied exactly once.
    Call(Call),
    /// Run a function that only reads: no log entry, and any replica may answer with --stale.
    Query(Query),
    /// Have the cluster call a function by itself: at a time, or again and again.
    Schedule(Schedule),
    /// List the schedules: what each calls, when next, and what came of the last run.
    Schedules {
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// End a schedule.
    Unschedule {
        /// Its name.
        name: String,
        /// A key of the shard that it is on; needed only if several shards have one of this name.
        #[arg(long)]
        key: Option<String>,
    },
    /// Print what calls logged, and which faulted.
    Logs(Logs),
    /// Run an entry of a stopped node's log once more: what it read, wrote, logged and came to.
    Replay {
        /// The shard's number, as `logs` prints it: s3.
        #[arg(value_parser = shard_number)]
        shard: u16,
        /// The entry's index, as `logs` prints it.
        index: u64,
        /// The folder of a node that does not run, or a copy of it; it stays as it is.
        #[arg(long)]
        data: PathBuf,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show of each function how often it was called, how calls ended, fuel and time.
    Stats {
        /// Only of this component: its name, or sha256: and its hash.
        name: Option<String>,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Nodes, and where replicas are: show them, add, remove, move.
    #[command(subcommand)]
    Cluster(Cluster),
    /// Compile a component from standard input within limits; a node starts this for each upload.
    #[command(hide = true)]
    CompileCheck {
        /// How hard the compiler tries: none or speed.
        level: String,
        /// CPU time it may take.
        seconds: u64,
        /// Memory it may take.
        mib: u64,
        /// Where to keep the code.
        keep: Option<PathBuf>,
    },
}

/// `aspen status`
#[derive(Debug, Args)]
pub struct Status {
    /// Every shard in a line of its own, also when there are more than 16.
    #[arg(long)]
    pub shards: bool,
    /// Print every replica as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `aspen verify`
#[derive(Debug, Args)]
pub struct Verify {
    /// Only this shard [default: all, one after the other]
    #[arg(value_parser = shard_number)]
    pub shard: Option<u16>,
    /// Print every replica's hash as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `aspen dev`
#[derive(Debug, Args)]
pub struct Dev {
    /// The cluster's folder; made if there is none.
    #[arg(default_value = ".aspen")]
    pub dir: PathBuf,
    /// Nodes of a new cluster (1 to 7) [default: 1]
    #[arg(long)]
    pub nodes: Option<u16>,
    /// Shards of a new cluster (1 to 256) [default: 8]
    #[arg(long)]
    pub shards: Option<u16>,
    /// Replicas of each shard of a new cluster (1, 3 or 5), as far as there are nodes [default: 3]
    #[arg(long)]
    pub replicas: Option<u8>,
}

/// `aspen node`
#[derive(Debug, Args)]
pub struct Node {
    /// The node's folder. With neither --init nor --join: start the node that lives there.
    #[arg(long)]
    pub data: PathBuf,
    /// Found a new cluster, with this as its only node.
    #[arg(long, conflicts_with = "join")]
    pub init: bool,
    /// Join the cluster of this ticket (its text, its file, or the folder of a node).
    #[arg(long, value_name = "TICKET")]
    pub join: Option<String>,
    /// Address to serve on, for life: others reach the node there.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
    /// Shards of a new cluster (1 to 256), fixed for life [default: 8]
    #[arg(long, conflicts_with = "join")]
    pub shards: Option<u16>,
    /// Replicas of each shard of a new cluster (1, 3 or 5), as far as there are nodes [default: 3]
    #[arg(long, requires = "init")]
    pub replicas: Option<u8>,
}

/// `aspen put`
#[derive(Debug, Args)]
pub struct Put {
    /// The key.
    pub key: String,
    /// The value; `-` reads it from standard input.
    pub value: String,
    /// Remove the key again after this time: 500ms, 30s, 5m, 2h, 1d.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub ttl: Option<Duration>,
    /// Remove the key together with this lease.
    #[arg(long, conflicts_with = "ttl")]
    pub lease: Option<u64>,
}

/// `aspen get`
#[derive(Debug, Args)]
pub struct Get {
    /// The key.
    pub key: String,
    /// An answer this old will do (such as 5s): any node may give it.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub stale: Option<Duration>,
    /// Print value, version, revisions and lease as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `aspen txn`
#[derive(Debug, Args)]
#[command(after_help = TXN_HELP)]
pub struct Txn {
    /// The statements, each one argument. Without any they are read from FILE or standard input.
    #[arg(value_name = "STATEMENT")]
    pub statements: Vec<String>,
    /// A file with one statement a line.
    #[arg(long, conflicts_with = "statements")]
    pub file: Option<PathBuf>,
    /// Print results or conflicts as one JSON object.
    #[arg(long)]
    pub json: bool,
}

const TXN_HELP: &str = "\
Statements:
  read KEY version N | mod N | since N | absent    expectations: all must hold
  unchanged PREFIX since N                         no such key written or removed after revision N
  unchanged FROM..TO since N
  if KEY value|version|create|mod|lease =|!=|<|> X
  set KEY VALUE [ttl 30s | lease N | keep]         operations, in order
  get KEY
  delete KEY
  expire KEY never | keep | ttl 30s | lease N
  grant ttl 30s
  keepalive N
  revoke N
  else                                             operations done if an expectation fails;
                                                   without it that is a conflict (exit code 1)
Keys and values with blanks stand in double quotes: \"two words\", \"\\n\", \"\\x00\".

Example: buy the last one, if it is still there and nobody changed the price.
  aspen txn 'if stock/42 value = 1' 'read price/42 mod 7' 'set stock/42 0' 'set order/9 42 ttl 1h'";

/// `aspen lease`
#[derive(Debug, Subcommand)]
pub enum Lease {
    /// Grant a lease; prints its number.
    Grant {
        /// How long it lives when nobody keeps it alive: 500ms, 30s, 5m, 2h, 1d.
        #[arg(value_parser = duration)]
        ttl: Duration,
        /// A key, existing or not, of the shard that the lease shall live on.
        #[arg(long)]
        key: String,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a lease run its whole time again.
    Keepalive(NamedLease),
    /// End a lease and remove its keys.
    Revoke(NamedLease),
    /// Show what is left of a lease, and its keys.
    Show(NamedLease),
}

/// A lease that exists.
#[derive(Debug, Args)]
pub struct NamedLease {
    /// Its number, as `grant` printed it.
    pub lease: u64,
    /// A key of the shard that it lives on; not needed where there is one shard.
    #[arg(long)]
    pub key: Option<String>,
    /// Print as JSON.
    #[arg(long)]
    pub json: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    let ms = parse_ms(text).ok_or("expected a time such as 500ms, 30s, 5m, 2h or 1d")?;
    Ok(Duration::from_millis(ms))
}

/// `aspen scan`
#[derive(Debug, Args)]
pub struct Scan {
    /// Only keys that begin with this.
    #[arg(default_value = "")]
    pub prefix: String,
    /// At most this many entries; 0 means all.
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
    /// From the last key to the first.
    #[arg(long)]
    pub reverse: bool,
    /// Leave the values out.
    #[arg(long)]
    pub keys_only: bool,
    /// An answer this old will do (such as 5s): any node may give it.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub stale: Option<Duration>,
    /// All of it as it was at one moment, on all shards: costs a pause of writes for some milliseconds.
    /// Without it each page is of a moment of its own.
    #[arg(long, conflicts_with = "stale")]
    pub consistent: bool,
    /// Go on where an earlier scan ended; it brings its prefix and direction.
    #[arg(long, conflicts_with_all = ["prefix", "reverse"])]
    pub token: Option<String>,
    /// One JSON object a line, with versions, revisions and lease; `{"next": TOKEN}` if there is more.
    #[arg(long)]
    pub json: bool,
}

/// `aspen cluster`
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// List the nodes and how many replicas each has.
    Members {
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show the map: on which nodes each shard's replicas are, and what is on its way.
    Status {
        /// Every shard in a line of its own, also when there are more than 16.
        #[arg(long)]
        shards: bool,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Let a node in before it starts; `aspen node --join` does the same by itself.
    AddNode {
        /// Its key and address, `hex@ip:port`.
        address: String,
    },
    /// Move what a node has to others and let it go; refused if the others could not go on.
    RemoveNode {
        /// Its number, as `members` shows it.
        #[arg(value_parser = node_number)]
        node: u64,
        /// Do not wait until it is gone.
        #[arg(long)]
        no_wait: bool,
    },
    /// Let functions run with the newest profile that all nodes know, once all run a new version of
    /// Aspen; after that no node can go back to the old one.
    Upgrade {
        /// With this profile instead.
        #[arg(long)]
        profile: Option<u32>,
    },
    /// Even out how many replicas each node has.
    Rebalance {
        /// Do not wait until every replica has arrived.
        #[arg(long)]
        no_wait: bool,
    },
    /// Move a replica of a shard to a node, while it is in use.
    Move {
        /// The shard's number.
        #[arg(value_parser = shard_number)]
        shard: u16,
        /// The node that gets it.
        #[arg(long, value_parser = node_number)]
        to: u64,
        /// The node that gives it [default: of those that have one, the one with the most]
        #[arg(long, value_parser = node_number)]
        from: Option<u64>,
        /// Do not wait until it has arrived.
        #[arg(long)]
        no_wait: bool,
    },
}

/// `3` or `n3`.
fn node_number(text: &str) -> Result<u64, String> {
    let number = text.strip_prefix('n').unwrap_or(text).parse();
    number.map_err(|_| format!("{text:?} is no node: write 3 or n3"))
}

/// `3` or `s3`.
fn shard_number(text: &str) -> Result<u16, String> {
    let number = text.strip_prefix('s').unwrap_or(text).parse();
    number.map_err(|_| format!("{text:?} is no shard: write 3 or s3"))
}
