//! Why no client is made of a component or WIT.

use std::io;
use std::path::PathBuf;

use aspen_functions::ComponentError;
use snafu::Snafu;

use crate::failure::Failure;

/// Why no client is made.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(super)))]
pub enum ClientGenError {
    /// A file could not be read.
    #[snafu(display("cannot read {}: {source}", path.display()))]
    Read { path: PathBuf, source: io::Error },
    /// The file is no component that could be uploaded.
    #[snafu(display("{}: {source}", path.display()))]
    Component { path: PathBuf, source: ComponentError },
    /// The WIT does not parse, or has no such world, or several and none was named.
    #[snafu(display("{message}"))]
    Wit {
        /// The problem and its place; `wit-parser` has no kinds of errors.
        message: String,
    },
    /// A component has one world.
    #[snafu(display("--world is for WIT: {} is a component, which has one world", path.display()))]
    WorldOfComponent { path: PathBuf },
    /// The world exports an interface.
    #[snafu(display(
        "the world exports interface {interface}: export functions from the world itself"
    ))]
    InterfaceExport {
        /// Its name.
        interface: String,
    },
    /// The world exports no function.
    #[snafu(display("world {world} exports no function"))]
    NoFunction { world: String },
    /// A function has a type that Aspen has no values for.
    #[snafu(display("function {function:?} cannot be called: {why}"))]
    Unsupported { function: String, why: &'static str },
    /// Two names of WIT become one name in Rust.
    #[snafu(display("{first} and {second} would both be {rust} in Rust{remedy}"))]
    SameName {
        first: String,
        second: String,
        /// The name in Rust.
        rust: String,
        /// The remedy, if there is one.
        remedy: &'static str,
    },
    /// The name to call is no name of a component, or has no letters for a Rust name.
    #[snafu(display(
        "{name:?} cannot name a client: give it a name of a-z, 0-9 and '-' with --name"
    ))]
    BadName { name: String },
}

impl From<ClientGenError> for Failure {
    fn from(error: ClientGenError) -> Self {
        Failure::Usage { message: error.to_string() }
    }
}
