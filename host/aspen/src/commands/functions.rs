//! Commands about components and their functions.

use std::io::{IsTerminal, Write};
use std::path::Path;

use aspen_client::{
    CallReply, Canary, Client, ComponentHash, ComponentRef, Consistency, DryRun, Pointed,
    UploadProgress, Val, WriteOp, stale, wave,
};
use aspen_core::limits::COMPONENT_BYTES_MAX;
use serde_json::{Value as Json, json};

use crate::cli::{Call, Query};
use crate::commands::print::{bytes_json, say, size as print_size, time as print_time};
use crate::failure::Failure;

/// `aspen upload`
pub async fn upload(client: &Client, file: &Path, name: &str) -> Result<(), Failure> {
    let bytes = std::fs::read(file);
    let bytes = bytes.map_err(|error| Failure::Usage {
        message: format!("cannot read {}: {error}", file.display()),
    })?;
    let size = bytes.len();
    let bar = Bar::new(size);
    let hash = client.upload_with(name, bytes, |progress| bar.show(progress)).await;
    bar.end();
    let hash = hash?;
    say(&format!("{name} is now {hash} ({size} bytes)"))
}

/// How far an upload of more than one entry is, on standard error if that is a terminal.
struct Bar(bool);

/// Characters of a whole bar.
const BAR_WIDTH: u64 = 40;

impl Bar {
    fn new(size: usize) -> Bar {
        Bar(size > COMPONENT_BYTES_MAX && std::io::stderr().is_terminal())
    }

    fn show(&self, UploadProgress { sent, total }: UploadProgress) {
        let filled = (BAR_WIDTH * sent / total.max(1)) as usize;
        let rest = BAR_WIDTH as usize - filled;
        let (sent, total) = (print_size(sent), print_size(total));
        self.print(&format!("\r[{}{}] {sent} of {total} ", "#".repeat(filled), ".".repeat(rest)));
    }

    fn end(&self) {
        self.print("\n");
    }

    fn print(&self, text: &str) {
        if self.0 {
            // Nobody need see it.
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }
}

/// `aspen functions`
pub async fn list(client: &Client, as_json: bool) -> Result<(), Failure> {
    let components = client.components().await?;
    for component in &components {
        let hash = component.component.to_string();
        if as_json {
            say(&json!({
                "name": component.name.as_str(), "component": hash, "bytes": component.bytes,
                "uploaded_ms": component.uploaded.get(),
                "canary": component.canary.map(|(hash, percent)| {
                    json!({ "component": hash.to_string(), "percent": percent })
                }),
            })
            .to_string())?;
        } else {
            let canary = component
                .canary
                .map(|(hash, percent)| format!("  {percent}% to {}", &hash.to_string()[..16]));
            let canary = canary.unwrap_or_default();
            let (name, bytes) = (&component.name, component.bytes);
            say(&format!("{name:<20} {}  {bytes:>8} bytes{canary}", &hash[..16]))?;
        }
    }
    Ok(())
}

/// `aspen history`
pub async fn history(client: &Client, name: &str, as_json: bool) -> Result<(), Failure> {
    let alias = client.history(name).await?;
    let history = &alias.history;
    for (at, pointed) in history.iter().enumerate().rev() {
        let Pointed { component, time, caller } = pointed;
        let is_now = at + 1 == history.len();
        if as_json {
            say(&json!({
                "component": component.to_string(), "since_ms": time.get(), "now": is_now,
                "caller": caller.to_string(),
            })
            .to_string())?;
        } else {
            let mark = if is_now { "now" } else { "   " };
            let time = print_time(*time);
            say(&format!("{mark} {component}  since {time}"))?;
        }
    }
    Ok(())
}

/// `aspen alias`
pub async fn alias(client: &Client, name: &str, component: &str) -> Result<(), Failure> {
    let hash = match component.parse::<ComponentHash>() {
        Ok(hash) => hash,
        Err(_) => hash_of(client, component).await?,
    };
    client.point(name, hash).await?;
    say(&format!("{name} is now {hash}"))
}

/// `aspen rollback`
pub async fn rollback(client: &Client, name: &str, to: Option<&str>) -> Result<(), Failure> {
    let alias = client.history(name).await?;
    let (history, now) = (&alias.history, alias.now().component);
    let mut before = history.iter().rev().map(|pointed| pointed.component);
    let wanted = to.map(|to| to.strip_prefix("sha256:").unwrap_or(to));
    let found = match wanted {
        None => before.find(|component| *component != now),
        Some(start) => before.find(|component| component.to_string().starts_with(start)),
    };
    let Some(component) = found else {
        let message = match wanted {
            None => format!("{name} was never anything else"),
            Some(start) => format!("{name} was never {start}; see: aspen history {name}"),
        };
        return Err(Failure::Refused { message });
    };
    client.point(name, component).await?;
    say(&format!("{name} is now {component}, it was {now}"))
}

/// `aspen canary --to --percent`
pub async fn canary(client: &Client, name: &str, to: &str, percent: u8) -> Result<(), Failure> {
    let to = hash_of(client, to).await?;
    if client.history(name).await?.now().component == to {
        return Err(Failure::Refused { message: format!("{name} points to {to} already") });
    }
    client.canary(name, Some((to, percent))).await?;
    say(&format!("{percent} of 100 tags of {name} go to {to}"))
}

/// `aspen canary --off`
pub async fn no_canary(client: &Client, name: &str) -> Result<(), Failure> {
    client.canary(name, None).await?;
    say(&format!("all calls of {name} go to {}", client.history(name).await?.now().component))
}

/// `aspen canary`
pub async fn show_canary(client: &Client, name: &str) -> Result<(), Failure> {
    let alias = client.history(name).await?;
    match alias.canary {
        None => say(&format!("all calls of {name} go to {}", alias.now().component)),
        Some(Canary { pointed, percent }) => {
            let (to, since) = (pointed.component, print_time(pointed.time));
            say(&format!("{percent} of 100 tags of {name} go to {to}  since {since}"))
        }
    }
}

/// The hash of what a name points to, or that is written out.
pub async fn hash_of(client: &Client, component: &str) -> Result<ComponentHash, Failure> {
    match component.parse::<ComponentRef>() {
        Ok(ComponentRef::Hash(hash)) => Ok(hash),
        Ok(ComponentRef::Name(name)) => Ok(client.history(name.as_str()).await?.now().component),
        Err(error) => Err(Failure::Usage { message: error.to_string() }),
    }
}

/// `aspen remove`
pub async fn remove(client: &Client, name: &str) -> Result<(), Failure> {
    match client.remove_name(name).await? {
        true => say(&format!("{name} is removed")),
        false => Err(Failure::Refused { message: format!("{name}: not found") }),
    }
}

/// `aspen describe`
pub async fn describe(client: &Client, name: &str, as_json: bool) -> Result<(), Failure> {
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

/// `aspen call`
pub async fn call(client: &Client, options: &Call) -> Result<(), Failure> {
    let Call { name, function, args, key, across, json, .. } = options;
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

/// `aspen call --dry-run`
pub async fn dry_run(client: &Client, options: &Call) -> Result<(), Failure> {
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

/// What a function read, wrote and logged, for people.
pub fn say_did(did: &DryRun) -> Result<(), Failure> {
    let DryRun { reads, more_reads, writes, log } = did;
    for (key, version) in reads {
        match version.get() {
            0 => say(&format!("read    {key}: absent"))?,
            version => say(&format!("read    {key}: version {version}"))?,
        }
    }
    if *more_reads > 0 {
        say(&format!("read    {more_reads} times further keys"))?;
    }
    for write in writes {
        say(&match write {
            WriteOp::Set { key, value, .. } => {
                format!("set     {key} to {}", value.as_bytes().escape_ascii())
            }
            WriteOp::Delete { key } => format!("delete  {key}"),
            WriteOp::Expire { key, .. } => format!("expire  {key}"),
        })?;
    }
    log.iter().try_for_each(|line| say(&format!("log     {line}")))
}

/// The same for programs.
pub fn did_json(did: &DryRun) -> Json {
    let reads = did.reads.iter().map(
        |(key, version)| json!({ "key": bytes_json(key.as_bytes()), "version": version.get() }),
    );
    let reads: Vec<Json> = reads.collect();
    let writes: Vec<Json> = did.writes.iter().map(write_json).collect();
    json!({ "reads": reads, "more_reads": did.more_reads, "writes": writes, "log": did.log })
}

/// `aspen query`
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

/// Arguments as the function wants them.
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

fn write_json(write: &WriteOp) -> Json {
    let key = bytes_json(write.key().as_bytes());
    match write {
        WriteOp::Set { value, .. } => json!({ "set": key, "value": bytes_json(value.as_bytes()) }),
        WriteOp::Delete { .. } => json!({ "delete": key }),
        WriteOp::Expire { .. } => json!({ "expire": key }),
    }
}
