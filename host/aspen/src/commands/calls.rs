//! `aspen call` and `aspen query`: running functions.

use std::time::Duration;

use aspen_client::{CallReply, Client, Consistency, Val, stale, wave};
use clap::Args;
use serde_json::{Value as Json, json};

use crate::commands::dry_run::{did_json, say_did};
use crate::commands::values::duration;
use crate::failure::Failure;
use crate::print::say;

/// `aspen call`
#[derive(Debug, Args)]
pub struct Call {
    /// The component's name, or sha256: and its hash.
    pub name: String,
    /// The function.
    pub function: String,
    /// Its arguments, as WAVE text: 7, true, "text" (plain text needs no quotes), [1, 2],
    /// {field: 1}, some(1), ok("x").
    pub args: Vec<String>,
    /// A key of the shard that runs the function: the function may touch keys of that shard alone.
    #[arg(long)]
    pub key: String,
    /// Let the function touch keys of any shard: slower, for it commits as a transaction across shards.
    #[arg(long)]
    pub across: bool,
    /// Change nothing: print the result, the keys that the function reads with their versions, its writes
    /// and its log lines.
    #[arg(long, conflicts_with = "across")]
    pub dry_run: bool,
    /// Print result, fuel and revision as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `aspen query`
#[derive(Debug, Args)]
pub struct Query {
    /// The component's name, or sha256: and its hash.
    pub name: String,
    /// The function.
    pub function: String,
    /// Its arguments, as for `aspen call`.
    pub args: Vec<String>,
    /// A key of the shard that runs the function: the function sees keys of that shard alone.
    #[arg(long)]
    pub key: String,
    /// Accept a state of this age (such as 5s): any replica may answer.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub stale: Option<Duration>,
    /// Print result, fuel and revision as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Calls a function, or tries it with `--dry-run`.
pub async fn call(client: &Client, options: &Call) -> Result<(), Failure> {
    let Call { name, function, args, key, across, json, dry_run: is_dry } = options;
    if *is_dry {
        return dry_run(client, options).await;
    }
    let args = parse(client, name, function, args).await?;
    let reply = match across {
        true => client.call_across(name, function, key, &args).await?,
        false => client.call(name, function, key, &args).await?,
    };
    if *json {
        return say(&reply_json(&reply).to_string());
    }
    reply.value.as_ref().map_or(Ok(()), |value| say(&wave::print(value)))
}

async fn dry_run(client: &Client, options: &Call) -> Result<(), Failure> {
    let Call { name, function, args, key, json, .. } = options;
    let args = parse(client, name, function, args).await?;
    let ran = client.dry_run(name, function, key, &args).await?;
    if *json {
        let (reply, error) = match &ran.reply {
            Ok(reply) => (reply_json(reply), Json::Null),
            Err(error) => (Json::Null, json!(error.to_string())),
        };
        let mut did = did_json(&ran.did);
        did["reply"] = reply;
        did["error"] = error;
        say(&did.to_string())?;
        return ran.reply.map(|_| ()).map_err(Failure::from);
    }
    say_did(&ran.did)?;
    let reply = ran.reply?;
    say(&format!("fuel    {}", reply.fuel.get()))?;
    reply.value.as_ref().map_or(Ok(()), |value| say(&format!("result  {}", wave::print(value))))
}

/// Runs a function that only reads.
pub async fn query(client: &Client, options: &Query) -> Result<(), Failure> {
    let Query { name, function, args, key, stale: max_age, json } = options;
    let args = parse(client, name, function, args).await?;
    let consistency = max_age.map_or(Consistency::Linearizable, stale);
    let reply = client.query(name, function, key, &args, consistency).await?;
    let value = reply.value.as_ref().map(wave::print);
    if *json {
        let (revision, fuel) = (reply.revision.get(), reply.fuel.get());
        return say(&json!({ "value": value, "revision": revision, "fuel": fuel }).to_string());
    }
    value.map_or(Ok(()), |value| say(&value))
}

/// Reads the arguments as the function's types.
pub async fn parse(
    client: &Client,
    name: &str,
    function: &str,
    args: &[String],
) -> Result<Vec<Val>, Failure> {
    let manifest = client.describe(name).await?;
    let found = manifest.functions.iter().find(|candidate| candidate.name == *function);
    let Some(signature) = found else {
        let names: Vec<&str> = manifest.functions.iter().map(|f| f.name.as_str()).collect();
        let message = format!("{name} has no function {function}; it has: {}", names.join(", "));
        return Err(Failure::Refused { message });
    };
    wave::parse_args(signature, args).map_err(|error| Failure::Usage { message: error.to_string() })
}

fn reply_json(reply: &CallReply) -> Json {
    json!({
        "value": reply.value.as_ref().map(wave::print), "revision": reply.revision.get(),
        "fuel": reply.fuel.get(), "writes": reply.writes,
    })
}
