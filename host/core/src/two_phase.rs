//! Transactions across shards, as the logs hold them: two-phase commit between Raft groups.
//!
//! ```text
//! client   leader of the coordinator's shard s1     leaders of the other shards s4, s7
//!   |---- Across ---->|   (5)
//!   |                 |== Prepare ==> log of s1      == Prepare ==> logs of s4, s7     round trip 1
//!   |     (1)         |   reads hold? lock, vote        reads hold? lock, vote
//!   |                 |<-------------------------------- votes, each with a prepare id
//!   |     (2)         |== Decide ===> log of s1                                        round trip 2
//!   |                 |   writes of s1, unlock; keeps the decision with the prepare ids,
//!   |                 |   and the client's outcome in its session
//!   |<--- outcome ----|   (3)                                     from here on committed
//!   |                 |--------------------------------> == Finish ==> logs of s4, s7  round trip 3
//!   |                 |   (4)                            writes, unlock
//!   |                 |== Forget ===> log of s1, many at once
//! ```
//!
//! Promises that all shards apply the same branch or none does. The decision stands in one place, the log of
//! the coordinator's shard. That shard is one that the transaction touches, so it needs no message of its
//! own. The client is answered after two round trips: from the decision on the transaction is committed,
//! and a reader on s4 that comes before the finish meets the lock and waits.
//!
//! - (1) The driver ends, or a vote does not come: nothing is decided. A request that meets a lock for
//!   longer than 250 ms, and each leader that finds a lock twice within a second, asks the leader of the
//!   coordinator's shard. That leader, unless it drives the attempt itself, proposes an abort. The outcome
//!   of that entry tells the decision, if the decision was faster. An abort is remembered until the
//!   attempt is too old to be prepared ([`TXN_AGE_MS_MAX`](crate::limits::TXN_AGE_MS_MAX) of entry time),
//!   so the attempt cannot overtake its abort.
//! - (2) The outcome of the decision is not known: the decision is an entry like any other, committed or not.
//!   The client asks again with its request id and gets the kept outcome, or makes a new attempt.
//! - (3) The driver ends after the decision: the outcome is kept, locks are resolved as in (1) and
//!   committed, and the sweep of the coordinator's leader finishes the rest.
//! - (4) A message comes late or twice: an attempt has an id of its own, and each prepare on a shard has a
//!   prepare id. A decision names the prepares that count. A prepare that comes after the end of its attempt
//!   is aborted; a finish for another prepare does nothing.
//! - (5) The client asks twice, because an answer was late, and two attempts at one request are under way.
//!   Their decisions carry the request id, so at most one of them commits. If one meets a conflict or is
//!   refused, that is an entry of s1 under the request id as well (`Conclude`) before the client is told,
//!   so the other cannot commit afterwards.
//!
//! No transaction waits while it holds locks: an attempt that meets a lock gives everything back, waits
//! until the other attempt is over and tries again, with random pauses that grow. So there is no deadlock.
//! The node repeats calls, single-shard transactions and reads that meet a lock as soon as the lock is gone.
//! A lease whose keys are locked ends later. While nothing is locked, a single-shard operation pays one
//! comparison with zero.
//!
//! Leaves out the order of the messages (`across/coordinator.rs`), how each step is applied
//! (`apply/prepare.rs`, `apply/decide.rs`), and driving and sweeping (`aspen-node`). `core/tests/two_phase.rs`
//! goes through every order of these messages on two and three shards.
//! Source: Gray, "Notes on Data Base Operating Systems", 1978; presumed abort of Mohan, Lindsay and
//! Obermarck, "Transaction Management in the R* Distributed Database Management System", 1986.

mod step;
mod decision;
mod locks;

pub use decision::{Branch, CommitReply, Decision, FunctionRun, Vote};
pub use locks::{LockChange, Locks, PendingPrepare};
pub use step::{Decide, Finish, Prepare};
