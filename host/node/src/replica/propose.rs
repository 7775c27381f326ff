//! Proposing entries on a replica.
//!
//! Promises that a refusal other than [`ReplicaError::Unknown`] means that nothing was proposed.
//! Leaves out how an entry is made (`context/find.rs`).

use aspen_core::ids::LogIndex;
use aspen_store::Proposal;
use bytes::Bytes;
use openraft::errors::{ClientWriteError, RaftError};

use crate::limits::WRITE_WAIT;
use crate::replica::error::ReplicaError;
use crate::replica::parts::Replica;

impl Replica {
    /// Proposes an encoded entry and waits for its encoded outcome.
    pub async fn propose(&self, entry: Bytes) -> Result<Bytes, ReplicaError> {
        self.propose_at(entry).await.map(|(_, outcome)| outcome)
    }

    /// As [`Self::propose`], with the entry's place in the log.
    pub async fn propose_at(&self, entry: Bytes) -> Result<(LogIndex, Bytes), ReplicaError> {
        let written = self.raft.client_write(Proposal(entry));
        match tokio::time::timeout(WRITE_WAIT, written).await {
            Ok(Ok(response)) => Ok((LogIndex::new(response.log_id.index), response.data.0)),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                Err(forward.into())
            }
            Ok(Err(RaftError::APIError(_))) | Err(_) => Err(ReplicaError::Unknown),
            // The entry may have been proposed before the replica stopped: others can still commit
            // it.
            Ok(Err(RaftError::Fatal(_))) => Err(ReplicaError::Unknown),
        }
    }
}
