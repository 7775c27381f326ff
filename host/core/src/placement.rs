//! Placement: the shard of a key, and the nodes of a shard.
//!
//! [`ShardRouter`] maps a key to its shard, for ever. [`Placement`] maps a shard to its replicas, and
//! changes as nodes come and go.

mod router;
mod map;
mod change;

pub use change::{PlacementChange, PlacementError};
pub use map::{PLACEMENT_KEY, PlacedNode, Placement, Replicas};
pub use router::{ShardCountError, ShardRouter, tag, tag_hash};
