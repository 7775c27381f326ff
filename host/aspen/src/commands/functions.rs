//! Commands about components and their functions.

use std::path::Path;

use aspen_client::{Client, wave};
use serde_json::{Value as Json, json};

use crate::cli::Call;
use crate::commands::print::say;
use crate::failure::Failure;

/// `aspen upload`
pub async fn upload(client: &Client, file: &Path, name: &str) -> Result<(), Failure> {
    let bytes = std::fs::read(file);
    let bytes = bytes.map_err(|error| Failure::Usage {
        message: format!("cannot read {}: {error}", file.display()),
    })?;
    let size = bytes.len();
    let hash = client.upload(name, bytes).await?;
    say(&format!("{name} is now {hash} ({size} bytes)"))
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
            })
            .to_string())?;
        } else {
            say(&format!("{:<20} {}  {:>8} bytes", component.name, &hash[..16], component.bytes))?;
        }
    }
    Ok(())
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
    let Call { name, function, args, key, across, json } = options;
    let manifest = client.describe(name).await?;
    let found = manifest.functions.iter().find(|candidate| candidate.name == *function);
    let Some(signature) = found else {
        let names: Vec<&str> = manifest.functions.iter().map(|f| f.name.as_str()).collect();
        let message = format!("{name} has no function {function}; it has: {}", names.join(", "));
        return Err(Failure::Refused { message });
    };
    let args = wave::parse_args(signature, args)
        .map_err(|error| Failure::Usage { message: error.to_string() })?;
    let reply = match across {
        true => client.call_across(name, function, key, &args).await?,
        false => client.call(name, function, key, &args).await?,
    };
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
