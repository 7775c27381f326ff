//! Errors of typed calls.
//!
//! Promises the function's own error as a value of its type. Every other error says if something was
//! written.

use std::fmt::Debug;

use aspen_core::function::GuestFault;
use aspen_core::ids::{Fuel, Revision};
use aspen_core::refusal::Refusal;
use aspen_core::transaction::ConflictError;
use snafu::Snafu;

use crate::error::RequestError;
use crate::typed::convert::Mismatch;

/// A typed call did not return. `E` is the error of the function's own `result`.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(super)))]
pub enum TypedCallError<E: Debug + 'static> {
    /// The function returned its error case; it wrote nothing.
    #[snafu(display("the function returned an error: {error:?}"))]
    Returned {
        error: E,
        /// Fuel used.
        fuel: Fuel,
    },
    /// The function failed; it wrote nothing.
    #[snafu(display("the function failed: {fault}"))]
    Faulted {
        /// The kind of failure.
        fault: GuestFault,
        /// Fuel charged.
        fuel: Fuel,
    },
    /// The name points to another component than the client was made for.
    #[snafu(display(
        "{function} of {component} is not what this client was made for: {change}; make the client \
         again with `aspen client-gen`"
    ))]
    Changed {
        /// Its name.
        component: String,
        function: String,
        /// The difference.
        change: Change,
    },
    /// A read of `call_if` does not hold, or the reads of a call across shards kept changing; the call
    /// wrote nothing.
    #[snafu(display("conflict on {} keys", conflicts.len()))]
    Conflict {
        /// Every read that failed.
        conflicts: Vec<ConflictError>,
    },
    /// The call was not started.
    #[snafu(display("{refusal}"))]
    Refused { refusal: Refusal },
    /// The call got no good answer. It may be applied if no node answered.
    #[snafu(display("{source}"), context(false))]
    Request { source: RequestError },
}

/// The difference between an uploaded function and the one that a client was made for.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
#[snafu(visibility(pub(super)))]
pub enum Change {
    /// The function does not exist. Nothing was written.
    #[snafu(display("there is no such function"))]
    NoFunction,
    /// The function takes other arguments. Nothing was written.
    #[snafu(display("the arguments do not fit the function"))]
    Arguments,
    /// The function returned another error. Nothing was written.
    #[snafu(display("it returned another error, and wrote nothing: {source}"))]
    Error {
        /// The difference.
        source: Mismatch,
    },
    /// The function returned another value. The call was applied, unless it was a query or a dry run.
    #[snafu(display("{}it returned something else: {source}", show(*applied)))]
    Result {
        /// The difference.
        source: Mismatch,
        /// The revision at which the call was applied.
        applied: Option<Revision>,
    },
}

fn show(applied: Option<Revision>) -> String {
    applied.map_or(String::new(), |revision| format!("it was applied ({revision}), but "))
}

/// A component is not known to be the one that a client was made for.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(super)))]
pub enum CheckError {
    /// Some functions have other types, or do not exist.
    #[snafu(display(
        "{component} is not what this client was made for, which wants {}; make the client again \
         with `aspen client-gen`",
        missing.join(" and ")
    ))]
    Different {
        /// The component's name.
        component: String,
        /// The functions as the client wants them.
        missing: Vec<String>,
    },
    /// The cluster did not describe the component.
    #[snafu(display("{source}"), context(false))]
    Describe { source: RequestError },
}
