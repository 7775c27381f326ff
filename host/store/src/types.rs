//! The types that openraft is told to use, and short names for what it makes of them.
//!
//! A proposal is opaque here: the bytes of an [`aspen_core::Entry`], decoded once, in apply.
//! Leaves out their form on disk and on the wire: see `entry_codec.rs`.

use std::fmt;

use bytes::Bytes;
use openraft::alias;
use serde::{Deserialize, Serialize};

use crate::runtime::Runtime;
use crate::snapshot_transfer::SnapshotFile;
use crate::state_machine::StateMachine;

openraft::declare_raft_types!(
    /// Aspen's choice of types for openraft.
    pub TypeConfig:
        D = Proposal,
        R = Reply,
        NodeId = u64,
        Node = openraft::impls::BasicNode,
        AsyncRuntime = Runtime,
);

/// What a log entry carries: an [`aspen_core::Entry`] as [`aspen_core::encode`] writes it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal(pub Bytes);

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proposal({self})")
    }
}

/// What applying it gave: an encoded [`aspen_core::Outcome`]; empty for entries that Raft made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply(pub Bytes);

/// A vote of a shard's group.
pub type Vote = alias::VoteOf<TypeConfig>;
/// Term, leader and index of an entry.
pub type LogId = alias::LogIdOf<TypeConfig>;
/// An entry of a shard's log.
pub type Entry = alias::EntryOf<TypeConfig>;
/// What a snapshot holds: up to which entry, and the members then.
pub type SnapshotMeta = alias::SnapshotMetaOf<TypeConfig>;
/// A snapshot's meta and its file.
pub type Snapshot = alias::SnapshotOf<TypeConfig, SnapshotFile>;
/// Members and the entry that made them so.
pub type StoredMembership = alias::StoredMembershipOf<TypeConfig>;
/// One replica of one shard.
pub type Raft = openraft::Raft<TypeConfig, StateMachine>;
