//! Driving a transaction across shards: which message follows which.
//!
//! [`ReadAhead`] finds the reads of a function, [`Split`] takes a transaction apart by shard, and
//! [`Coordinator`] leads it through two-phase commit. All are pure state machines. Leaves out who sends the
//! messages and waits for the answers (`aspen-node`).

mod split;
mod coordinator;
mod read_ahead;

pub use coordinator::{Action, Coordinator, CoordinatorReply, Event};
pub use read_ahead::{Need, ReadAhead};
pub use split::Split;
