//! The commands that talk to a cluster: connect, ask, print.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use aspen_client::{
    CallError, Client, ConnectError, Item, Key, KeyRange, Options, Record, RequestError,
    ScanOptions, Ticket, WriteError, wave,
};
use aspen_core::{NodeId, Refusal, Refused};
use serde_json::{Value as Json, json};

use crate::cli::{Call, Cli, Cluster, Command, Scan};
use crate::failure::Failure;

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
        Command::Put { key, value } => put(client, key, value).await,
        Command::Get { key, json } => get(client, key, *json).await,
        Command::Delete { key } => delete(client, key).await,
        Command::Scan(options) => scan(client, options).await,
        Command::Status { json } => status(client, *json).await,
        Command::Upload { file, name } => upload(client, file, name).await,
        Command::Functions { json } => functions(client, *json).await,
        Command::Describe { name, json } => describe(client, name, *json).await,
        Command::Call(options) => call(client, options).await,
        Command::Cluster(Cluster::Members { json }) => members(client, *json).await,
        Command::Cluster(Cluster::RemoveNode { node }) => {
            client.remove_node(NodeId::new(*node)).await?;
            say(&format!("node n{node} is no longer a member; its process can be stopped"))
        }
        Command::Dev(_) | Command::Node(_) | Command::New { .. } | Command::Build(_) => {
            unreachable!("main() runs these without a client")
        }
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

fn say(line: &str) -> Result<(), Failure> {
    print_bytes(format!("{line}\n").as_bytes())
}

/// Prints; a reader that closed its end (`| head`) is no failure.
fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Refused { message: format!("cannot print: {error}") })
        }
        _ => Ok(()),
    }
}

async fn put(client: &Client, key: &str, value: &str) -> Result<(), Failure> {
    let mut bytes = value.as_bytes().to_vec();
    if value == "-" {
        bytes.clear();
        // One byte more than a value may have is enough to tell that it is too long.
        let most = aspen_core::limits::VALUE_BYTES_MAX as u64 + 1;
        let read = std::io::stdin().take(most).read_to_end(&mut bytes);
        read.map_err(|error| Failure::Usage {
            message: format!("cannot read the value: {error}"),
        })?;
    }
    let written = client.put(key, bytes).await?;
    say(&format!("version {} at revision {}", written.version.get(), written.revision.get()))
}

async fn get(client: &Client, key: &str, as_json: bool) -> Result<(), Failure> {
    let Some(record) = client.get(key).await? else {
        return Err(Failure::Refused { message: format!("{key}: not found") });
    };
    if as_json {
        let key =
            Key::try_from(key).map_err(|error| Failure::Usage { message: error.to_string() })?;
        return say(&record_json(&key, &record).to_string());
    }
    print_bytes(&[record.value.as_bytes(), b"\n"].concat())
}

async fn delete(client: &Client, key: &str) -> Result<(), Failure> {
    let written = client.delete(key).await?;
    if written.version.get() == 0 {
        return Err(Failure::Refused { message: format!("{key}: not found") });
    }
    say(&format!(
        "deleted version {} at revision {}",
        written.version.get(),
        written.revision.get()
    ))
}

async fn scan(client: &Client, options: &Scan) -> Result<(), Failure> {
    let range = KeyRange::prefix(options.prefix.clone().into_bytes());
    let Scan { limit, reverse, keys_only, json, .. } = *options;
    let items = client
        .scan(range, ScanOptions { reverse, keys_only, limit, ..ScanOptions::default() })
        .await?;
    let line = |Item { key, record }: &Item| match (json, keys_only) {
        (true, _) => record_json(key, record).to_string(),
        (false, true) => key.to_string(),
        (false, false) => format!("{key}\t{}", record.value.as_bytes().escape_ascii()),
    };
    let lines: String = items.iter().map(|item| line(item) + "\n").collect();
    print_bytes(lines.as_bytes())?;
    if limit > 0 && items.len() == limit {
        eprintln!("(the first {limit}; --limit 0 shows all)");
    }
    Ok(())
}

/// Text as text; bytes that are none as `{"hex": "..."}`.
fn bytes_json(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            json!({ "hex": hex })
        }
    }
}

fn record_json(key: &Key, record: &Record) -> Json {
    json!({
        "key": bytes_json(key.as_bytes()),
        "value": bytes_json(record.value.as_bytes()),
        "version": record.version.get(),
        "create_revision": record.create_revision.get(),
        "mod_revision": record.mod_revision.get(),
    })
}

async fn status(client: &Client, as_json: bool) -> Result<(), Failure> {
    let mut all = vec![];
    if !as_json {
        say("node  shard  role      term   applied   snapshot   revision       keys  digest")?;
    }
    for (address, status) in client.status().await {
        match status {
            Ok(status) => {
                for shard in &status.shards {
                    let leads = shard.leader == Some(status.node);
                    let role = if leads { "leader" } else { "follower" };
                    let role = if shard.failed.is_some() { "FAILED" } else { role };
                    if as_json {
                        all.push(json!({
                            "node": status.node.get(), "address": address.to_string(),
                            "shard": shard.shard.get(), "role": role.to_lowercase(),
                            "term": shard.term, "leader": shard.leader.map(|leader| leader.get()),
                            "last": shard.last.get(), "applied": shard.applied.get(),
                            "snapshot": shard.snapshot.get(), "revision": shard.revision.get(),
                            "keys": shard.keys, "digest": shard.digest.to_string(),
                            "failed": shard.failed,
                        }));
                        continue;
                    }
                    say(&format!(
                        "{:<5} {:<6} {role:<9} {:<6} {:<9} {:<10} {:<10} {:>8}  {}",
                        status.node.to_string(),
                        shard.shard.to_string(),
                        shard.term,
                        shard.applied.get(),
                        shard.snapshot.get(),
                        shard.revision.get(),
                        shard.keys,
                        shard.digest,
                    ))?;
                    if let Some(reason) = &shard.failed {
                        say(&format!("      {reason}"))?;
                    }
                }
            }
            Err(error) if as_json => {
                all.push(json!({ "address": address.to_string(), "error": error.to_string() }));
            }
            Err(error) => say(&format!("{address}: {error}"))?,
        }
    }
    if as_json { say(&json!(all).to_string()) } else { Ok(()) }
}

async fn members(client: &Client, as_json: bool) -> Result<(), Failure> {
    let info = client.cluster().await?;
    if as_json {
        let member = |member: &aspen_core::MemberInfo| json!({ "node": member.node.get(), "address": member.address, "voter": member.voter });
        let members: Vec<Json> = info.members.iter().map(member).collect();
        let cluster = format!("{:032x}", info.cluster);
        return say(
            &json!({ "cluster": cluster, "shards": info.shards, "members": members }).to_string()
        );
    }
    for member in &info.members {
        let role = if member.voter { "voter" } else { "learner" };
        say(&format!("{:<5} {role:<8} {}", member.node.to_string(), member.address))?;
    }
    Ok(())
}

async fn upload(client: &Client, file: &Path, name: &str) -> Result<(), Failure> {
    let bytes = std::fs::read(file);
    let bytes = bytes.map_err(|error| Failure::Usage {
        message: format!("cannot read {}: {error}", file.display()),
    })?;
    let size = bytes.len();
    let hash = client.upload(name, bytes).await?;
    say(&format!("{name} is now {hash} ({size} bytes)"))
}

async fn functions(client: &Client, as_json: bool) -> Result<(), Failure> {
    let components = client.components().await?;
    for component in &components {
        let hash = component.component.to_string();
        if as_json {
            say(&json!({
                "name": component.name.as_str(), "component": hash, "bytes": component.bytes,
                "uploaded_ms": component.uploaded.get(),
            })
            .to_string())?;
        } else {
            say(&format!("{:<20} {}  {:>8} bytes", component.name, &hash[..16], component.bytes))?;
        }
    }
    Ok(())
}

async fn describe(client: &Client, name: &str, as_json: bool) -> Result<(), Failure> {
    let manifest = client.describe(name).await?;
    if as_json {
        let functions: Vec<Json> = manifest
            .functions
            .iter()
            .map(|function| {
                let params: Vec<Json> = function
                    .params
                    .iter()
                    .map(|field| json!({ "name": field.name, "type": field.ty.to_string() }))
                    .collect();
                let result = function.result.as_ref().map(ToString::to_string);
                json!({ "name": function.name, "params": params, "result": result })
            })
            .collect();
        let component = manifest.component.to_string();
        return say(&json!({
            "name": name, "component": component, "bytes": manifest.bytes, "functions": functions,
        })
        .to_string());
    }
    say(&format!("component {} ({} bytes)", manifest.component, manifest.bytes))?;
    manifest.functions.iter().try_for_each(|function| say(&function.to_string()))
}

async fn call(client: &Client, options: &Call) -> Result<(), Failure> {
    let Call { name, function, args, key, json } = options;
    let manifest = client.describe(name).await?;
    let found = manifest.functions.iter().find(|candidate| candidate.name == *function);
    let Some(signature) = found else {
        let names: Vec<&str> = manifest.functions.iter().map(|f| f.name.as_str()).collect();
        let message = format!("{name} has no function {function}; it has: {}", names.join(", "));
        return Err(Failure::Refused { message });
    };
    let args = wave::parse_args(signature, args)
        .map_err(|error| Failure::Usage { message: error.to_string() })?;
    let reply = client.call(name, function, key, &args).await?;
    let value = reply.value.as_ref().map(wave::print);
    if *json {
        return say(&json!({
            "value": value, "revision": reply.revision.get(), "fuel": reply.fuel.get(),
            "writes": reply.writes,
        })
        .to_string());
    }
    value.map_or(Ok(()), |value| say(&value))
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
            _ => Failure::Refused { message },
        }
    }
}
