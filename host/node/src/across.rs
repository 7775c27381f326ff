//! Transactions and calls across shards: this node drives those that it was asked for, and resolves
//! those that others left behind.
//!
//! ```text
//! client -> leader of the coordinator's shard -> leaders of the other shards        (Propose)
//!           a reader or writer meets a lock   -> leader of the coordinator's shard  (Settle)
//! ```
//!
//! The rules are `aspen_core::across::Coordinator`'s; here are the messages, the waiting and the repeating.
//! `transact.rs` answers a client, `attempt.rs` drives one attempt, `locks.rs` waits for locks,
//! `sweep.rs` looks for transactions that were left behind, `call.rs` and `function_run.rs` do
//! functions across shards.

mod attempt;
mod call;
mod function_run;
mod locks;
mod sweep;
mod transact;

pub use call::call;
pub use locks::{locked_by, settle, unlocked, wait_for};
pub use sweep::sweep;
pub use transact::transact;
