//! The limits of the replicated state machine, each with its reason, and four limits of a node.
//!
//! Cluster limits take part in replicated decisions. A change of one changes what a log entry does: it
//! is a change of format. Process limits are each node's own. Most of them (queues, timeouts, frames)
//! stand in the crate that owns the queue; at the end of this file are those of types of this crate.

// Cluster limits.

/// Longest key. An index page of SQLite (4 KiB) still holds several of them. A longer key cannot be
/// made: see [`crate::key::Key`].
pub const KEY_BYTES_MAX: usize = 1024;

/// Longest value: 1 MiB. Larger objects belong in an object store, with their address here.
pub const VALUE_BYTES_MAX: usize = 1 << 20;

/// Reads and writes of one transaction or one call, together.
pub const TXN_OPS_MAX: usize = 1024;

/// Keys and values of one transaction, or of the write set of one call, together: 4 MiB. With
/// framing they stay far below the 8 MiB frame of the network.
pub const TXN_BYTES_MAX: usize = 4 << 20;

/// Keys that the range reads of one transaction may pass: at about 0.3 us a key, apply takes no
/// longer than for the longest call.
pub const RANGE_READ_KEYS_MAX: usize = 10_000;

/// Keys and operands of the read set of one transaction; a conflict carries them back. The largest
/// value that can be compared, with room for its key and some others.
pub const READS_BYTES_MAX: usize = (1 << 20) + (128 << 10);

/// Keys and values that one request reads at once: half of a frame of the network.
pub const READ_BYTES_MAX: usize = 4 << 20;

/// Keys and values that the results of one transaction, or its conflicts, carry back.
pub const RESULTS_BYTES_MAX: usize = 1 << 20;

/// Deletes that a shard remembers for range reads: at 10,000 deletes a second the last 6 s, longer
/// than a transaction lives. A range read from an earlier revision is refused: the client reads
/// again.
pub const TOMBSTONES_MAX: usize = 65_536;

/// Leases of a shard, including those behind a key's time to live; about 300 bytes of memory each.
pub const LEASES_MAX: usize = 100_000;

/// Keys attached to one lease: one entry removes them all when the lease ends.
pub const LEASE_KEYS_MAX: usize = 4096;

/// Longest time to live: ten years of 365 days.
pub const LEASE_TTL_MS_MAX: u64 = 10 * 365 * 24 * 3_600_000;

/// Keys that the due leases of one entry remove, about; the rest waits for the next entry.
pub const EXPIRE_KEYS_MAX: usize = 1024;

/// Longest name of a component, a function or a schedule: fits a line of a terminal.
pub const NAME_BYTES_MAX: usize = 64;

/// Largest uploaded component. Real Rust guests measure 20 KiB to 1.2 MiB.
pub const COMPONENT_BYTES_MAX: usize = 2 << 20;

/// Largest component of the large class: every component above [`COMPONENT_BYTES_MAX`], for example
/// an interpreter with its program. JavaScript measures 12 MB, Python 18 MB. Such a component is
/// uploaded in parts.
pub const LARGE_COMPONENT_BYTES_MAX: usize = 24 << 20;

/// Large components that a shard keeps: at most 384 MiB on its disks.
pub const LARGE_COMPONENTS_MAX: usize = 16;

/// One part of an upload: 1 MiB, so that neither an entry nor a heartbeat waits long for it.
pub const UPLOAD_PART_BYTES_MAX: usize = 1 << 20;

/// Uploads in parts that a shard keeps at once: at most 96 MiB on its disks.
pub const UPLOADS_MAX: usize = 4;

/// An upload without a new part for this long in entry time (15 minutes) is over: longer than the
/// leader may take to compile the component before the last entry.
pub const UPLOAD_IDLE_MS: u64 = 900_000;

/// Components that a shard keeps; one more upload is refused.
pub const COMPONENTS_MAX: usize = 1000;

/// Aliases that a shard keeps; one more is refused.
pub const NAMES_MAX: usize = 1000;

/// Components that an alias remembers, with the present one. The oldest is forgotten first; its
/// component is removed unless another alias has it.
pub const ALIAS_HISTORY_MAX: usize = 32;

/// Encoded arguments, or encoded result, of one call.
pub const VALS_BYTES_MAX: usize = 1 << 20;

/// Nesting of a typed value: a list of lists of lists ... is an attack on the decoder's stack.
pub const VAL_DEPTH_MAX: usize = 32;

/// Values in one encoded argument list, with every element of every list.
pub const VAL_NODES_MAX: usize = 1 << 16;

/// Fuel of one call: at most 100 ms of CPU for any guest (`aspen-bench attacks`).
pub const CALL_FUEL_MAX: u64 = 100_000_000;

/// Linear memory of one call: the first touch of all of it costs about 6 ms.
pub const GUEST_MEMORY_BYTES_MAX: usize = 16 << 20;

/// Fuel of one call of a large component: at most half a second of CPU. An interpreter spends a
/// hundred times as much on the same work.
pub const LARGE_CALL_FUEL_MAX: u64 = 500_000_000;

/// Linear memory of one call of a large component. Interpreters begin with 9 to 13 MiB.
pub const LARGE_GUEST_MEMORY_BYTES_MAX: usize = 64 << 20;

/// Elements in one table of a guest.
pub const GUEST_TABLE_ELEMENTS_MAX: usize = 20_000;

/// Stack slots of one call: per frame 8, its locals, its operand height and a part for the size of
/// its body; see `aspen-functions`.
pub const GUEST_STACK_SLOTS_MAX: u32 = 65_536;

/// Entries in one page of a scan.
pub const SCAN_ENTRIES_MAX: usize = 1000;

/// A function's page of a scan ends after the entry that passes this many bytes of keys and values.
/// A client's page ends before that entry, but holds one entry. So a page has at most this much
/// plus one entry.
pub const SCAN_PAGE_BYTES: usize = 1 << 20;

/// Schedules of a shard.
pub const SCHEDULES_MAX: usize = 1000;

/// Encoded arguments of a scheduled call. The schedules of a shard still fit one answer, a frame of
/// 8 MiB.
pub const SCHEDULE_ARGS_BYTES_MAX: usize = 4 << 10;

/// Milliseconds between two calls of a schedule: a second to ten years of 365 days.
pub const SCHEDULE_EVERY_MS: std::ops::RangeInclusive<u64> = 1000..=10 * 365 * 24 * 3_600_000;

/// Outcomes that a session remembers: the number of requests that one client may have in flight on
/// one shard.
pub const SESSION_WINDOW: usize = 1024;

/// Bytes of outcomes that a session remembers; the oldest are forgotten first.
pub const SESSION_BYTES_MAX: usize = 4 << 20;

/// Sessions of a shard; the longest idle one is closed when one more opens.
pub const SESSIONS_MAX: usize = 10_000;

/// A session idle for this long in entry time (one hour) is closed.
pub const SESSION_IDLE_MS: u64 = 3_600_000;

/// Shards of a cluster.
pub const SHARDS_MAX: u16 = 256;

/// Shards of a new cluster, unless its founder gives a number. Enough that each of three nodes
/// leads some and that several cores apply; few enough that a scan, which asks all shards, stays
/// cheap.
pub const SHARDS_DEFAULT: u16 = 8;

/// Shards that one transaction may touch: each shard is one more vote to wait for.
pub const TXN_SHARDS_MAX: usize = 16;

/// Prepares of transactions across shards that a shard holds at once; one more is refused.
pub const PREPARED_MAX: usize = 4096;

/// Keys and values of all prepares of a shard: 64 MiB of memory.
pub const PREPARED_BYTES_MAX: usize = 64 << 20;

/// Decisions that a shard remembers: a commit until every shard has applied it, an abort until the
/// attempt is too old to be prepared. At this many no more transactions across shards begin.
pub const DECISIONS_MAX: usize = 65_536;

/// Age in entry time, one minute, from which on the coordinator's shard does not prepare an attempt
/// at a transaction across shards: far longer than any client waits.
pub const TXN_AGE_MS_MAX: u64 = 60_000;

/// Conflicts that one answer lists: all of them, for a transaction has no more reads than this.
pub const CONFLICTS_MAX: usize = TXN_OPS_MAX;

/// Largest encoded log entry: a transaction or a component, with its frame.
pub const ENTRY_BYTES_MAX: usize = 6 << 20;

/// Nodes of a cluster: more nodes would only make the placement map and the status harder to read.
pub const NODES_MAX: usize = 16;

/// Numbers of replicas that a shard can have. An even number would need one more answer and bear no
/// more failures.
pub const REPLICATION_FACTORS: [u8; 3] = [1, 3, 5];

/// Replicas of a shard, unless the cluster's founder gives a number.
pub const REPLICATION_FACTOR_DEFAULT: u8 = 3;

const _: () = assert!(TXN_BYTES_MAX + TXN_OPS_MAX * 64 <= ENTRY_BYTES_MAX);
const _: () = assert!(COMPONENT_BYTES_MAX + 4096 <= ENTRY_BYTES_MAX);
// With two keys, the one of its call and one that it should not have touched.
const _: () =
    assert!(SCHEDULES_MAX * (SCHEDULE_ARGS_BYTES_MAX + 2 * KEY_BYTES_MAX + 512) < 7 << 20);
const _: () = assert!(VALS_BYTES_MAX + 4096 <= ENTRY_BYTES_MAX);
const _: () = assert!(KEY_BYTES_MAX + VALUE_BYTES_MAX <= TXN_BYTES_MAX);
const _: () = assert!(SESSION_BYTES_MAX > RESULTS_BYTES_MAX + TXN_OPS_MAX * 64);
const _: () = assert!(RESULTS_BYTES_MAX >= VALUE_BYTES_MAX);
const _: () = assert!(READS_BYTES_MAX >= VALUE_BYTES_MAX + KEY_BYTES_MAX);
// The largest conflict: the expectations, the keys of ranges, the present records.
const _: () = assert!(
    READS_BYTES_MAX + CONFLICTS_MAX * (KEY_BYTES_MAX + 64) + RESULTS_BYTES_MAX < SESSION_BYTES_MAX
);
const _: () = assert!(SESSION_BYTES_MAX > VALS_BYTES_MAX + 4096);

// Process limits: memory of one node.

/// Keys that a dry run names of those that the function read.
pub const QUERY_READS_MAX: usize = 1024;

/// Memory of a replica's notes of calls: log lines and faults. The oldest go first. With 256 shards
/// that all log, 64 MiB of a node.
pub const CALL_NOTES_BYTES_MAX: usize = 256 << 10;

/// Functions for which a replica keeps figures; those called first.
pub const FUNCTIONS_COUNTED_MAX: usize = 256;

/// Hashes of its whole state that a replica computes or keeps: those asked for last. A hash in
/// progress holds a view, so one more ends the oldest.
pub const VERIFICATIONS_MAX: usize = 2;
