//! `aspen txn`: a transaction as text, and its result.

use std::io::Read;
use std::path::PathBuf;

use aspen_client::{
    Client, Commit, ConflictError, Operation, OperationResult, Revision, Transact, WriteError,
    WriteOp,
};
use aspen_core::limits::{TXN_BYTES_MAX, TXN_OPS_MAX};
use clap::Args;
use serde_json::{Value as Json, json};

use crate::failure::Failure;
use crate::print::{bytes_json, record_json, say};
use crate::txn_print::{operations_done, print_committed, print_conflict, print_results};
use crate::txn_text::parse;

/// `aspen txn`
#[derive(Debug, Args)]
#[command(after_help = TXN_HELP)]
pub struct Txn {
    /// The statements, each one argument. Without statements they are read from FILE or standard input.
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

/// Longest text: every byte of the largest transaction as `\xNN`, and the words around it.
const TEXT_BYTES_MAX: usize = 4 * TXN_BYTES_MAX + 256 * TXN_OPS_MAX;

/// Commits the transaction, or prints its conflicts.
pub async fn run(client: &Client, options: &Txn) -> Result<(), Failure> {
    let transact =
        parse(&read(options)?).map_err(|error| Failure::Usage { message: error.to_string() })?;
    match client.write(transact.clone()).await {
        Ok(committed) => print_done(&transact, &committed, options.json),
        Err(WriteError::Conflict { revision, conflicts }) => {
            refuse(revision, &conflicts, options.json)
        }
        Err(error) => Err(error.into()),
    }
}

fn read(options: &Txn) -> Result<String, Failure> {
    if !options.statements.is_empty() {
        return Ok(options.statements.join("\n"));
    }
    let mut text = String::new();
    let most = TEXT_BYTES_MAX as u64 + 1;
    let read = match &options.file {
        Some(file) => {
            std::fs::File::open(file).and_then(|opened| opened.take(most).read_to_string(&mut text))
        }
        None => std::io::stdin().take(most).read_to_string(&mut text),
    };
    let message = match read {
        Ok(_) if text.len() <= TEXT_BYTES_MAX => return Ok(text),
        Ok(_) => format!("the statements are more than {TEXT_BYTES_MAX} bytes"),
        Err(error) => format!("cannot read the statements: {error}"),
    };
    Err(Failure::Usage { message })
}

fn print_done(transact: &Transact, committed: &Commit, as_json: bool) -> Result<(), Failure> {
    let Commit { revision, time, succeeded, results } = committed;
    if !as_json {
        print_results(transact, *succeeded, results).try_for_each(|line| say(&line))?;
        return say(&print_committed(transact, *succeeded, revision.get()));
    }
    let done = operations_done(transact, *succeeded).iter().zip(results);
    let results: Vec<Json> =
        done.map(|(operation, result)| result_json(operation, result)).collect();
    say(&json!({
        "committed": true, "succeeded": succeeded, "revision": revision.get(),
        "time_ms": time.get(), "results": results,
    })
    .to_string())
}

fn refuse(revision: Revision, conflicts: &[ConflictError], as_json: bool) -> Result<(), Failure> {
    let first = format!("conflict at revision {}", revision.get());
    if !as_json {
        let lines = conflicts.iter().map(|conflict| format!("\n{}", print_conflict(conflict)));
        return Err(Failure::Refused { message: first + &lines.collect::<String>() });
    }
    let conflicts: Vec<Json> = conflicts.iter().map(conflict_json).collect();
    say(&json!({ "committed": false, "revision": revision.get(), "conflicts": conflicts })
        .to_string())?;
    Err(Failure::Refused { message: first })
}

fn result_json(operation: &Operation, result: &OperationResult) -> Json {
    let mut object = match result {
        OperationResult::Got(record) => {
            let found = record.as_ref().zip(operation.key());
            json!({ "record": found.map(|(record, key)| record_json(key, record)) })
        }
        OperationResult::Written { version } | OperationResult::Deleted { version } => {
            json!({ "version": version.get() })
        }
        OperationResult::Granted { lease } => json!({ "lease": lease.get() }),
        OperationResult::KeptAlive { due } => json!({ "due_ms": due.get() }),
        OperationResult::Revoked { keys } => json!({ "keys_removed": keys }),
    };
    let name = match operation {
        Operation::Get(_) => "get",
        Operation::Write(WriteOp::Set { .. }) => "set",
        Operation::Write(WriteOp::Delete { .. }) => "delete",
        Operation::Write(WriteOp::Expire { .. }) => "expire",
        Operation::Grant { .. } => "grant",
        Operation::KeepAlive(_) => "keepalive",
        Operation::Revoke(_) => "revoke",
    };
    object["operation"] = json!(name);
    if let Some(key) = operation.key() {
        object["key"] = bytes_json(key.as_bytes());
    }
    object
}

fn conflict_json(conflict: &ConflictError) -> Json {
    let ConflictError { key, expected, actual, record } = conflict;
    json!({
        "key": bytes_json(key.as_bytes()),
        "expected": expected.to_string(),
        "version": actual.version.get(),
        "mod_revision": actual.mod_revision.get(),
        "record": record.as_ref().map(|record| record_json(key, record)),
    })
}
