//! The requests that only the leader of a shard answers.
//!
//! Leaves out how a node finds the leader (`ask.rs`) and how the leader answers
//! (`peer_requests/leader.rs`).

use aspen_core::ids::{NodeId, TxnId, ViewId};
use aspen_core::key::KeyRange;
use aspen_core::protocol::{Command, Request, Response};
use aspen_core::two_phase::Decision;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A request of one node to the leader of a shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum LeaderRequest {
    /// Proposes a step of a transaction.
    Propose(Command),
    /// Asks for the decision about an attempt that the shard coordinates. Without a decision, and
    /// if no node drives the attempt, the leader aborts it.
    Settle(TxnId),
    /// Reads for a function across shards: linearizable, and no key that is locked.
    Read(Request),
    /// Asks for the members of the shard's group, confirmed by a majority.
    Members,
    /// Takes a step towards a view of several shards.
    View(ViewStep),
}

/// The answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum LeaderReply {
    /// The encoded outcome of the proposed command.
    Outcome(Bytes),
    /// The decision; `None`: the attempt is under way, ask again.
    Settled(Option<Decision>),
    /// The answer to the read.
    Read(Response),
    /// The members.
    Members(Vec<NodeId>),
    /// The result of the step, and the address of the node that took it.
    View { answer: ViewReply, by: String },
    /// This node does not lead the shard; perhaps the node at that address does.
    NotLeader(Option<String>),
    /// No majority answers, or the result is unknown.
    Unavailable,
}

/// A step towards a view, for the leader of a shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ViewStep {
    /// Begin no transaction across shards, and end those that have begun.
    Hold(ViewId),
    /// Pin a view for reading this range, and apply nothing more.
    Pin(ViewId, KeyRange),
    /// All shards have pinned their views: go on.
    Confirm(ViewId),
    /// The view will not be opened, or is not needed any more.
    Close(ViewId),
    /// Wait until a transaction is over.
    Unlock(TxnId),
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ViewReply {
    /// The step is done.
    Done,
    /// This transaction holds keys of the range.
    Locked(TxnId),
    /// Too many views are open.
    Full,
    /// The lead, or the gate, did not last.
    Lost,
}
