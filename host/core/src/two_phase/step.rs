//! The steps of a transaction across shards, as commands: prepare, decide, finish.

use serde::{Deserialize, Serialize};

use crate::ids::TxnId;
use crate::transaction::Transact;
use crate::two_phase::decision::{Branch, CommitReply, Decision};

/// First phase: checks the reads of this shard and locks the keys that it reads and writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepare {
    pub txn: TxnId,
    /// The part of the transaction on this shard.
    pub part: Transact,
}

/// Second phase, on the coordinator's shard: decides for all shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decide {
    pub txn: TxnId,
    pub decision: Decision,
    /// The answer to the client if the decision is to commit.
    pub answer: CommitReply,
}

/// Third step, on a participant's shard: applies the decision and unlocks. Does nothing if the
/// prepare is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    pub txn: TxnId,
    /// The prepare that counts; `None`: any prepare of the attempt.
    pub prepare_id: Option<u64>,
    /// The branch to apply; `None`: nothing.
    pub branch: Option<Branch>,
}
