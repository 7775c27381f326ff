//! Why a typed call did not return what its function promises.
//!
//! The function's own error is a value of its type; everything else says whether something was
//! written.

use std::fmt::Debug;

use aspen_core::{ConflictError, Fuel, GuestFault, Refusal, Revision};
use snafu::Snafu;

use super::Mismatch;
use crate::error::RequestError;

/// A typed call did not return. `E` is the error of the function's own `result`.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(super)))]
pub enum TypedCallError<E: Debug + 'static> {
    /// The function returned its error case; it wrote nothing.
    #[snafu(display("the function returned an error: {error:?}"))]
    Returned {
        /// The error.
        error: E,
        /// Fuel used.
        fuel: Fuel,
    },
    /// The function failed; it wrote nothing.
    #[snafu(display("the function failed: {fault}"))]
    Faulted {
        /// How.
        fault: GuestFault,
        /// Fuel charged.
        fuel: Fuel,
    },
    /// The component that the name points to is not the one that this client was made for.
    #[snafu(display(
        "{function} of {component} is not what this client was made for: {change}; make the client \
         again with `aspen client-gen`"
    ))]
    Changed {
        /// Its name.
        component: String,
        /// The function.
        function: String,
        /// What is different.
        change: Change,
    },
    /// A read of `call_if` does not hold, or what a call across shards depends on kept changing; it wrote
    /// nothing.
    #[snafu(display("conflict on {} keys", conflicts.len()))]
    Conflict {
        /// Every read that failed.
        conflicts: Vec<ConflictError>,
    },
    /// The call was not started.
    #[snafu(display("{refusal}"))]
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// It got no good answer. It may be applied if no node answered.
    #[snafu(display("{source}"), context(false))]
    Request {
        /// Why.
        source: RequestError,
    },
}

/// How an uploaded function differs from the one that a client was made for.
#[derive(Clone, Debug, PartialEq, Eq, Snafu)]
#[snafu(visibility(pub(super)))]
pub enum Change {
    /// It is not there. Nothing was written.
    #[snafu(display("there is no such function"))]
    NoFunction,
    /// It takes something else. Nothing was written.
    #[snafu(display("the arguments do not fit the function"))]
    Arguments,
    /// It returned another error. Nothing was written.
    #[snafu(display("it returned another error, and wrote nothing: {source}"))]
    Error {
        /// The difference.
        source: Mismatch,
    },
    /// It returned something else, after it was applied unless it was a query or a dry run.
    #[snafu(display("{}it returned something else: {source}", show(*applied)))]
    Result {
        /// The difference.
        source: Mismatch,
        /// The revision at which it was applied.
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
    /// Some functions have other types, or are gone.
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
    /// Its functions could not be asked for.
    #[snafu(display("{source}"), context(false))]
    Describe {
        /// Why.
        source: RequestError,
    },
}
