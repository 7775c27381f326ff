//! Transactions: in one chain, or as a closure that is run until it commits.
//!
//! ```text
//! attempt 1   get a (r7)   get b, if a is still as of r7   commit: a, b as read?  conflict at r9
//! attempt 2   a and b as of r9 came with the conflict      commit: a, b as of r9?  committed r10
//! ```
//!
//! Promises of the closure form:
//! - Every read sees one view of its shard, and the transaction's own writes: a read is answered only if
//!   all earlier reads on that shard still hold.
//! - The commit checks everything that was read. The writes happen once or not at all, also when a reply
//!   is lost, because a commit has a request id of its session.
//! - A conflict brings the present records, so that a retry usually needs no read.
//!
//! Reads on several shards may be of different moments until the commit compares them. A closure that
//! relies on a relation between such keys may see it broken, in an attempt that then does not commit.
//!
//! The chain is in `chain.rs`; the closure form in `closure.rs`, over `attempt.rs` and `read_write_set.rs`.

mod chain;

mod read_write_set;

mod attempt;

mod closure;

pub use attempt::Transaction;
pub use chain::{ClientTransaction, TransactionOutcome};
pub use closure::TransactionReply;
