//! The errors of a [`crate::Client`].
//!
//! Promises one narrow enum for each kind of operation, made from [`RequestError`] where the cause is the
//! same for all kinds. Leaves out the errors of typed calls (`typed/error.rs`).

use std::time::Duration;

use aspen_core::function::GuestFault;
use aspen_core::ids::{Fuel, NameError, Revision, ShardId};
use aspen_core::key::{KeyError, ValueError};
use aspen_core::protocol::{ErrorReply, ScanTokenError};
use aspen_core::refusal::Refusal;
use aspen_core::transaction::{BuildError, ConflictError};
use aspen_core::val::{Val, ValError};
use aspen_net::{NetError, TicketError};
use snafu::Snafu;

/// A client could not be made.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum ConnectError {
    /// The text is no ticket.
    #[snafu(display("the ticket cannot be used"))]
    BadTicket { source: TicketError },
    /// The ticket has no secret: nodes would not know this client.
    #[snafu(display("the ticket carries no secret key, so no node would let this client in"))]
    NoSecret,
    /// The socket could not be opened.
    #[snafu(display("cannot open a socket"))]
    Bind { source: NetError },
    /// No node gave a good answer.
    #[snafu(display("cannot reach the cluster"))]
    Request { source: RequestError },
    /// The nodes belong to another cluster than the ticket.
    #[snafu(display("the nodes belong to cluster {found:032x}, the ticket to {expected:032x}"))]
    OtherCluster {
        /// The ticket's.
        expected: u128,
        /// The nodes'.
        found: u128,
    },
}

/// A request got no good answer.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum RequestError {
    /// No node answered within the time limit. A write may still be applied, once.
    #[snafu(display("no answer from the cluster within {waited:?}: {last}"))]
    Unreachable {
        /// The time limit.
        waited: Duration,
        /// The failure of the last attempt.
        last: String,
    },
    /// The nodes do not know this client's key.
    #[snafu(display("access denied: {reason}"))]
    Denied {
        /// The node's own words.
        reason: String,
    },
    /// A node refused the request.
    #[snafu(display("{refused}"))]
    Refused { refused: ErrorReply },
    /// The session ended while a request was under way. The request may have been applied.
    #[snafu(display("the session expired during the request; its outcome is lost"))]
    OutcomeLost,
    /// The request does not fit its limits, and was not sent.
    #[snafu(display("{source}"), context(false))]
    Invalid { source: Invalid },
    /// A consistent scan cannot go on: the node that held its view has stopped, or the program did not
    /// read for a minute. Start the scan again; a token of it continues, at another moment.
    #[snafu(display(
        "the view of {shard} is lost, for its node stopped or it was not read for long: start the scan again"
    ))]
    ViewLost { shard: ShardId },
    /// The answer makes no sense: a bug, or a node of another version.
    #[snafu(display("the node's answer was not understood"))]
    Protocol,
}

/// An argument that breaks a limit.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum Invalid {
    /// A key outside its limits.
    #[snafu(display("{source}"), context(false))]
    Key { source: KeyError },
    /// A value outside its limits.
    #[snafu(display("{source}"), context(false))]
    Value { source: ValueError },
    /// A text that is no name.
    #[snafu(display("{source}"), context(false))]
    Name { source: NameError },
    /// Arguments outside their limits.
    #[snafu(display("{source}"), context(false))]
    Arguments { source: ValError },
    /// A component that is too large.
    #[snafu(display("component is {bytes} bytes, limit is {limit}"))]
    Component {
        bytes: usize,
        /// [`aspen_core::limits::LARGE_COMPONENT_BYTES_MAX`].
        limit: usize,
    },
    /// Keys of one transaction that live on different shards.
    #[snafu(display("the keys live on different shards; give them one {{tag}}"))]
    ManyShards,
    /// A transaction that breaks a limit.
    #[snafu(display("{source}"), context(false))]
    Transaction { source: BuildError },
    /// A token of another cluster, or a damaged one.
    #[snafu(display("{source}"), context(false))]
    Token { source: ScanTokenError },
    /// A scan that asks to be both consistent and stale.
    #[snafu(display("a consistent scan cannot be stale"))]
    StaleView,
    /// Nothing to do: no keys to read, or a transaction without reads and operations.
    #[snafu(display("the request is empty"))]
    Empty,
}

/// A write did not happen.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum WriteError {
    /// A read of the transaction no longer holds.
    #[snafu(display("conflict on {} keys, the first: {}", conflicts.len(), conflicts[0]))]
    Conflict {
        /// The shard's revision, at which the conflicts are true.
        revision: Revision,
        /// Every read that failed.
        conflicts: Vec<ConflictError>,
    },
    /// The shard refused.
    #[snafu(display("{refusal}"))]
    Refusal { refusal: Refusal },
    /// The cluster gave no good answer.
    #[snafu(display("{source}"), context(false))]
    Request { source: RequestError },
}

/// A call did not return.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum CallError {
    /// The function returned its error case; it wrote nothing.
    #[snafu(display("the function returned an error: {}", show(error)))]
    Aborted {
        /// The error's payload.
        error: Option<Val>,
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
    /// A read that the call depends on no longer holds.
    #[snafu(display("conflict on {} keys, the first: {}", conflicts.len(), conflicts[0]))]
    CallConflict {
        /// Every read that failed.
        conflicts: Vec<ConflictError>,
    },
    /// The call was not started.
    #[snafu(display("{refusal}"))]
    CallRefusal { refusal: Refusal },
    /// The cluster gave no good answer.
    #[snafu(display("{source}"), context(false))]
    CallRequest { source: RequestError },
}

/// A transaction in closure form did not commit. Nothing was written, unless the variant says otherwise.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum TransactionError {
    /// A record that was read has changed. Inside the closure: pass this error on, and the closure runs
    /// again.
    #[snafu(display("what the transaction read has changed"))]
    Changed,
    /// Every attempt conflicted with other transactions.
    #[snafu(display("conflict in each of {attempts} attempts"))]
    Contended {
        /// Attempts made.
        attempts: u32,
    },
    /// The closure gave up.
    #[snafu(display("{reason}"))]
    GaveUp {
        /// The closure's own words.
        reason: String,
    },
    /// A key, value or the whole is outside its limits.
    #[snafu(display("{source}"), context(false))]
    BadTransaction { source: BuildError },
    /// The shard refused.
    #[snafu(display("{refusal}"))]
    TransactionRefusal { refusal: Refusal },
    /// The cluster gave no good answer.
    #[snafu(display("{source}"), context(false))]
    TransactionRequest { source: RequestError },
}

fn show(error: &Option<Val>) -> String {
    match error {
        Some(Val::String(text)) => text.clone(),
        Some(val) => crate::wave::print(val),
        None => "without a payload".into(),
    }
}

impl From<Invalid> for WriteError {
    fn from(invalid: Invalid) -> Self {
        RequestError::from(invalid).into()
    }
}

impl From<Invalid> for CallError {
    fn from(invalid: Invalid) -> Self {
        RequestError::from(invalid).into()
    }
}

impl From<Invalid> for TransactionError {
    fn from(invalid: Invalid) -> Self {
        RequestError::from(invalid).into()
    }
}

impl From<WriteError> for TransactionError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Conflict { .. } => TransactionError::Changed,
            WriteError::Refusal { refusal } => TransactionError::TransactionRefusal { refusal },
            WriteError::Request { source } => source.into(),
        }
    }
}
