//! `aspen replay`: an entry of a stopped node's log, run once more.

use std::path::PathBuf;

use aspen_client::{ComponentHash, DryRun, Fuel};
use aspen_core::function::Call;
use aspen_core::ids::ShardId;
use aspen_core::protocol::{Command, Outcome};
use aspen_node::ReplayReport;
use clap::Args;
use serde_json::{Value as Json, json};

use crate::commands::dry_run::{did_json, say_did};
use crate::commands::values::shard_number;
use crate::failure::Failure;
use crate::print::{say, time as print_time, vals};

/// `aspen replay`
#[derive(Debug, Args)]
pub struct Replay {
    /// The shard's number, as `logs` prints it: s3.
    #[arg(value_parser = shard_number)]
    pub shard: u16,
    /// The entry's index, as `logs` prints it.
    pub index: u64,
    /// The folder of a node that does not run, or a copy of it; the folder is not changed.
    #[arg(long)]
    pub data: PathBuf,
    /// Print as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Runs the entry and prints its effects.
pub fn run(options: &Replay) -> Result<(), Failure> {
    let (shard, index) = (ShardId::new(options.shard), options.index);
    let replayed = aspen_node::replay(&options.data, shard, index);
    let replayed = replayed.map_err(|error| Failure::Refused { message: error.to_string() })?;
    match options.json {
        true => say(&replayed_json(&replayed, shard, index).to_string()),
        false => say_replayed(&replayed, shard, index),
    }
}

fn say_replayed(replayed: &ReplayReport, shard: ShardId, index: u64) -> Result<(), Failure> {
    let ReplayReport { entry, outcome, call, .. } = replayed;
    say(&format!("entry   {shard}/{index} of {} by {}", print_time(entry.stamp), entry.caller))?;
    match made(replayed) {
        Some(Call { component, function, args, key, .. }) => {
            say(&format!("call    {component} {function}({}) at {key}", vals(args)))?;
        }
        None => say(&format!("does    {}", entry.command))?,
    }
    if let Some((_, caller)) = &replayed.scheduled {
        say(&format!("for     a schedule of {caller}"))?;
    }
    if let Some((component, did, fuel)) = call {
        say(&format!("ran     {component}"))?;
        say_did(did)?;
        say(&format!("fuel    {}", fuel.get()))?;
    }
    say(&match outcome {
        Outcome::Returned { values, .. } => format!("result  {}", vals(values)),
        Outcome::Aborted { error, .. } => format!("error   {}", vals(error)),
        Outcome::Faulted { fault, .. } => format!("fault   {fault}"),
        Outcome::Refused(refusal) => format!("refused {refusal}"),
        other => format!("outcome {other:?}"),
    })
}

/// Returns the call that the entry made, if it made one.
fn made(replayed: &ReplayReport) -> Option<&Call> {
    match (&replayed.scheduled, &replayed.entry.command) {
        (Some((call, _)), _) | (None, Command::Call(call)) => Some(call),
        _ => None,
    }
}

fn replayed_json(replayed: &ReplayReport, shard: ShardId, index: u64) -> Json {
    let ReplayReport { entry, outcome, call, scheduled } = replayed;
    let made = made(replayed).map(|call| (call.function.clone(), vals(&call.args)));
    let (function, args) = made.unzip();
    let (result, error) = match outcome {
        Outcome::Returned { values, .. } => (Some(vals(values)), None),
        Outcome::Aborted { error, .. } => (None, Some(vals(error))),
        Outcome::Faulted { fault, .. } => (None, Some(fault.to_string())),
        Outcome::Refused(refusal) => (None, Some(refusal.to_string())),
        _ => (None, None),
    };
    let ran = call.as_ref().map(|(component, did, fuel): &(ComponentHash, DryRun, Fuel)| {
        let mut ran = did_json(did);
        ran["component"] = json!(component.to_string());
        ran["fuel"] = json!(fuel.get());
        ran
    });
    json!({
        "shard": shard.get(), "index": index, "time_ms": entry.stamp.get(),
        "caller": entry.caller.to_string(), "does": entry.command.to_string(),
        "scheduled_by": scheduled.as_ref().map(|(_, caller)| caller.to_string()),
        "function": function, "args": args, "ran": ran, "result": result, "error": error,
    })
}
