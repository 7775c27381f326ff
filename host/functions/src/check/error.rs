//! [`ComponentError`]: the answers of the upload check that refuse a component.
//!
//! Promises texts for the person who uploads: the thing, and the limit or the remedy.

use snafu::{Snafu, ensure};
use wasmparser::BinaryReaderError;

/// The reason why a component cannot be uploaded.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(super)))]
pub enum ComponentError {
    /// The bytes are no WebAssembly.
    #[snafu(display("this is no WebAssembly component: `aspen build` makes one"))]
    NotWasm,
    /// The bytes are a core module, which has no types.
    #[snafu(display(
        "this is a core WebAssembly module, not a component: build it with `aspen build`"
    ))]
    CoreModule,
    /// Something is above its limit.
    #[snafu(display("component has {found} {what}, limit is {limit}"))]
    TooMuch {
        /// The thing that is above its limit.
        what: &'static str,
        /// The number of it.
        found: u64,
        /// The number allowed.
        limit: u64,
    },
    /// The component is not valid, or valid only with proposals that are switched off.
    #[snafu(display("component is not valid: {source}"))]
    Invalid {
        /// The error of wasmparser, with the offset.
        source: BinaryReaderError,
    },
    /// A component inside the component.
    #[snafu(display(
        "component holds another component: export functions from the world itself, not from an \
         interface"
    ))]
    Nested,
    /// A large component that runs code when an instance is made.
    #[snafu(display("component has a start function, which one of more than 2 MiB may not have"))]
    Start,
    /// An import that Aspen does not offer.
    #[snafu(display("component imports {name:?}, which Aspen does not offer; {remedy}"))]
    ForeignImport {
        /// The import.
        name: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// An import of the right name and the wrong type.
    #[snafu(display("component imports {function:?} of {name}, which is not in wit/aspen.wit so"))]
    ImportType {
        /// The interface.
        name: String,
        /// The function as the component wants it, or its name.
        function: String,
    },
    /// The component exports no function.
    #[snafu(display("component exports no function"))]
    NoFunction,
    /// A function that cannot be called.
    #[snafu(display("function {function:?} cannot be called: {why}"))]
    Unsupported {
        /// The function.
        function: String,
        /// The reason.
        why: &'static str,
    },
}

/// Returns `TooMuch` if `found` is above `limit`.
pub(super) fn at_most(what: &'static str, found: u64, limit: usize) -> Result<(), ComponentError> {
    let limit = limit as u64;
    ensure!(found <= limit, TooMuchSnafu { what, found, limit });
    Ok(())
}
