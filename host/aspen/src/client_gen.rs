//! `aspen client-gen`: a Rust module with typed methods for the functions of a component.
//!
//! Reads a component, WIT, or what a cluster says of an uploaded component, and writes a module that
//! needs `aspen-client` alone (see `aspen_client::typed`). Promises the same text for the same input
//! on every machine, formatted as rustfmt would.
//! WIT has names and comments, a component names alone, an uploaded one no names of types: those are
//! made from where each type stands.

mod model;
mod names;
mod uploaded;
mod wit;
mod write;

use std::io;
use std::path::{Path, PathBuf};

use aspen_client::{Client, Manifest};
use aspen_functions::{ComponentError, check};
use snafu::{ResultExt, Snafu, ensure};

use crate::cli::ClientGen;
use crate::commands::print::print_bytes;
use crate::failure::Failure;

/// What is written for, and how it is called.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The WIT world; may be left out where there is one.
    pub world: Option<String>,
    /// The name that calls use; the world's or the file's if not given.
    pub name: Option<String>,
}

/// Why there is no client.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum ClientGenError {
    /// A file could not be read.
    #[snafu(display("cannot read {}: {source}", path.display()))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is no component that could be uploaded.
    #[snafu(display("{}: {source}", path.display()))]
    Component {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ComponentError,
    },
    /// The WIT does not parse, or has no such world, or several and none was named.
    #[snafu(display("{message}"))]
    Wit {
        /// What is wrong, with the place; `wit-parser` has no kinds for it.
        message: String,
    },
    /// A component has one world.
    #[snafu(display("--world is for WIT: {} is a component, which has one world", path.display()))]
    WorldOfComponent {
        /// The file.
        path: PathBuf,
    },
    /// The world exports an interface.
    #[snafu(display(
        "the world exports interface {interface}: export functions from the world itself"
    ))]
    InterfaceExport {
        /// Its name.
        interface: String,
    },
    /// The world exports nothing to call.
    #[snafu(display("world {world} exports no function"))]
    NoFunction {
        /// The world.
        world: String,
    },
    /// A function with a type that Aspen has no values for.
    #[snafu(display("function {function:?} cannot be called: {why}"))]
    Unsupported {
        /// The function.
        function: String,
        /// Why.
        why: &'static str,
    },
    /// Two things that would have one name in Rust.
    #[snafu(display("{first} and {second} would both be {rust} in Rust{remedy}"))]
    SameName {
        /// The first.
        first: String,
        /// The second.
        second: String,
        /// Their name.
        rust: String,
        /// What to do, if there is something.
        remedy: &'static str,
    },
    /// The name to call is no name of a component, or has no letters for a Rust name.
    #[snafu(display(
        "{name:?} cannot name a client: give it a name of a-z, 0-9 and '-' with --name"
    ))]
    BadName {
        /// The name.
        name: String,
    },
}

/// The module for a component's file, or a WIT file or folder.
pub fn from_path(path: &Path, options: &Options) -> Result<String, ClientGenError> {
    let is_wit = path.is_dir() || path.extension().is_some_and(|extension| extension == "wit");
    if is_wit {
        // wit-parser says it in many lines.
        std::fs::metadata(path).context(ReadSnafu { path })?;
        return Ok(write::module(&wit::from_wit(path, options)?));
    }
    let bytes = std::fs::read(path).context(ReadSnafu { path })?;
    let manifest = check(&bytes).context(ComponentSnafu { path })?;
    ensure!(options.world.is_none(), WorldOfComponentSnafu { path });
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().replace('_', "-");
    let name = options.name.clone().unwrap_or(stem);
    Ok(write::module(&wit::from_component(&bytes, &manifest, name)?))
}

/// The module for a component as a cluster describes it.
pub fn from_manifest(manifest: &Manifest, name: &str) -> Result<String, ClientGenError> {
    Ok(write::module(&uploaded::from_manifest(manifest, name)?))
}

/// `aspen client-gen SOURCE`
pub fn run(options: &ClientGen) -> Result<(), Failure> {
    let ClientGen { source, world, name, .. } = options;
    let path = source.as_deref().expect("clap wants a source unless it is an uploaded one");
    let named = Options { world: world.clone(), name: name.clone() };
    write_out(options, &from_path(path, &named)?)
}

/// `aspen client-gen --uploaded NAME`
pub async fn run_uploaded(client: &Client, options: &ClientGen) -> Result<(), Failure> {
    let uploaded = options.uploaded.as_deref().expect("main() runs the others without a client");
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

impl From<ClientGenError> for Failure {
    fn from(error: ClientGenError) -> Self {
        Failure::Usage { message: error.to_string() }
    }
}
