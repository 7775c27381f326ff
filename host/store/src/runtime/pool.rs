//! The pools whose threads the workers of the whole process share.
//!
//! A node has hundreds of shards, and most of them have nothing to do. So their workers take turns on
//! threads whose number is bounded by the cores. Leaves out the threads (`pool_threads.rs`): the
//! simulation has none.

/// Threads that workers share. A worker of the apply pool may wait for one of the flush pool;
/// no other worker may wait for a worker of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Applies entries.
    Apply,
    /// Flushes memtables.
    Flush,
    /// Runs functions that are not part of the log, and hashes states.
    Background,
}
