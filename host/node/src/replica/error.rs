//! The refusals of a replica, and what each means to a client and to another node.
//!
//! Promises that the conversions stand here alone.

use aspen_core::ids::NodeId;
use aspen_core::protocol::ErrorReply;
use aspen_core::view::HostError;
use aspen_store::TypeConfig;
use openraft::errors::{ForwardToLeader, LinearizableReadError, RaftError};

use crate::peer::LeaderReply;

/// The reason why a replica did not do something that only a working leader can do.
pub enum ReplicaError {
    /// Another replica leads, or none. Nothing was proposed.
    NotLeader(Option<(NodeId, String)>),
    /// No majority answered within the time. Nothing was proposed.
    NoMajority,
    /// Proposed; the entry may or may not commit.
    Unknown,
    /// The replica has stopped.
    Stopped(String),
}

impl From<ForwardToLeader<TypeConfig>> for ReplicaError {
    fn from(forward: ForwardToLeader<TypeConfig>) -> Self {
        let node = forward.leader_id.zip(forward.leader_node);
        ReplicaError::NotLeader(node.map(|(id, node)| (NodeId::new(id), node.addr)))
    }
}

impl From<RaftError<TypeConfig, LinearizableReadError<TypeConfig>>> for ReplicaError {
    fn from(error: RaftError<TypeConfig, LinearizableReadError<TypeConfig>>) -> Self {
        match error {
            RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => forward.into(),
            RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => {
                ReplicaError::NoMajority
            }
            RaftError::Fatal(fatal) => ReplicaError::Stopped(fatal.to_string()),
        }
    }
}

impl From<HostError> for ReplicaError {
    fn from(fault: HostError) -> Self {
        ReplicaError::Stopped(fault.to_string())
    }
}

impl From<ReplicaError> for ErrorReply {
    fn from(error: ReplicaError) -> Self {
        match error {
            ReplicaError::NotLeader(leader) => ErrorReply::NotLeader { leader },
            ReplicaError::NoMajority => {
                ErrorReply::Unavailable { reason: "no majority of the replicas answers".into() }
            }
            ReplicaError::Unknown => ErrorReply::OutcomeUnknown,
            ReplicaError::Stopped(reason) => ErrorReply::Failed { reason },
        }
    }
}

impl From<ReplicaError> for LeaderReply {
    fn from(error: ReplicaError) -> Self {
        match error {
            ReplicaError::NotLeader(leader) => {
                LeaderReply::NotLeader(leader.map(|(_, address)| address))
            }
            _ => LeaderReply::Unavailable,
        }
    }
}

/// Returns the refusal for a client whose request met a fault of this machine.
pub fn failed(fault: HostError) -> ErrorReply {
    let cause = std::error::Error::source(&fault).map(|cause| cause.to_string());
    ErrorReply::Failed { reason: format!("{fault}: {}", cause.unwrap_or_default()) }
}
