//! The commands that talk to a cluster: connect, ask, print. One file for each noun.

mod cluster;
mod functions;
mod keys;
mod leases;
mod logs;
pub(crate) mod print;
mod replay;
mod route;
mod schedules;
mod status;
mod txn;
mod verify;

use std::path::Path;
use std::time::Duration;

use aspen_client::{CallError, Client, ConnectError, Options, RequestError, Ticket, WriteError};
use aspen_core::{GuestFault, Refusal, Refused};

use crate::cli::{Cli, Command};
use crate::client_gen;
use crate::failure::Failure;

pub use replay::replay;

/// Runs a command against the cluster of `--connect`.
pub async fn run(cli: &Cli) -> Result<(), Failure> {
    let limit = Duration::from_secs(cli.timeout);
    let ticket = read_ticket(&cli.connect)?;
    let options = Options { limit, attempt: limit.min(Options::default().attempt) };
    let client = Client::connect_with(&ticket, options).await?;
    let done = dispatch(&client, &cli.command).await;
    client.close().await;
    done
}

async fn dispatch(client: &Client, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Put(options) => keys::put(client, options).await,
        Command::Get(options) => keys::get(client, options).await,
        Command::Delete { key } => keys::delete(client, key).await,
        Command::Scan(options) => keys::scan(client, options).await,
        Command::Txn(options) => txn::run(client, options).await,
        Command::Lease(command) => leases::run(client, command).await,
        Command::Route { key, json } => route::run(client, key, *json).await,
        Command::Status(options) => status::run(client, options).await,
        Command::Verify(options) => verify::run(client, options).await,
        Command::Upload { file, name } => functions::upload(client, file, name).await,
        Command::Functions { json } => functions::list(client, *json).await,
        Command::History { name, json } => functions::history(client, name, *json).await,
        Command::Alias { name, component } => functions::alias(client, name, component).await,
        Command::Rollback { name, to } => functions::rollback(client, name, to.as_deref()).await,
        Command::Canary { name, to: Some(to), percent: Some(percent), .. } => {
            functions::canary(client, name, to, *percent).await
        }
        Command::Canary { name, off: true, .. } => functions::no_canary(client, name).await,
        Command::Canary { name, .. } => functions::show_canary(client, name).await,
        Command::Remove { name } => functions::remove(client, name).await,
        Command::Describe { name, json } => functions::describe(client, name, *json).await,
        Command::Call(options) if options.dry_run => functions::dry_run(client, options).await,
        Command::Call(options) => functions::call(client, options).await,
        Command::Query(options) => functions::query(client, options).await,
        Command::Schedule(options) => schedules::schedule(client, options).await,
        Command::Schedules { json } => schedules::list(client, *json).await,
        Command::Unschedule { name, key } => {
            schedules::unschedule(client, name, key.as_deref()).await
        }
        Command::Logs(options) => logs::logs(client, options).await,
        Command::Stats { name, json } => logs::statistics(client, name.as_deref(), *json).await,
        Command::ClientGen(options) => client_gen::run_uploaded(client, options).await,
        Command::Cluster(command) => cluster::run(client, command).await,
        Command::Dev(_) | Command::Node(_) | Command::New { .. } | Command::Build(_) => {
            unreachable!("main() runs these without a client")
        }
        Command::Replay { .. } => unreachable!("it needs no cluster"),
        Command::CompileCheck { .. } => unreachable!("main() runs it before anything else"),
    }
}

/// Finds a ticket: text, file, or folder with a file `ticket`.
pub fn read_ticket(connect: &str) -> Result<Ticket, Failure> {
    let text = match connect.starts_with("aspen1") {
        true => connect.to_string(),
        false => {
            let path = Path::new(connect);
            let path = if path.is_dir() { path.join("ticket") } else { path.to_path_buf() };
            std::fs::read_to_string(&path).map_err(|error| Failure::NotReached {
                message: format!(
                    "cannot read the ticket {}: {error}\n\
                     start a cluster with `aspen dev`, or say where one is with --connect",
                    path.display()
                ),
            })?
        }
    };
    let ticket = text.trim().parse::<Ticket>();
    ticket.map_err(|error| Failure::Usage { message: format!("bad ticket: {error}") })
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let message = error.to_string();
        match error {
            RequestError::Unreachable { .. } | RequestError::Denied { .. } => {
                Failure::NotReached { message }
            }
            RequestError::Refused { refused: Refused::Malformed { .. } } => {
                Failure::Refused { message: format!("{message} (is the node of another version?)") }
            }
            RequestError::Invalid { .. } => Failure::Usage { message },
            _ => Failure::Refused { message },
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Request { source } => {
                let message = format!("cannot reach the cluster: {source}");
                Failure::NotReached { message }
            }
            error => Failure::NotReached { message: error.to_string() },
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Request { source } => source.into(),
            error => Failure::Refused { message: error.to_string() },
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        match error {
            CallError::CallRequest { source } => source.into(),
            CallError::CallRefusal { refusal: Refusal::WrongShard { shard } } => {
                let message = format!("{message} ({shard}): --key must live with the keys it uses");
                Failure::Refused { message }
            }
            CallError::Faulted { fault: GuestFault::WrongShard { .. }, .. } => {
                let message = format!("{message}; with --across it may touch keys of any shard");
                Failure::Refused { message }
            }
            _ => Failure::Refused { message },
        }
    }
}
