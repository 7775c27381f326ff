//! What can go wrong for somebody who uses a [`crate::Client`].
//!
//! Each kind of operation has its narrow enum, made from [`RequestError`] where the cause is the
//! same for all.

use std::time::Duration;

use aspen_core::{
    BuildError, ConflictError, Fuel, GuestFault, KeyError, NameError, Refusal, Refused, Revision,
    ScanTokenError, ShardId, Val, ValError, ValueError,
};
use aspen_net::{NetError, TicketError};
use snafu::Snafu;

/// A client could not be made.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum ConnectError {
    /// The ticket is not one.
    #[snafu(display("the ticket cannot be used"))]
    BadTicket {
        /// What is wrong with it.
        source: TicketError,
    },
    /// The ticket has no secret, and none was given: nodes would not know us.
    #[snafu(display("the ticket carries no secret key, so no node would let this client in"))]
    NoSecret,
    /// The socket could not be opened.
    #[snafu(display("cannot open a socket"))]
    Bind {
        /// Why.
        source: NetError,
    },
    /// No node answered as it should.
    #[snafu(display("cannot reach the cluster"))]
    Request {
        /// Why.
        source: RequestError,
    },
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
        /// What the last attempt came to.
        last: String,
    },
    /// The nodes do not know this client's key.
    #[snafu(display("access denied: {reason}"))]
    Denied {
        /// In the node's words.
        reason: String,
    },
    /// A node refused the request.
    #[snafu(display("{refused}"))]
    Refused {
        /// Why.
        refused: Refused,
    },
    /// The session ended while a request was under way: whether it was applied is not known.
    #[snafu(display("the session expired during the request; its outcome is lost"))]
    OutcomeLost,
    /// The request does not fit its limits, and was not sent.
    #[snafu(display("{source}"), context(false))]
    Invalid {
        /// Which limit.
        source: Invalid,
    },
    /// A consistent scan cannot go on: the node that held its view has stopped, or nobody read for
    /// a minute. Start the scan again; a token of it goes on, at another moment.
    #[snafu(display(
        "the view of {shard} is lost, for its node stopped or it was not read for long: start the scan again"
    ))]
    ViewLost {
        /// The shard.
        shard: ShardId,
    },
    /// The answer makes no sense: a bug, or a node of another version.
    #[snafu(display("the node's answer was not understood"))]
    Protocol,
}

/// An argument that breaks a limit.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum Invalid {
    /// The key.
    #[snafu(display("{source}"), context(false))]
    Key {
        /// Which limit.
        source: KeyError,
    },
    /// The value.
    #[snafu(display("{source}"), context(false))]
    Value {
        /// Which limit.
        source: ValueError,
    },
    /// The name.
    #[snafu(display("{source}"), context(false))]
    Name {
        /// Which limit.
        source: NameError,
    },
    /// The arguments.
    #[snafu(display("{source}"), context(false))]
    Arguments {
        /// Which limit.
        source: ValError,
    },
    /// The component.
    #[snafu(display("component is {bytes} bytes, limit is {limit}"))]
    Component {
        /// Its size.
        bytes: usize,
        /// [`aspen_core::limits::LARGE_COMPONENT_BYTES_MAX`].
        limit: usize,
    },
    /// Keys of one transaction that live on different shards.
    #[snafu(display("the keys live on different shards; give them one {{tag}}"))]
    ManyShards,
    /// A transaction that breaks a limit.
    #[snafu(display("{source}"), context(false))]
    Transaction {
        /// Which.
        source: BuildError,
    },
    /// A token that this cluster did not give, or that is damaged.
    #[snafu(display("{source}"), context(false))]
    Token {
        /// What is wrong with it.
        source: ScanTokenError,
    },
    /// A scan that is to be both consistent and stale.
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
        /// The shard's revision: what the conflicts say is true of it.
        revision: Revision,
        /// Every read that failed.
        conflicts: Vec<ConflictError>,
    },
    /// The shard refused it.
    #[snafu(display("{refusal}"))]
    Refusal {
        /// Why.
        refusal: Refusal,
    },
    /// It got no good answer.
    #[snafu(display("{source}"), context(false))]
    Request {
        /// Why.
        source: RequestError,
    },
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
        /// How.
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
    CallRefusal {
        /// Why.
        refusal: Refusal,
    },
    /// It got no good answer.
    #[snafu(display("{source}"), context(false))]
    CallRequest {
        /// Why.
        source: RequestError,
    },
}

/// A transaction in closure form did not commit. Nothing was written, unless it says otherwise.
#[derive(Debug, Snafu)]
#[snafu(visibility(pub(crate)))]
pub enum TransactionError {
    /// What it read has changed. Inside the closure: pass it on, the closure is run again.
    #[snafu(display("what the transaction read has changed"))]
    Changed,
    /// It conflicted with others every time.
    #[snafu(display("conflict in each of {attempts} attempts"))]
    Contended {
        /// How often it was tried.
        attempts: u32,
    },
    /// The closure gave up.
    #[snafu(display("{reason}"))]
    GaveUp {
        /// In its words.
        reason: String,
    },
    /// A key, value or the whole is outside its limits.
    #[snafu(display("{source}"), context(false))]
    BadTransaction {
        /// Which limit.
        source: BuildError,
    },
    /// The shard refused it.
    #[snafu(display("{refusal}"))]
    TransactionRefusal {
        /// Why.
        refusal: Refusal,
    },
    /// It got no good answer.
    #[snafu(display("{source}"), context(false))]
    TransactionRequest {
        /// Why.
        source: RequestError,
    },
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
