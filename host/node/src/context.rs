//! The state that every part of a running node shares.
//!
//! [`NodeContext`] (`node_context.rs`) holds the node's replicas, its copy of the placement map,
//! its access lists, its admission control and the transactions that it drives. `find.rs` finds a
//! replica for a request, or says why the request is refused. Leaves out starting and stopping
//! (`node.rs`).

mod access;
mod attempts;
mod find;
mod node_context;
mod opener;
mod slot;

pub use access::Members;
pub use attempts::AttemptGuard;
pub use find::{encoded_entry, entry, find, led, led_and_ready};
pub use node_context::NodeContext;
pub use opener::ReplicaOpener;
