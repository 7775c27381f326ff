//! The tables of the log's redb database.
//!
//! ```text
//! entries   (shard, index)   -> checksum 8 | entry as entry_codec writes it
//! bounds    (shard, which)   -> vote, committed, purged, promised
//! meta      "identity"       -> cluster and node
//! ```
//!
//! Leaves out the bytes of an entry (`frame.rs`), and the check of a file at a start (`load.rs`).

use aspen_core::ids::ShardId;
use redb::{ReadableTable, TableDefinition};

use crate::limits::LOG_PURGE_ENTRIES_MAX;

/// (shard, index) to checksum and entry.
pub const ENTRIES: TableDefinition<(u16, u64), &[u8]> = TableDefinition::new("entries");
/// (shard, [`VOTE`] or another) to its encoded value.
pub const BOUNDS: TableDefinition<(u16, u8), &[u8]> = TableDefinition::new("bounds");
/// The node's identity.
pub const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// Rows of [`BOUNDS`].
pub const VOTE: u8 = 0;
pub const COMMITTED: u8 = 1;
pub const PURGED: u8 = 2;
pub const PROMISED: u8 = 3;

/// The row of [`META`].
pub const IDENTITY: &str = "identity";

/// The table [`ENTRIES`], open for writing.
pub type EntryTable<'a> = redb::Table<'a, (u16, u64), &'static [u8]>;

/// Deletes a chunk of a shard's entries up to index `upto`; returns true if none is left.
pub fn purge(entries: &mut EntryTable<'_>, shard: ShardId, upto: u64) -> Result<bool, redb::Error> {
    let shard = shard.get();
    let first = entries.range((shard, 0)..=(shard, upto))?.next().transpose()?;
    let Some(first) = first.map(|(key, _)| key.value().1) else { return Ok(true) };
    let end = upto.min(first + LOG_PURGE_ENTRIES_MAX - 1);
    entries.retain_in((shard, first)..=(shard, end), |_, _| false)?;
    Ok(end == upto)
}
