//! The command line: the subcommands of the `aspen` binary, and the handler of each.

use std::process::ExitCode;

use aspen_client::Client;
use clap::{Parser, Subcommand};

use crate::commands::build::{Build, New};
use crate::commands::calls::{Call, Query};
use crate::commands::client_gen::ClientGen;
use crate::commands::cluster::Cluster;
use crate::commands::compile_check::CompileCheck;
use crate::commands::components::{
    Alias, Canary, Describe, Functions, History, Remove, Rollback, Upload,
};
use crate::commands::connect::connect;
use crate::commands::dev::Dev;
use crate::commands::keys::{Delete, Get, Put, Scan};
use crate::commands::leases::Lease;
use crate::commands::logs::{Logs, Stats};
use crate::commands::node::Node;
use crate::commands::replay::Replay;
use crate::commands::route::Route;
use crate::commands::schedules::{Schedule, Schedules, Unschedule};
use crate::commands::status::Status;
use crate::commands::txn::Txn;
use crate::commands::verify::Verify;
use crate::commands::{
    build, calls, client_gen, cluster, compile_check, components, dev, keys, leases, logs, node,
    replay, route, schedules, status, txn, verify,
};
use crate::failure::Failure;

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

    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
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
    Delete(Delete),
    /// List keys and values in the order of keys.
    Scan(Scan),
    /// Check and write several keys at once: everything or nothing.
    Txn(Txn),
    /// Leases: keys that are removed together when no client keeps the lease alive.
    #[command(subcommand)]
    Lease(Lease),
    /// Show the place of a key: its tag, the tag's hash, its shard, and the shard's leader.
    Route(Route),
    /// Show every node, and of each shard its leader, replicas, applied entries, size and rate.
    Status(Status),
    /// Compare the whole state of all replicas; exit code 1 if a replica differs or is damaged, 3 if a
    /// replica could not be asked.
    Verify(Verify),
    /// Start a function: a crate with WIT, code and a native test.
    New(New),
    /// Build a function crate, or a core module, into a component.
    Build(Build),
    /// Upload a component and let a name point to it.
    Upload(Upload),
    /// List the components by name.
    Functions(Functions),
    /// Show the components that a name points to and pointed to, the newest first.
    History(History),
    /// Let a name point to a component that was uploaded before.
    Alias(Alias),
    /// Let a name point to the component that it pointed to before.
    Rollback(Rollback),
    /// Send a share of a name's calls to a second component, to try it; show the share or end it.
    Canary(Canary),
    /// Remove a name with its history, and the components that no other name has or had.
    Remove(Remove),
    /// Show the functions of a component with their types.
    Describe(Describe),
    /// Write a Rust module with a typed method for each function of a component.
    ClientGen(ClientGen),
    /// Call a function: it runs next to the data and is applied exactly once.
    Call(Call),
    /// Run a function that only reads: no log entry, and any replica may answer with --stale.
    Query(Query),
    /// Let the cluster call a function by itself: at one moment, or again and again.
    Schedule(Schedule),
    /// List the schedules: the call of each, its next run, and the result of its last run.
    Schedules(Schedules),
    /// End a schedule.
    Unschedule(Unschedule),
    /// Print the log lines of calls, and the calls that faulted.
    Logs(Logs),
    /// Run an entry of a stopped node's log once more: show its reads, writes, log lines and result.
    Replay(Replay),
    /// Show for each function the number of its calls, their results, fuel and time.
    Stats(Stats),
    /// Nodes, and the placement of replicas: show them, add, remove, move.
    #[command(subcommand)]
    Cluster(Cluster),
    /// Compile a component from standard input within limits; a node starts this for each upload.
    #[command(hide = true)]
    CompileCheck(CompileCheck),
}

impl Cli {
    /// Runs a command that needs neither threads nor messages. Returns `None` for all others.
    pub fn run_alone(&self) -> Option<ExitCode> {
        match &self.command {
            Command::CompileCheck(options) => Some(compile_check::run(options)),
            _ => None,
        }
    }

    /// Runs the command.
    pub async fn run(&self) -> Result<(), Failure> {
        match &self.command {
            Command::Dev(options) => dev::run(options).await,
            Command::Node(options) => node::run(options).await,
            Command::New(options) => build::new(options),
            Command::Build(options) => build::run(options),
            Command::Replay(options) => replay::run(options),
            Command::ClientGen(options) if options.uploaded.is_none() => client_gen::run(options),
            command => {
                let client = connect(&self.connect, self.timeout).await?;
                let done = command.run_with(&client).await;
                client.close().await;
                done
            }
        }
    }
}

impl Command {
    async fn run_with(&self, client: &Client) -> Result<(), Failure> {
        match self {
            Command::Put(options) => keys::put(client, options).await,
            Command::Get(options) => keys::get(client, options).await,
            Command::Delete(options) => keys::delete(client, options).await,
            Command::Scan(options) => keys::scan(client, options).await,
            Command::Txn(options) => txn::run(client, options).await,
            Command::Lease(command) => leases::run(client, command).await,
            Command::Route(options) => route::run(client, options).await,
            Command::Status(options) => status::run(client, options).await,
            Command::Verify(options) => verify::run(client, options).await,
            Command::Upload(options) => components::upload(client, options).await,
            Command::Functions(options) => components::list(client, options).await,
            Command::History(options) => components::history(client, options).await,
            Command::Alias(options) => components::alias(client, options).await,
            Command::Rollback(options) => components::rollback(client, options).await,
            Command::Canary(options) => components::canary(client, options).await,
            Command::Remove(options) => components::remove(client, options).await,
            Command::Describe(options) => components::describe(client, options).await,
            Command::Call(options) => calls::call(client, options).await,
            Command::Query(options) => calls::query(client, options).await,
            Command::Schedule(options) => schedules::schedule(client, options).await,
            Command::Schedules(options) => schedules::list(client, options).await,
            Command::Unschedule(options) => schedules::unschedule(client, options).await,
            Command::Logs(options) => logs::logs(client, options).await,
            Command::Stats(options) => logs::statistics(client, options).await,
            Command::ClientGen(options) => client_gen::run_uploaded(client, options).await,
            Command::Cluster(command) => cluster::run(client, command).await,
            Command::Dev(_)
            | Command::Node(_)
            | Command::New(_)
            | Command::Build(_)
            | Command::Replay(_)
            | Command::CompileCheck(_) => {
                let message = "this command needs no cluster".into();
                Err(Failure::Usage { message })
            }
        }
    }
}
