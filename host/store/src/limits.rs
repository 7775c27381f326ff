//! Every bound of a node's disk and of the memory in front of it, in one file, with its reason.
//!
//! All of them are process limits: each node could choose its own, and no replica computes anything
//! from them. Cluster limits, which replicas must agree on, are in [`aspen_core::limits`].
//! Leaves out the numbers of file formats: they stand with the code that writes the format.

use std::time::Duration;

// Threads.

/// Stack of a thread that applies entries or runs functions in the background: 18 MiB. Functions run
/// on this stack; `aspen-node` asserts that theirs fits.
pub const APPLY_STACK_BYTES: usize = 18 << 20;

/// Stack of a thread that flushes memtables: SQLite's calls, which recurse little.
#[cfg(not(madsim))]
pub const FLUSH_STACK_BYTES: usize = 2 << 20;

/// Stack of the log's writer: it recurses no deeper than a B-tree.
pub const LOG_WRITER_STACK_BYTES: usize = 2 << 20;

/// Threads of a pool for each core. More than one, because some wait for the disk.
#[cfg(not(madsim))]
pub const POOL_THREADS_PER_CORE: usize = 2;

/// Fewest threads of a pool, for machines with one core.
#[cfg(not(madsim))]
pub const POOL_THREADS_MIN: usize = 4;

// Files.

/// Bytes of a large file that are written at most before they are synced. Another file's sync waits
/// for about this much, which is some tens of milliseconds on a slow disk, and not for the whole file.
pub const UNSYNCED_BYTES_MAX: u64 = 4 << 20;

/// Time between two syncs of a large file that SQLite writes: a disk of 200 MB/s writes
/// [`UNSYNCED_BYTES_MAX`] in this time.
#[cfg(not(madsim))]
pub const FILE_SYNC_INTERVAL: Duration = Duration::from_millis(20);

// The Raft log.

/// Requests that may wait for the log's writer, and that one transaction takes: far more than shards.
/// The bound is felt only when the disk is behind; then appends wait in openraft.
pub const LOG_REQUESTS_MAX: usize = 1024;

/// redb's own cache of pages. Each shard caches its recent entries, so this cache serves the writer.
pub const LOG_PAGE_CACHE_BYTES: usize = 8 << 20;

/// Bytes of written entries that a shard keeps in memory: some seconds of writes. Replication to a
/// healthy follower and apply then never read from disk an entry that was just written.
pub const LOG_CACHE_BYTES_MAX: usize = 8 << 20;

/// Memory that an entry takes in addition to its payload.
pub const LOG_ENTRY_OVERHEAD_BYTES: usize = 128;

/// Entries that a reader of the log takes at once. A follower that is far behind, or a long apply, does
/// not bring the whole log into memory.
pub const LOG_CHUNK_ENTRIES_MAX: usize = 512;

/// Bytes that a reader of the log takes at once, for the same reason.
pub const LOG_CHUNK_BYTES_MAX: usize = 4 << 20;

/// Entries that one transaction deletes for a shard: some milliseconds of work. The rest is deleted by
/// the next transactions.
pub const LOG_PURGE_ENTRIES_MAX: u64 = 4096;

/// Transactions of the log from one that stores each shard's last committed entry to the next. A start
/// applies up to the stored entry at once, and the rest when a leader says that it is committed.
/// Nothing else depends on this number. The entry is stored only once the log holds it, so that a start
/// never looks for missing entries.
pub const LOG_COMMITTED_INTERVAL: u32 = 16;

// Apply.

/// Requests that may wait for the apply worker: openraft sends one at a time, a snapshot another.
pub const APPLY_REQUESTS_MAX: usize = 4;

/// Entries that the apply worker gets with one request: some milliseconds of work, tens with slow
/// functions, so that the cost of handing them over does not count.
pub const APPLY_REQUEST_ENTRIES_MAX: usize = 512;

/// Bytes of entries that the apply worker gets with one request, for the same reason.
pub const APPLY_REQUEST_BYTES_MAX: usize = 4 << 20;

/// Entries of one batch: they become visible, and are answered, together. Clients go on while apply does
/// the next batch, so new entries wait when apply is done with all.
pub const APPLY_BATCH_ENTRIES_MAX: usize = 32;

// A batch is a part of a request.
const _: () = assert!(APPLY_BATCH_ENTRIES_MAX <= APPLY_REQUEST_ENTRIES_MAX);

/// Memory for writes that are applied but not in the file: some ten thousand small entries. A flush then
/// writes each page of the file once for many of them, and a start after a crash applies them
/// again within about a second. A shard takes at most twice this and a batch.
pub const MEMTABLE_BYTES_MAX: usize = 32 << 20;

/// Memory that a buffered record, outcome or alias takes in addition to its own bytes: its place in a
/// map, and the overhead of the allocator for two small pieces.
pub const RECORD_OVERHEAD_BYTES: usize = 256;

/// Bytes of records that a batch reads from the file and keeps for its later entries.
pub const BATCH_CACHE_BYTES_MAX: usize = 4 << 20;

/// Aliases that apply remembers: more than are called at the same time. When all are taken, apply forgets
/// them and begins anew.
pub const ALIAS_CACHE_MAX: usize = 1024;

/// Digests that a shard keeps in memory: two seconds at the highest measured rate of entries, so that a
/// check each second still finds the very entry at which replicas part. Half a MiB for a busy
/// shard, nothing for an idle one. Older entries can only be compared as a whole.
pub const DIGESTS_MAX: usize = 65_536;

// The state in SQLite.

/// SQLite's page cache of the writing connection, and of the one that apply reads through, in KiB.
pub const STATE_PAGE_CACHE_KIB: i32 = 16 << 10;

/// SQLite's page cache of the connection of a pinned view, in KiB: it goes through the file once.
pub const PINNED_PAGE_CACHE_KIB: i32 = 256;

/// Statements that a connection keeps prepared: more than exist.
pub const STATEMENTS_MAX: usize = 64;

/// Read connections of a shard that stay open for the next reads. More may read at once; they open
/// connections of their own.
pub const IDLE_CONNECTIONS_MAX: usize = 8;

/// Bytes of a key and its value up to which both are in one row. SQLite keeps at most 1,002 bytes of
/// a row without a rowid in a page of 4 KiB ("Database File Format", section 1.6), with the numbers;
/// of a longer one it keeps half as much, and the rest takes pages of its own. In a table with rowids
/// values of 1,000 bytes take a third of that room, those of 4,000 nine tenths, and all about half of
/// the time to read and to write (`docs/performance.md`, "Large values").
pub const INLINE_BYTES_MAX: usize = 900;

/// Growth of the write-ahead log after which it is copied into the database: an fsync of the state
/// for every 64 MiB of changes, some hundred thousand small entries.
pub const CHECKPOINT_BYTES: u64 = 64 << 20;

/// Longest wait of a checkpoint for readers: much longer than apply reads for one batch. If the wait was
/// too short, as during a snapshot, the next checkpoint copies the rest.
pub const CHECKPOINT_WAIT: Duration = Duration::from_millis(100);

/// Bytes of forgotten outcomes that are not worth cleaning up: they load in milliseconds.
pub const UNCLEANED_OUTCOME_BYTES: usize = 4 << 20;

/// Size of a row of outcomes: the outcome that passes this size ends the row. SQLite reads and writes
/// rows whole.
pub const OUTCOME_ROW_BYTES: usize = 1 << 20;

// Snapshots.

/// Largest state that is copied whenever Raft asks for a snapshot: some tenths of a second.
pub const SMALL_STATE_BYTES: u64 = 16 << 20;

/// A larger state is copied when the log has grown by one of this many parts of the state's size.
pub const SNAPSHOT_LOG_PART: u64 = 4;

/// Bytes that are read at once when a snapshot's file is copied or hashed.
pub const SNAPSHOT_CHUNK_BYTES: usize = 1 << 20;
