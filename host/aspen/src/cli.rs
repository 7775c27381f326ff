//! The command line: what can be asked of the `aspen` binary.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
    Put {
        /// The key.
        key: String,
        /// The value; `-` reads it from standard input.
        value: String,
    },
    /// Print the value of a key.
    Get {
        /// The key.
        key: String,
        /// Print value, version and revisions as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a key.
    Delete {
        /// The key.
        key: String,
    },
    /// List keys and values in the order of keys.
    Scan(Scan),
    /// Show every node: leader, log, state and digest of each shard.
    Status {
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Start a function: a crate with WIT, code and a native test.
    New {
        /// Name of the folder and of the crate (a-z, 0-9, '-').
        name: String,
    },
    /// Build a function crate into a component.
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
    /// Show the functions of a component with their types.
    Describe {
        /// The component's name.
        name: String,
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Call a function: it runs next to the data and is applied exactly once.
    Call(Call),
    /// Change the members of the cluster.
    #[command(subcommand)]
    Cluster(Cluster),
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
    /// Shards of a new cluster (1 to 256) [default: 1]
    #[arg(long)]
    pub shards: Option<u16>,
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
    /// Shards of a new cluster (1 to 256), fixed for life.
    #[arg(long, default_value_t = 1, requires = "init")]
    pub shards: u16,
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
    /// One JSON object a line, with versions and revisions.
    #[arg(long)]
    pub json: bool,
}

/// `aspen build`
#[derive(Debug, Args)]
pub struct Build {
    /// The crate's folder.
    #[arg(default_value = ".")]
    pub dir: PathBuf,
    /// Where to write the component [default: NAME.wasm in the crate's folder]
    #[arg(short, long)]
    pub output: Option<PathBuf>,
}

/// `aspen call`
#[derive(Debug, Args)]
pub struct Call {
    /// The component's name.
    pub name: String,
    /// The function.
    pub function: String,
    /// Its arguments, as WAVE text: 7, true, "text" (plain text needs no quotes), [1, 2],
    /// {field: 1}, some(1), ok("x").
    pub args: Vec<String>,
    /// A key of the shard that shall run it: the function may touch keys of that shard alone.
    #[arg(long)]
    pub key: String,
    /// Print result, fuel and revision as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `aspen cluster`
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// List the members.
    Members {
        /// Print as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove a node; refused if the others could not go on without it.
    RemoveNode {
        /// Its number, as `members` shows it.
        node: u64,
    },
}
