//! [`Response`]: the answer of a node to a [`crate::protocol::Request`].
//!
//! Each node answers what it can. A node that is not the leader answers requests for the leader with
//! [`ErrorReply::NotLeader`] and the leader's address. Serialized like `command.rs`.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::function::{CallNote, FunctionStatistics, Manifest};
use crate::ids::{LogIndex, Name, NodeId, Revision, TxnId, Version};
use crate::key::Key;
use crate::protocol::info::{ClusterInfo, ComponentInfo, LeaseInfo, NodeStatus, ViewInfo};
use crate::protocol::outcome::Outcome;
use crate::protocol::page::Page;
use crate::refusal::Refusal;
use crate::state::{Schedule, Verification};
use crate::transaction::WriteOp;
use crate::view::{Alias, Record};

/// The answer of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// The request was not done.
    Error(ErrorReply),
    /// To `Cluster`.
    Cluster(ClusterInfo),
    /// To `Status`.
    Status(NodeStatus),
    /// To `Place`: the map has the change; the replicas follow in the background.
    Placed {
        /// The epoch of the map.
        epoch: u64,
        /// To `AddNode`: the id of the new node.
        node: Option<NodeId>,
    },
    /// To `Write`: the encoded [`crate::protocol::Outcome`]. To `Get` and `Scan` when their reads do not hold.
    Outcome(Bytes),
    /// To `Get`: one per key, in order.
    Records {
        /// The revision that the records were read at.
        revision: Revision,
        /// The records; `None` for an absent key.
        records: Vec<Option<Record>>,
    },
    /// To `Scan`.
    Page(Page),
    /// To `OpenView`.
    View(ViewInfo),
    /// To `CloseView`.
    ViewClosed,
    /// To `Query`.
    Query(QueryReply),
    /// To `Components`.
    Components(Vec<ComponentInfo>),
    /// To `Describe`.
    Manifest(Manifest),
    /// To `History`.
    History(Alias),
    /// To `Notes`: the oldest first, those that are still kept.
    Notes(Vec<CallNote>),
    /// To `Statistics`.
    Statistics(Vec<FunctionStatistics>),
    /// To `SwitchProfile`.
    ProfileSwitched,
    /// To `Lease`; `None` if there is none.
    Lease(Option<LeaseInfo>),
    /// To `Schedules`: in order of names.
    Schedules(Vec<(Name, Schedule)>),
    /// To `Verify`: the replicas hash their state as of this entry.
    Verifying { index: LogIndex },
    /// To `Verified`.
    Verified(Verification),
}

/// The result of a call that changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryReply {
    /// The outcome that the call would have as an entry. Its revision is that of the state if the
    /// call wrote nothing, else the revision that its writes would have.
    pub outcome: Outcome,
    /// Everything else that the call did; only of a dry run.
    pub dry_run: Option<DryRun>,
}

/// Everything that a function did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRun {
    /// The keys that the function read and their versions, in order of keys; at most
    /// [`crate::limits::QUERY_READS_MAX`].
    pub reads: Vec<(Key, Version)>,
    /// The number of reads of further keys.
    pub more_reads: u64,
    /// The writes that the call would have done, one per key, in order of keys.
    pub writes: Vec<WriteOp>,
    /// The lines of the log.
    pub log: Vec<String>,
}

/// The reasons for which a node does not do a request. Nothing was proposed, unless the variant
/// says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorReply {
    /// Ask the leader.
    NotLeader {
        /// The leader's id and address (`hex@ip:port`), if this node knows the leader.
        leader: Option<(NodeId, String)>,
    },
    /// This node has no replica of the shard: the client's map is old, or this node's map is.
    NotHere {
        /// The epoch of this node's map.
        epoch: u64,
        /// The nodes that have a replica by that map: ids and addresses (`hex@ip:port`).
        replicas: Vec<(NodeId, String)>,
    },
    /// The node is stopping, or cannot reach a majority. Ask another node, or this one later.
    Unavailable { reason: String },
    /// The command was proposed, but this node lost the lead before it knew the outcome. Ask again
    /// with the same request id.
    OutcomeUnknown,
    /// This node has failed and serves nothing any more.
    Failed { reason: String },
    /// The request could not be decoded, or is of a newer version.
    Malformed { reason: String },
    /// The request breaks a limit or makes no sense.
    Invalid { reason: String },
    /// No such shard, node, name or component.
    NotFound { what: String },
    /// The component cannot be a program of Aspen.
    BadComponent {
        /// The reason, and advice.
        reason: String,
    },
    /// The function writes, and a query may not.
    QueryWrites {
        /// The first key in order of keys.
        key: Key,
    },
    /// This node does not hold the view: a client closed it, nobody used it for long, or the node
    /// restarted.
    ViewLost,
}

impl fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader { leader: Some((node, _)) } => write!(f, "the leader is {node}"),
            Self::NotLeader { leader: None } => write!(f, "there is no leader at the moment"),
            Self::Unavailable { reason } => write!(f, "not available: {reason}"),
            Self::OutcomeUnknown => write!(f, "the outcome is not known yet"),
            Self::NotFound { what } => write!(f, "not found: {what}"),
            Self::Invalid { reason } => write!(f, "{reason}"),
            Self::BadComponent { reason } => write!(f, "component refused: {reason}"),
            Self::Malformed { reason } => write!(f, "request not understood: {reason}"),
            Self::Failed { reason } => write!(f, "the node has failed: {reason}"),
            Self::NotHere { epoch, .. } => {
                write!(f, "no replica of the shard is here, by the map of epoch {epoch}")
            }
            Self::ViewLost => write!(f, "the view is not there any more"),
            Self::QueryWrites { key } => {
                write!(f, "the function writes {key}, which a query may not: call it instead")
            }
        }
    }
}

impl QueryReply {
    /// Returns the transaction across shards that holds a key which the function read, or would
    /// write.
    pub fn locked_by(&self) -> Option<TxnId> {
        match self.outcome {
            Outcome::Refused(Refusal::Locked { by }) => Some(by),
            _ => None,
        }
    }
}
