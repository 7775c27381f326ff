//! The types that openraft is told to use, and short names for the types that openraft makes of them.
//!
//! A proposal is opaque here: the bytes of an [`aspen_core::protocol::Entry`], which apply decodes once.
//! Leaves out the form of these types on disk and on the wire: see `log/entry_codec.rs`.

use std::fmt;

use bytes::Bytes;
use openraft::alias;
use serde::{Deserialize, Serialize};

use crate::runtime::Runtime;

openraft::declare_raft_types!(
    /// Aspen's choice of types for openraft.
    pub TypeConfig:
        D = Proposal,
        R = EncodedOutcome,
        NodeId = u64,
        Node = openraft::impls::BasicNode,
        AsyncRuntime = Runtime,
);

/// The content of a log entry: an [`aspen_core::protocol::Entry`] as [`aspen_core::codec::encode`] writes it.
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

/// The result of applying an entry: an encoded [`aspen_core::protocol::Outcome`]; empty for entries that Raft made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedOutcome(pub Bytes);

/// A vote of a shard's group.
pub type Vote = alias::VoteOf<TypeConfig>;
/// Term, leader and index of an entry.
pub type LogId = alias::LogIdOf<TypeConfig>;
/// An entry of a shard's log, as Raft has it. Its payload may hold an [`aspen_core::protocol::Entry`].
pub type RaftEntry = alias::EntryOf<TypeConfig>;
/// The last entry in a snapshot, and the members as of that entry.
pub type SnapshotMeta = alias::SnapshotMetaOf<TypeConfig>;
/// The members, and the entry that set them.
pub type StoredMembership = alias::StoredMembershipOf<TypeConfig>;
