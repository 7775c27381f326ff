//! Changing a shard's state: the apply worker, and the state machine that openraft talks to.
//!
//! ```text
//! openraft -- StateMachine -- ApplyRequest --> ApplyWorker -- batches --> memtables
//!                                               |-- Flusher (memtables to the file)
//!                                               |-- Verifier (hash of the whole state)
//! ```
//!
//! Promises that entries are applied in order, each once, and that the first fault stops the replica.
//! Leaves out reads (`read`). Start reading at `state_machine.rs`, then `worker.rs`.

mod batch;
mod entry;
mod install;
mod snapshot_builder;
mod state_machine;
mod verifier;
mod worker;
mod worker_handle;

pub use entry::apply_entry;
pub use snapshot_builder::SnapshotBuilder;
pub use state_machine::{Raft, StateConfig, StateMachine};
#[cfg(test)]
pub use worker::ApplyWorker;
