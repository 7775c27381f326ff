//! `aspen client-gen`: writes a typed client of a component.

use std::path::PathBuf;

use aspen_client::Client;
use clap::Args;

use crate::client_gen::{Options, from_manifest, from_path};
use crate::failure::Failure;
use crate::print::print_bytes;

/// `aspen client-gen`
#[derive(Debug, Args)]
pub struct ClientGen {
    /// A component (bank.wasm), or WIT: a file, or a folder. WIT has comments too.
    #[arg(required_unless_present = "uploaded")]
    pub source: Option<PathBuf>,
    /// Instead of a file: the cluster's component of this name, or sha256: and a hash. It has no names of
    /// types; the client names each type after its place.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["source", "world"])]
    pub uploaded: Option<String>,
    /// The WIT world, if there are several.
    #[arg(long)]
    pub world: Option<String>,
    /// The name that calls use; it names the struct too [default: the world's or the file's]
    #[arg(long)]
    pub name: Option<String>,
    /// The module's file [default: standard output]
    #[arg(short, long)]
    pub out: Option<PathBuf>,
}

/// Writes the client of a file or folder.
pub fn run(options: &ClientGen) -> Result<(), Failure> {
    let ClientGen { source, world, name, .. } = options;
    let path = source.as_deref().expect("clap wants a source without --uploaded");
    let named = Options { world: world.clone(), name: name.clone() };
    write_out(options, &from_path(path, &named)?)
}

/// Writes the client of an uploaded component.
pub async fn run_uploaded(client: &Client, options: &ClientGen) -> Result<(), Failure> {
    let uploaded = options.uploaded.as_deref().expect("without --uploaded no client is made");
    let manifest = client.describe(uploaded).await?;
    let name = options.name.as_deref().unwrap_or(uploaded);
    write_out(options, &from_manifest(&manifest, name)?)
}

fn write_out(options: &ClientGen, module: &str) -> Result<(), Failure> {
    let Some(out) = &options.out else { return print_bytes(module.as_bytes()) };
    std::fs::write(out, module).map_err(|error| Failure::Refused {
        message: format!("cannot write {}: {error}", out.display()),
    })
}
