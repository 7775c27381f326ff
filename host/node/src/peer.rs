//! The messages between nodes, and the client side of them.
//!
//! Every message carries the cluster and the shard, so that a node of another cluster or a wrong
//! route gets an error and never reaches a log. [`ShardNetwork`] makes the connections,
//! [`PeerReplica`] is one of them. Leaves out the answers (`peer_requests`).

mod client;
mod compile_message;
#[cfg(all(test, not(madsim)))]
mod fuzz_envelopes;
mod leader_message;
mod message;
#[cfg(all(test, not(madsim)))]
mod names;
mod placement_map;
mod raft_network;
mod snapshot_message;

pub use client::{AskError, PeerReplica, ShardNetwork, parse_address};
pub use compile_message::{CompileReply, ComponentSource};
pub use leader_message::{LeaderReply, LeaderRequest, ViewReply, ViewStep};
pub use message::{DigestReply, Envelope, PeerError, PeerMessage, ReadIndex};
pub use placement_map::PlacementMap;
pub use snapshot_message::{SnapshotChunk, SnapshotPart, SnapshotPartRequest, SnapshotProgress};
