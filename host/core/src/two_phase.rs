//! Transactions across shards, as the logs hold them: two-phase commit between Raft groups.
//!
//! ```text
//!                   coordinator's shard s1                 participant's shard s4
//! round trip 1      Prepare: check, lock, vote             Prepare: check, lock, vote
//! round trip 2      Decide: write, unlock, remember        -             <- from here on committed
//!                   (the client is answered)
//! round trip 3      -                                      Finish: write, unlock
//! some time later   Forget
//! ```
//!
//! If a shard votes no, the coordinator's shard gets an entry too, `Conclude`, before the client is told. A
//! client whose answer was late may have asked twice; without that entry the other attempt could commit.
//!
//! Promises that all shards apply the same branch or none does. The decision stands in one place, the log of
//! the coordinator's shard. Locks are state like any other: a node that finds a lock whose transaction
//! nobody drives asks the coordinator's shard, and an attempt without a decision is aborted. Leaves out the
//! order of the messages (`across/coordinator.rs`) and how each step is applied (`apply/prepare.rs`,
//! `apply/decide.rs`).
//!
//! Each attempt at a transaction has an id, and each prepare on a shard has a prepare id (`prepare_id`). A
//! message that comes late, for an attempt that is over, carries a prepare id that is over too.
//! Source: Gray, "Notes on Data Base Operating Systems", 1978; presumed abort of Mohan, Lindsay and
//! Obermarck, "Transaction Management in the R* Distributed Database Management System", 1986.

mod step;
mod decision;
mod locks;

pub use decision::{Branch, CommitReply, Decision, FunctionRun, Vote};
pub use locks::{LockChange, Locks, PendingPrepare};
pub use step::{Decide, Finish, Prepare};
