//! A Rust module with typed methods for the functions of a component.
//!
//! Reads a component, WIT, or a cluster's description of an uploaded component, and writes a module that
//! needs `aspen-client` alone. `aspen_client::typed` has the parts that all modules need: conversions, and
//! the errors of a function that has changed meanwhile. `tests/src/typed` holds modules that are checked in,
//! compared with the text that is written now, and called. Promises the same text for the same input
//! on every machine, formatted as rustfmt would.
//! WIT has names and comments, a component names alone, an uploaded one no names of types: each type is
//! then named after its place. The command is in `commands/client_gen.rs`.

pub mod error;

mod names;

mod model;

mod uploaded;
mod wit;
mod write;

use std::path::Path;

use aspen_client::Manifest;
use aspen_functions::check;
use snafu::{ResultExt, ensure};

use crate::client_gen::error::{ClientGenError, ComponentSnafu, ReadSnafu, WorldOfComponentSnafu};

/// The source and the name of a client.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The WIT world; may be left out if there is one alone.
    pub world: Option<String>,
    /// The name that calls use; the world's or the file's if `None`.
    pub name: Option<String>,
}

/// Writes the module for a component's file, or a WIT file or folder.
pub fn from_path(path: &Path, options: &Options) -> Result<String, ClientGenError> {
    let is_wit = path.is_dir() || path.extension().is_some_and(|extension| extension == "wit");
    if is_wit {
        // wit-parser reports a missing file in many lines.
        std::fs::metadata(path).context(ReadSnafu { path })?;
        return Ok(write::module(&wit::from_wit(
            path,
            options.world.as_deref(),
            options.name.as_deref(),
        )?));
    }
    let bytes = std::fs::read(path).context(ReadSnafu { path })?;
    let manifest = check(&bytes).context(ComponentSnafu { path })?;
    ensure!(options.world.is_none(), WorldOfComponentSnafu { path });
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().replace('_', "-");
    let name = options.name.clone().unwrap_or(stem);
    Ok(write::module(&wit::from_component(&bytes, &manifest, name)?))
}

/// Writes the module for a component as a cluster describes it.
pub fn from_manifest(manifest: &Manifest, name: &str) -> Result<String, ClientGenError> {
    Ok(write::module(&uploaded::from_manifest(manifest, name)?))
}
