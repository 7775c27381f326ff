//! The commands about components and the names that point to them.

use std::path::PathBuf;

use aspen_client::{AliasTarget, Client, ComponentHash, ComponentRef};
use clap::Args;
use serde_json::{Value as Json, json};

use crate::commands::upload_bar::UploadBar;
use crate::failure::Failure;
use crate::print::{say, time as print_time};

/// `aspen upload`
#[derive(Debug, Args)]
pub struct Upload {
    /// The component's file.
    pub file: PathBuf,
    /// The name that calls use.
    #[arg(long)]
    pub name: String,
}

/// `aspen functions`
#[derive(Debug, Args)]
pub struct Functions {
    /// Print as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `aspen history`
#[derive(Debug, Args)]
pub struct History {
    /// The name.
    pub name: String,
    /// Print as JSON.
    #[arg(long)]
    pub json: bool,
}

/// `aspen alias`
#[derive(Debug, Args)]
pub struct Alias {
    /// The name, old or new.
    pub name: String,
    /// The component: its hash, as `history` prints it, or another name that points to it.
    pub component: String,
}

/// `aspen rollback`
#[derive(Debug, Args)]
pub struct Rollback {
    /// The name.
    pub name: String,
    /// To this component of its history: the hash, or the beginning of the hash.
    #[arg(long)]
    pub to: Option<String>,
}

/// `aspen canary`
#[derive(Debug, Args)]
pub struct Canary {
    /// The name.
    pub name: String,
    /// The second component: a name, or sha256: and a hash.
    #[arg(long, requires = "percent")]
    pub to: Option<String>,
    /// Number of tags of keys in a hundred (1 to 100); all calls with one tag go the same way.
    #[arg(long, requires = "to", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub percent: Option<u8>,
    /// End the share: all calls go to the component that the name points to.
    #[arg(long, conflicts_with = "to")]
    pub off: bool,
}

/// `aspen remove`
#[derive(Debug, Args)]
pub struct Remove {
    /// The name.
    pub name: String,
}

/// `aspen describe`
#[derive(Debug, Args)]
pub struct Describe {
    /// The component's name, or sha256: and its hash.
    pub name: String,
    /// Print as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Uploads a component.
pub async fn upload(client: &Client, options: &Upload) -> Result<(), Failure> {
    let Upload { file, name } = options;
    let bytes = std::fs::read(file);
    let bytes = bytes.map_err(|error| Failure::Usage {
        message: format!("cannot read {}: {error}", file.display()),
    })?;
    let size = bytes.len();
    let bar = UploadBar::new(size);
    let hash = client.upload_with(name, bytes, |progress| bar.show(progress)).await;
    bar.end();
    let hash = hash?;
    say(&format!("{name} is now {hash} ({size} bytes)"))
}

/// Lists the components.
pub async fn list(client: &Client, options: &Functions) -> Result<(), Failure> {
    let components = client.components().await?;
    for component in &components {
        let hash = component.component.to_string();
        if options.json {
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

/// Shows the history of a name.
pub async fn history(client: &Client, options: &History) -> Result<(), Failure> {
    let alias = client.history(&options.name).await?;
    let history = &alias.history;
    for (at, pointed) in history.iter().enumerate().rev() {
        let AliasTarget { component, time, caller } = pointed;
        let is_now = at + 1 == history.len();
        if options.json {
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

/// Points a name to a component.
pub async fn alias(client: &Client, options: &Alias) -> Result<(), Failure> {
    let Alias { name, component } = options;
    let hash = match component.parse::<ComponentHash>() {
        Ok(hash) => hash,
        Err(_) => hash_of(client, component).await?,
    };
    client.point(name, hash).await?;
    say(&format!("{name} is now {hash}"))
}

/// Points a name to an earlier component of its history.
pub async fn rollback(client: &Client, options: &Rollback) -> Result<(), Failure> {
    let Rollback { name, to } = options;
    let alias = client.history(name).await?;
    let (history, now) = (&alias.history, alias.now().component);
    let mut before = history.iter().rev().map(|pointed| pointed.component);
    let wanted = to.as_deref().map(|to| to.strip_prefix("sha256:").unwrap_or(to));
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

/// Begins, ends or shows a canary.
pub async fn canary(client: &Client, options: &Canary) -> Result<(), Failure> {
    match options {
        Canary { name, to: Some(to), percent: Some(percent), .. } => {
            begin_canary(client, name, to, *percent).await
        }
        Canary { name, off: true, .. } => {
            client.canary(name, None).await?;
            let component = client.history(name).await?.now().component;
            say(&format!("all calls of {name} go to {component}"))
        }
        Canary { name, .. } => show_canary(client, name).await,
    }
}

async fn begin_canary(client: &Client, name: &str, to: &str, percent: u8) -> Result<(), Failure> {
    let to = hash_of(client, to).await?;
    if client.history(name).await?.now().component == to {
        return Err(Failure::Refused { message: format!("{name} points to {to} already") });
    }
    client.canary(name, Some((to, percent))).await?;
    say(&format!("{percent} of 100 tags of {name} go to {to}"))
}

async fn show_canary(client: &Client, name: &str) -> Result<(), Failure> {
    let alias = client.history(name).await?;
    match alias.canary {
        None => say(&format!("all calls of {name} go to {}", alias.now().component)),
        Some(aspen_client::Canary { pointed, percent }) => {
            let (to, since) = (pointed.component, print_time(pointed.time));
            say(&format!("{percent} of 100 tags of {name} go to {to}  since {since}"))
        }
    }
}

/// Returns the hash of the component that a name points to, or the hash in a `sha256:` text.
pub async fn hash_of(client: &Client, component: &str) -> Result<ComponentHash, Failure> {
    match component.parse::<ComponentRef>() {
        Ok(ComponentRef::Hash(hash)) => Ok(hash),
        Ok(ComponentRef::Name(name)) => Ok(client.history(name.as_str()).await?.now().component),
        Err(error) => Err(Failure::Usage { message: error.to_string() }),
    }
}

/// Removes a name.
pub async fn remove(client: &Client, options: &Remove) -> Result<(), Failure> {
    let name = &options.name;
    match client.remove_name(name).await? {
        true => say(&format!("{name} is removed")),
        false => Err(Failure::Refused { message: format!("{name}: not found") }),
    }
}

/// Shows the functions of a component.
pub async fn describe(client: &Client, options: &Describe) -> Result<(), Failure> {
    let Describe { name, json: as_json } = options;
    let manifest = client.describe(name).await?;
    if *as_json {
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
