//! The options of a scan, and the memory that it takes.

use aspen_core::protocol::Consistency;

/// Bytes of keys and values that a scan holds for all shards together, as long as two entries of each
/// shard fit.
pub const SCAN_BUFFER_BYTES: usize = 16 << 20;

/// The options of a scan. The default is forward, whole, linearizable page by page.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScanOptions {
    /// Scan from the last key to the first.
    pub reverse: bool,
    /// Leave values out.
    pub keys_only: bool,
    /// Entries wanted, all if 0.
    pub limit: usize,
    /// The greatest age of the answer.
    pub consistency: Consistency,
    /// The whole scan is of one moment, on all shards. Linearizable, so it cannot be stale too.
    pub one_moment: bool,
}
