//! The votes on a transaction across shards, the decision, and the answer to the client.

use serde::{Deserialize, Serialize};

use crate::function::{CallEnd, CallEndKind, CallReport};
use crate::ids::{ComponentHash, ComponentRef, Fuel, ShardId};
use crate::key::Key;
use crate::transaction::OperationResult;

/// The vote of a shard that accepts a prepare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The id of this prepare on its shard.
    pub prepare_id: u64,
    /// True if the reads of the part hold.
    pub reads_hold: bool,
    /// The results that the operations of `then` will have.
    pub then: Vec<OperationResult>,
    /// The results that the operations of `otherwise` will have, if there is one.
    pub otherwise: Vec<OperationResult>,
}

/// The decision on an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Decision {
    /// The attempt is done.
    Commit {
        /// The branch that is done.
        branch: Branch,
        /// The prepares that count, of the shards other than the coordinator's.
        prepare_ids: Vec<(ShardId, u64)>,
    },
    /// Nothing is done.
    Abort,
}

/// One of the two lists of operations of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Branch {
    /// All reads held.
    Then,
    /// A read did not hold.
    Otherwise,
}

/// The answer to the client of a committed transaction across shards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommitReply {
    /// The result of each operation of the branch.
    Results(Vec<OperationResult>),
    /// The run of the function that made the writes. A function that failed wrote nothing, and its
    /// reads held.
    Function(Box<FunctionRun>),
}

/// The last run of a function across shards. No replica repeats the run, so the entry tells what
/// the function did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunctionRun {
    /// The component as the caller named it.
    pub named: ComponentRef,
    /// The caller's key, of the coordinator's shard: a name may mean another component for another
    /// key.
    pub key: Key,
    /// The component that ran. The attempt commits only if the name still means this component.
    pub component: ComponentHash,
    pub function: String,
    pub end: CallEnd,
    pub fuel: Fuel,
    /// The number of keys written.
    pub writes: u32,
    /// Lines of the log, bounded.
    pub log: Vec<String>,
    /// The duration in microseconds, by the clock of the node that ran the function.
    pub micros: u64,
}

impl Decision {
    /// Returns the branch that `shard` applies for its prepare `prepare_id`; `None`: nothing is
    /// applied.
    pub fn branch_for(&self, shard: ShardId, prepare_id: u64) -> Option<Branch> {
        match self {
            Decision::Commit { branch, prepare_ids }
                if prepare_ids.contains(&(shard, prepare_id)) =>
            {
                Some(*branch)
            }
            _ => None,
        }
    }
}

impl FunctionRun {
    /// Returns the parts of the call that its outcome does not have; `None` if the call was not
    /// started.
    pub(crate) fn called(&self) -> Option<CallReport> {
        let FunctionRun { component, fuel, ref log, .. } = *self;
        let ended = CallEndKind::of(&self.end)?;
        Some(CallReport { component, ended, fuel, log: log.clone(), scheduled: None })
    }
}
