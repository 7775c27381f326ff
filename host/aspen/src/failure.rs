//! The end of a command that does not succeed: a message and an exit code.
//!
//! Promises an exit code for every error of the client. Leaves out printing (`main.rs`).

use aspen_client::{CallError, ConnectError, RequestError, WriteError};
use aspen_core::function::GuestFault;
use aspen_core::protocol::ErrorReply;
use aspen_core::refusal::Refusal;

/// A command's failure.
#[derive(Debug)]
pub enum Failure {
    /// Refused, conflicting or not found: exit code 1.
    Refused {
        /// The text for the user.
        message: String,
    },
    /// Wrong usage: exit code 2.
    Usage {
        /// The text for the user.
        message: String,
    },
    /// The cluster was not reached: exit code 3.
    NotReached {
        /// The text for the user.
        message: String,
    },
}

impl Failure {
    /// Returns the exit code.
    pub fn code(&self) -> u8 {
        match self {
            Failure::Refused { .. } => 1,
            Failure::Usage { .. } => 2,
            Failure::NotReached { .. } => 3,
        }
    }

    /// Returns the text for the user.
    pub fn message(&self) -> &str {
        let (Failure::Refused { message }
        | Failure::Usage { message }
        | Failure::NotReached { message }) = self;
        message
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        let message = error.to_string();
        match error {
            RequestError::Unreachable { .. } | RequestError::Denied { .. } => {
                Failure::NotReached { message }
            }
            RequestError::Refused { refused: ErrorReply::Malformed { .. } } => {
                Failure::Refused { message: format!("{message} (is the node of another version?)") }
            }
            RequestError::Invalid { .. } => Failure::Usage { message },
            _ => Failure::Refused { message },
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Request { source } => {
                let message = format!("cannot reach the cluster: {source}");
                Failure::NotReached { message }
            }
            error => Failure::NotReached { message: error.to_string() },
        }
    }
}

impl From<WriteError> for Failure {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Request { source } => source.into(),
            error => Failure::Refused { message: error.to_string() },
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        match error {
            CallError::CallRequest { source } => source.into(),
            CallError::CallRefusal { refusal: Refusal::WrongShard { shard } } => {
                let message = format!("{message} ({shard}): --key must live with the keys it uses");
                Failure::Refused { message }
            }
            CallError::Faulted { fault: GuestFault::WrongShard { .. }, .. } => {
                let message = format!("{message}; with --across it may touch keys of any shard");
                Failure::Refused { message }
            }
            _ => Failure::Refused { message },
        }
    }
}
