//! Transactions across shards, as the logs hold them: two-phase commit between Raft groups.
//!
//! ```text
//!                   coordinator's shard s1                 participant's shard s4
//! round trip 1      Prepare: check, lock, vote             Prepare: check, lock, vote
//! round trip 2      Decide: write, unlock, remember        -             <- from here on committed
//!                   (the client is answered)
//! round trip 3      -                                      Finish: write, unlock
//! some time later   Forget
//! ```
//!
//! If a shard votes no, the coordinator's shard has an entry too before the client is told, `Conclude`: the
//! client may have asked twice, for an answer was late, and without it the other attempt could still commit.
//!
//! Promises that all shards do the same branch or none does. What is decided stands in one place,
//! the log of the coordinator's shard, and locks are state like any other: who finds one whose
//! transaction nobody drives any more asks there, and what was never decided is aborted. Leaves out
//! who sends what when (`coordinator.rs`) and how each is applied (`apply/two_phase.rs`).
//!
//! An attempt at a transaction has an id of its own, and each prepare on a shard a *ticket*: a
//! message that comes late, for an attempt that is over, names a ticket that is over too.
//! Source: Gray, "Notes on Data Base Operating Systems", 1978; presumed abort of Mohan, Lindsay and
//! Obermarck, "Transaction Management in the R* Distributed Database Management System", 1986.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::command::ComponentRef;
use crate::functions::CallEnd;
use crate::ids::{ComponentHash, Fuel, ShardId, Timestamp};
use crate::key::Key;
use crate::outcome::OperationResult;
use crate::transact::Transact;

/// One attempt at a transaction across shards. In order of age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TxnId {
    /// Entry time of the coordinator's shard when it began.
    pub begun: Timestamp,
    /// The shard that decides.
    pub coordinator: ShardId,
    /// Chance: tells apart those that began together.
    pub nonce: u64,
}

impl fmt::Display for TxnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{:016x}", self.coordinator, self.begun, self.nonce)
    }
}

/// First phase: checks the reads of this shard and locks what it reads and writes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepare {
    /// The attempt.
    pub txn: TxnId,
    /// What of the transaction concerns this shard.
    pub part: Transact,
}

/// Second phase, on the coordinator's shard: what all shards do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decide {
    /// The attempt.
    pub txn: TxnId,
    /// What is done.
    pub decision: Decision,
    /// What the client is told if it is done.
    pub answer: Answer,
}

/// What a client is told of a transaction across shards that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// What each operation of the branch came to.
    Results(Vec<OperationResult>),
    /// What the function came to whose writes they were. One that failed wrote nothing, and what it had
    /// read was true.
    Called(Box<RanAcross>),
}

/// The last run of a function across shards, which no replica repeats: so it is told what it did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RanAcross {
    /// The component as the caller named it.
    pub named: ComponentRef,
    /// The caller's key, of the coordinator's shard: a name may mean another component for another key.
    pub key: Key,
    /// The component that ran. It is decided to commit only if this is still what the name means.
    pub component: ComponentHash,
    /// The function.
    pub function: String,
    /// How it ended.
    pub end: CallEnd,
    /// Fuel used.
    pub fuel: Fuel,
    /// Keys it wrote.
    pub writes: u32,
    /// Lines it logged, bounded.
    pub log: Vec<String>,
    /// How long it took, in microseconds of the clock of the node that ran it.
    pub micros: u64,
}

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// It is done.
    Commit {
        /// Which of the two lists of operations.
        branch: Branch,
        /// The prepares that count, of the shards other than the coordinator's.
        tickets: Vec<(ShardId, u64)>,
    },
    /// Nothing is done.
    Abort,
}

/// Which operations of a transaction are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Branch {
    /// All reads held.
    Then,
    /// One did not.
    Otherwise,
}

/// Third step, on a participant's shard: does what was decided and unlocks. Does nothing if the
/// prepare is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// The attempt.
    pub txn: TxnId,
    /// The prepare; none: whichever holds locks.
    pub ticket: Option<u64>,
    /// What is done; none: nothing.
    pub branch: Option<Branch>,
}

impl Decision {
    /// What shard `shard` does with its prepare `ticket`.
    pub fn branch_for(&self, shard: ShardId, ticket: u64) -> Option<Branch> {
        match self {
            Decision::Commit { branch, tickets } if tickets.contains(&(shard, ticket)) => {
                Some(*branch)
            }
            _ => None,
        }
    }
}
