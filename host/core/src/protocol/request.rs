//! [`Request`]: a question of a client or a node to a node, on `aspen/client/1`.
//!
//! Serialized like `command.rs`. Leaves out Raft's own messages (`aspen-node`).

use serde::{Deserialize, Serialize};

use crate::function::Call;
use crate::ids::{ComponentRef, LeaseId, LogIndex, Name, ProfileId, RequestId, ShardId, ViewId};
use crate::key::{Key, KeyRange};
use crate::placement::PlacementChange;
use crate::protocol::command::Command;
use crate::transaction::{Read, Transact};

/// A request to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Get the nodes of the cluster and the leaders.
    Cluster,
    /// Get the present state of this node and its replicas.
    Status,
    /// Change the placement map. Leader of the system group only.
    Place(PlacementChange),
    /// Propose a command. Leader only.
    Write {
        shard: ShardId,
        /// Makes a repeat harmless; `None` only for [`Command::OpenSession`].
        request: Option<RequestId>,
        command: Command,
    },
    /// Read keys at one revision. All keys live on `shard`.
    Get {
        shard: ShardId,
        /// The keys, at most [`crate::limits::TXN_OPS_MAX`].
        keys: Vec<Key>,
        /// The reads that must hold at that revision. If one does not, the answer is the outcome of
        /// a transaction with these reads.
        reads: Vec<Read>,
        /// The bound on the age of the answer.
        consistency: Consistency,
    },
    /// Read one page of a range.
    Scan(ScanRequest),
    /// Open a view of all shards that the range may have keys on, at one moment. Leader of `shard`
    /// only. The view ends when a client closes it, when nobody used it for a while, and with its
    /// node.
    OpenView {
        /// The one shard that the range lies on; else shard 0.
        shard: ShardId,
        /// The range to be read.
        range: KeyRange,
    },
    /// Close this node's part of a view.
    CloseView { view: ViewId },
    /// Do a transaction across shards. Leader of `shard` only.
    Across {
        /// The coordinator's shard: one of the shards that the transaction touches.
        shard: ShardId,
        /// Makes a repeat harmless; of a session on that shard.
        request: RequestId,
        transact: Transact,
    },
    /// Call a function that may touch keys of any shard. Leader of `shard` only.
    CallAcross {
        /// The coordinator's shard: that of the call's key.
        shard: ShardId,
        /// Makes a repeat harmless; of a session on that shard.
        request: RequestId,
        call: Call,
    },
    /// Run a function and change nothing.
    Query(Query),
    /// List the aliases and their components. Leader only.
    Components,
    /// List the functions of a component. Leader only.
    Describe { component: ComponentRef },
    /// List the components that an alias points to and pointed to. Leader only.
    History {
        /// The alias.
        name: Name,
    },
    /// List the notes of calls that logged something, or faulted. Leader of `shard` only.
    Notes {
        shard: ShardId,
        /// Only notes of later entries.
        after: LogIndex,
        /// Only notes of calls by this name, or of this component.
        of: Option<ComponentRef>,
    },
    /// List the figures of each function. Leader of `shard` only.
    Statistics { shard: ShardId },
    /// Change the profile of a shard's functions. All its replicas must know the new one. Leader of
    /// `shard` only.
    SwitchProfile { shard: ShardId, profile: ProfileId },
    /// Get the present state of a lease. Leader only.
    Lease { shard: ShardId, lease: LeaseId },
    /// List the schedules of a shard. Leader of `shard` only.
    Schedules { shard: ShardId },
    /// Let every replica hash its state as of one entry. Leader of `shard` only.
    Verify { shard: ShardId },
    /// Get the hash of this node's replica, or the progress of the hash.
    Verified {
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
    /// The bound on the age of the state that the call runs on.
    pub consistency: Consistency,
    /// True: the function may write. Nothing of it is kept, and the answer tells all that the
    /// function did. False: a function that writes is refused.
    pub dry_run: bool,
}

/// The bound on the age of the answer to a read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Consistency {
    /// The answer has every write that was acknowledged before the read was asked for. Leader only.
    #[default]
    Linearizable,
    /// The answer has every write that was acknowledged up to this many milliseconds before. Any
    /// node with a replica of the shard answers, often without a message to another node.
    Stale {
        /// The bound, by the clock of the node that answers.
        max_age_ms: u64,
    },
}

/// One page of a range on one shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanRequest {
    pub shard: ShardId,
    pub range: KeyRange,
    /// From the last key to the first.
    pub reverse: bool,
    /// Leave the values out.
    pub keys_only: bool,
    /// The number of items wanted; at most [`crate::limits::SCAN_ENTRIES_MAX`] are given.
    pub limit: u32,
    /// Bytes of keys and values wanted; at most [`crate::limits::SCAN_PAGE_BYTES`] are given, but
    /// always one entry.
    pub bytes: u32,
    /// As in [`Request::Get`].
    pub reads: Vec<Read>,
    /// The bound on the age of the answer.
    pub consistency: Consistency,
    /// The view to read from, which the node holds. With a view, `reads` must be empty and
    /// `consistency` has no meaning.
    pub view: Option<ViewId>,
}
