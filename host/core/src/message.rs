//! What clients and nodes say to each other on `aspen/client/1`.
//!
//! One [`Request`], one [`Response`], both through the codec of this crate. Any node answers what
//! it can; what only a leader can do is answered with [`Refused::NotLeader`] and the leader's
//! address by the others. Leaves out Raft's own messages (`aspen-node`).

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::command::{Call, Command, ComponentRef, RequestId};
use crate::digest::Digest;
use crate::ids::{
    ComponentHash, LeaseId, LogIndex, Name, NodeId, ProfileId, Revision, ShardId, Timestamp,
    Version, ViewId,
};
use crate::key::{Key, KeyRange};
use crate::outcome::Outcome;
use crate::placement::{Placement, PlacementChange};
use crate::schedule::Schedule;
use crate::signature::Manifest;
use crate::state::{Alias, Record};
use crate::state_hash::Verification;
use crate::statistics::{CallNote, FunctionStatistics};
use crate::transact::{Read, Transact, WriteOp};

/// What a client asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Who is in the cluster, and who leads.
    Cluster,
    /// Propose a command. Leader only.
    Write {
        /// The shard.
        shard: ShardId,
        /// Makes a repeat harmless; none only for [`Command::OpenSession`].
        request: Option<RequestId>,
        /// The command.
        command: Command,
    },
    /// Read keys at one revision. All keys live on `shard`.
    Get {
        /// The shard.
        shard: ShardId,
        /// The keys, at most [`crate::limits::TXN_OPS_MAX`].
        keys: Vec<Key>,
        /// What must be true at that revision; else the answer is the outcome that a transaction
        /// with these reads would have.
        reads: Vec<Read>,
        /// How old the answer may be.
        consistency: Consistency,
    },
    /// Read one page of a range.
    Scan(ScanRequest),
    /// How a lease is. Leader only.
    Lease {
        /// The shard.
        shard: ShardId,
        /// The lease.
        lease: LeaseId,
    },
    /// The names and components known. Leader only.
    Components,
    /// The functions of a component. Leader only.
    Describe {
        /// The component.
        component: ComponentRef,
    },
    /// How this node and its replicas are.
    Status,
    /// Change which nodes there are, and where replicas are. Leader of the system group only.
    Place(PlacementChange),
    /// Do a transaction across shards. Leader of `shard` only.
    Across {
        /// The coordinator's shard: one of those that it touches.
        shard: ShardId,
        /// Makes a repeat harmless; of a session on that shard.
        request: RequestId,
        /// The transaction.
        transact: Transact,
    },
    /// Call a function that may touch keys of any shard. Leader of `shard` only.
    CallAcross {
        /// The coordinator's shard: that of the call's key.
        shard: ShardId,
        /// Makes a repeat harmless; of a session on that shard.
        request: RequestId,
        /// The call.
        call: Call,
    },
    /// Open a view of every shard that the range may have keys on, all of one moment. Leader of
    /// `shard` only. A view ends when it is closed, when it was not used for a while, and with its
    /// node.
    OpenView {
        /// The one shard that the range lies on; else shard 0.
        shard: ShardId,
        /// What will be read.
        range: KeyRange,
    },
    /// Close what this node holds of a view.
    CloseView {
        /// The view.
        view: ViewId,
    },
    /// Run a function and change nothing.
    Query(Query),
    /// What a name points to and pointed to. Leader only.
    History {
        /// The name.
        name: Name,
    },
    /// What calls logged, and those that faulted. Leader of `shard` only.
    Notes {
        /// The shard.
        shard: ShardId,
        /// Only of entries after this one.
        after: LogIndex,
        /// Only of calls by this name, or of this component.
        of: Option<ComponentRef>,
    },
    /// Figures of each function. Leader of `shard` only.
    Statistics {
        /// The shard.
        shard: ShardId,
    },
    /// The schedules of a shard. Leader of `shard` only.
    Schedules {
        /// The shard.
        shard: ShardId,
    },
    /// Let a shard's functions run with another profile, which all its replicas must know. Leader of
    /// `shard` only.
    SwitchProfile {
        /// The shard.
        shard: ShardId,
        /// The profile.
        profile: ProfileId,
    },
    /// Let every replica hash its state as of one entry. Leader of `shard` only.
    Verify {
        /// The shard.
        shard: ShardId,
    },
    /// What this node's replica found, or how far it is.
    Verified {
        /// The shard.
        shard: ShardId,
        /// The entry, from the answer to `Verify`.
        index: LogIndex,
    },
}

/// A call that changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// The shard of the call's key.
    pub shard: ShardId,
    /// The call; its reads must be empty.
    pub call: Call,
    /// How old the state may be that it runs on.
    pub consistency: Consistency,
    /// It may write, nothing of which is kept, and the answer tells all it did. Otherwise a function
    /// that writes is refused.
    pub dry_run: bool,
}

/// How old the answer to a read may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Consistency {
    /// Not at all: it has every write acknowledged before the read was asked for. Leader only.
    #[default]
    Linearizable,
    /// It has every write acknowledged up to this many milliseconds before. Any node of the shard
    /// answers, often without asking another.
    Stale {
        /// The bound, by the clock of the node that answers.
        max_age_ms: u64,
    },
}

/// One page of a range on one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanRequest {
    /// The shard.
    pub shard: ShardId,
    /// The keys.
    pub range: KeyRange,
    /// From the last key to the first.
    pub reverse: bool,
    /// Leave the values out.
    pub keys_only: bool,
    /// Entries wanted; at most [`crate::limits::SCAN_ENTRIES_MAX`] are given.
    pub limit: u32,
    /// Bytes of keys and values wanted; at most [`crate::limits::SCAN_PAGE_BYTES`] are given, but
    /// always one entry.
    pub bytes: u32,
    /// As in [`Request::Get`].
    pub reads: Vec<Read>,
    /// How old the answer may be.
    pub consistency: Consistency,
    /// Read from this view, which the node holds; then `reads` must be empty, and `consistency`
    /// means nothing.
    pub view: Option<ViewId>,
}

/// What a node answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// To `Cluster`.
    Cluster(ClusterInfo),
    /// To `Write`: the encoded [`crate::Outcome`]. To `Get` and `Scan` when their reads do not hold.
    Outcome(Bytes),
    /// To `Get`: one per key, in order.
    Records {
        /// The revision they were read at.
        revision: Revision,
        /// The records; `None` for an absent key.
        records: Vec<Option<Record>>,
    },
    /// To `Scan`.
    Page(Page),
    /// To `Lease`; `None` if there is none.
    Lease(Option<LeaseInfo>),
    /// To `Components`.
    Components(Vec<ComponentInfo>),
    /// To `Describe`.
    Manifest(Manifest),
    /// To `Status`.
    Status(ReplicaStatus),
    /// To `Place`: the change is part of the map; the replicas follow.
    Placed {
        /// The map's epoch.
        epoch: u64,
        /// To `AddNode`: the id it has.
        node: Option<NodeId>,
    },
    /// The request was not done.
    Refused(Refused),
    /// To `OpenView`.
    View(ViewInfo),
    /// To `CloseView`.
    ViewClosed,
    /// To `Query`.
    Queried(Queried),
    /// To `History`.
    History(Alias),
    /// To `Notes`: the oldest first, those that are still kept.
    Notes(Vec<CallNote>),
    /// To `Statistics`.
    Statistics(Vec<FunctionStatistics>),
    /// To `Schedules`: in order of names.
    Schedules(Vec<(Name, Schedule)>),
    /// To `SwitchProfile`: it is so.
    ProfileSwitched,
    /// To `Verify`: as of this entry.
    Verifying {
        /// The entry.
        index: LogIndex,
    },
    /// To `Verified`.
    Verified(Verification),
}

/// What a call came to that changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queried {
    /// What it would have come to as an entry. Its revision is that of the state if it wrote nothing,
    /// else what its writes would have had.
    pub outcome: Outcome,
    /// What else it did; only of a dry run.
    pub dry_run: Option<DryRun>,
}

/// Everything that a function did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DryRun {
    /// The keys that it looked at and their versions, in order of keys; at most
    /// [`crate::limits::QUERY_READS_MAX`].
    pub reads: Vec<(Key, Version)>,
    /// Reads of further keys.
    pub more_reads: u64,
    /// What it would have written, one per key, in order of keys.
    pub writes: Vec<WriteOp>,
    /// Lines that it logged.
    pub log: Vec<String>,
}

/// Why a node did not do a request. Nothing was proposed, unless it says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refused {
    /// Ask the leader.
    NotLeader {
        /// Its id and address (`hex@ip:port`), if this node knows it.
        leader: Option<(NodeId, String)>,
    },
    /// The node is stopping or cannot reach a majority: another may do, or this one later.
    Unavailable {
        /// What is missing.
        reason: String,
    },
    /// It was proposed, but this node lost the lead before it knew the outcome. Ask again with
    /// the same request id.
    OutcomeUnknown,
    /// No such shard, node, name or component.
    NotFound {
        /// What.
        what: String,
    },
    /// The request breaks a limit or makes no sense.
    Invalid {
        /// Why.
        reason: String,
    },
    /// The component cannot be a program of Aspen.
    BadComponent {
        /// Why, and what to do about it.
        reason: String,
    },
    /// The request could not be decoded, or is of a newer version.
    Malformed {
        /// Why.
        reason: String,
    },
    /// This node has failed and serves nothing any more.
    Failed {
        /// Why.
        reason: String,
    },
    /// This node has no replica of the shard: the map of whoever asked is old, or its own is.
    NotHere {
        /// The epoch of this node's map.
        epoch: u64,
        /// Who has one, by that map: ids and addresses (`hex@ip:port`).
        replicas: Vec<(NodeId, String)>,
    },
    /// This node does not hold the view: it was closed, not used for long, or the node restarted.
    ViewLost,
    /// A query may not write, and the function did.
    QueryWrites {
        /// The first key in order of keys.
        key: Key,
    },
}

impl fmt::Display for Refused {
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

/// The cluster as one node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterInfo {
    /// The cluster's id.
    pub cluster: u128,
    /// Its number of shards.
    pub shards: u16,
    /// The node that answers.
    pub node: NodeId,
    /// The epoch of the map; 0 while a new cluster has none yet.
    pub epoch: u64,
    /// The map.
    pub placement: Placement,
    /// The leader of each shard, by shard, as far as the node that answers knows it: that of shards
    /// of which it has no replica it does not.
    pub leaders: Vec<Option<NodeId>>,
}

/// One page of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The revision it was read at.
    pub revision: Revision,
    /// The entries, in the order asked for.
    pub items: Vec<Item>,
    /// Whether the range goes on after the last of them.
    pub more: bool,
}

/// A view that is open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewInfo {
    /// The view.
    pub view: ViewId,
    /// Which node holds it of each shard: its address, `hex@ip:port`.
    pub parts: Vec<(ShardId, String)>,
}

/// A key and its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The key.
    pub key: Key,
    /// The record; its value is empty in a scan for keys only.
    pub record: Record,
}

/// How a lease is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseInfo {
    /// The lease.
    pub lease: LeaseId,
    /// Its whole time to live, in milliseconds.
    pub ttl_ms: u64,
    /// What is left of it by the leader's clock; 0: it is over with the next entry.
    pub left_ms: u64,
    /// The keys attached to it, in order.
    pub keys: Vec<Key>,
}

/// A name and the component it points to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentInfo {
    /// The name.
    pub name: Name,
    /// The component.
    pub component: ComponentHash,
    /// Its size in bytes.
    pub bytes: u64,
    /// Entry time of the upload.
    pub uploaded: Timestamp,
    /// Another component that gets a share of the calls, and how many of a hundred.
    pub canary: Option<(ComponentHash, u8)>,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaStatus {
    /// The node.
    pub node: NodeId,
    /// Its shards.
    pub shards: Vec<ShardStatus>,
    /// The profiles that its program can run functions with.
    pub profiles: Vec<ProfileId>,
}

/// How one replica is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardStatus {
    /// The shard.
    pub shard: ShardId,
    /// Raft's term.
    pub term: u64,
    /// The leader, as this replica knows.
    pub leader: Option<NodeId>,
    /// First entry that the log still has; what was before is only in a snapshot.
    pub first: LogIndex,
    /// Last entry in the log.
    pub last: LogIndex,
    /// Last entry applied.
    pub applied: LogIndex,
    /// Last entry in the latest snapshot.
    pub snapshot: LogIndex,
    /// Revision after `applied`.
    pub revision: Revision,
    /// Digest after `applied`.
    pub digest: Digest,
    /// Keys stored.
    pub keys: u64,
    /// Why the replica stopped, or does not run yet, if so.
    pub failed: Option<String>,
    /// What is wrong in its shard, if something is and the replica goes on: another one differs.
    pub warning: Option<String>,
    /// The nodes that have a replica, as this one knows, and whether they vote there.
    pub replicas: Vec<(NodeId, bool)>,
    /// Bytes of its state's file with what waits beside it; what is only in memory and the log not.
    pub bytes: u64,
    /// Entries applied a second, over the last few seconds; rounded down.
    pub rate: u64,
    /// Of a snapshot that is on its way here: bytes received, and bytes in all.
    pub receiving: Option<(u64, u64)>,
    /// How the shard's functions run after `applied`.
    pub profile: ProfileId,
}
