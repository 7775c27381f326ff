//! The redb database of a node's log: its tables, how an entry is stored, what a start checks.
//!
//! ```text
//! entries   (shard, index)   -> checksum 8 | entry as entry_codec writes it
//! bounds    (shard, which)   -> vote, committed, purged, promised
//! meta      "identity"       -> cluster and node
//! ```
//!
//! Promises that a log which opens is whole: redb verifies the checksum of every page, no shard
//! misses an entry in between, and deletions that a stop interrupted are finished. Each entry has a
//! checksum of its own, verified whenever it is read.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use aspen_core::{CodecError, ShardId};
use bytes::Bytes;
use redb::{
    Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    TableDefinition,
};

use crate::entry_codec::{EntryError, decode_entry, encode_entry};
use crate::error::{ForeignLogSnafu, Identity, StoreError};
use crate::log::ShardTail;
use crate::log_tail::Tail;
use crate::types::{Entry, LogId};

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

/// Entries that one transaction deletes for a shard: some milliseconds of work.
const PURGE_ENTRIES_MAX: u64 = 4096;

const IDENTITY: &str = "identity";

/// Whether redb's refusal to open means damage or a machine that cannot.
pub fn open_error(path: &Path, error: DatabaseError) -> StoreError {
    let damaged = match &error {
        DatabaseError::Storage(redb::StorageError::Io(error)) => {
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        }
        DatabaseError::Storage(redb::StorageError::Corrupted(_)) => true,
        DatabaseError::RepairAborted => true,
        _ => false,
    };
    let path = path.to_path_buf();
    if matches!(error, DatabaseError::UpgradeRequired(_)) {
        return StoreError::LogForm { path, source: error.into() };
    }
    match damaged {
        true => StoreError::LogDamaged { path, source: error.into() },
        false => StoreError::LogStorage { what: "opening", path, source: Box::new(error.into()) },
    }
}

/// Reads what a log holds; writes the identity into a new one.
pub fn load(
    db: &Database,
    path: &Path,
    identity: Identity,
) -> Result<BTreeMap<ShardId, ShardTail>, StoreError> {
    let storage = |source: redb::Error| StoreError::LogStorage {
        what: "reading",
        path: path.to_path_buf(),
        source: Box::new(source),
    };
    let found = prepare(db, identity).map_err(storage)?;
    let found: Identity =
        aspen_core::decode(&found).map_err(|error| unreadable(path, error.into()))?;
    snafu::ensure!(found == identity, ForeignLogSnafu { path, expected: identity, found });
    while !finish_purges(db).map_err(storage)? {}
    let read = || -> Result<BTreeMap<ShardId, ShardTail>, Box<dyn Error + Send + Sync>> {
        let transaction = db.begin_read()?;
        let entries = transaction.open_table(ENTRIES)?;
        let bounds = transaction.open_table(BOUNDS)?;
        let mut shards = vec![];
        for row in bounds.iter()? {
            shards.push(row?.0.value().0);
        }
        let mut at = 0;
        while let Some(row) = entries.range((at, 0)..)?.next() {
            let shard = row?.0.value().0;
            shards.push(shard);
            let Some(next) = shard.checked_add(1) else { break };
            at = next;
        }
        shards.sort_unstable();
        shards.dedup();
        let mut stored = 0;
        let mut tails = BTreeMap::new();
        for shard in shards {
            let (tail, count) = load_shard(&entries, &bounds, shard)?;
            stored += count;
            let shard = ShardId::new(shard);
            tails.insert(shard, ShardTail { shard, memory: Arc::new(Mutex::new(tail)) });
        }
        // With every shard's first and last index known, the count alone proves that there is
        // no gap, whatever the log's size.
        match entries.len()? == stored {
            true => Ok(tails),
            false => Err("entries are missing in between".into()),
        }
    };
    read().map_err(|error| unreadable(path, error))
}

/// Says of content that cannot be read whether it is of another form or damaged.
fn unreadable(path: &Path, source: Box<dyn Error + Send + Sync>) -> StoreError {
    let entry = source.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let entry = entry.and_then(|error| error.downcast_ref());
    let is_form = matches!(source.downcast_ref(), Some(CodecError::Form { .. }))
        || matches!(entry, Some(EntryError::Form { .. }));
    let path = path.to_path_buf();
    match is_form {
        true => StoreError::LogForm { path, source },
        false => StoreError::LogDamaged { path, source },
    }
}

/// Creates the tables and the identity of a new log; returns the identity that is there.
fn prepare(db: &Database, identity: Identity) -> Result<Vec<u8>, redb::Error> {
    let transaction = db.begin_write()?;
    let found = {
        transaction.open_table(ENTRIES)?;
        transaction.open_table(BOUNDS)?;
        let mut meta = transaction.open_table(META)?;
        let found = meta.get(IDENTITY)?.map(|found| found.value().to_vec());
        match found {
            Some(found) => found,
            None => {
                let identity = aspen_core::encode(&identity);
                meta.insert(IDENTITY, &identity[..])?;
                identity.to_vec()
            }
        }
    };
    transaction.commit()?;
    Ok(found)
}

/// Deletes a chunk of what a stop interrupted; says whether nothing is left to delete.
fn finish_purges(db: &Database) -> Result<bool, redb::Error> {
    let transaction = db.begin_write()?;
    let mut finished = true;
    {
        let bounds = transaction.open_table(BOUNDS)?;
        let mut entries = transaction.open_table(ENTRIES)?;
        for row in bounds.iter()? {
            let (key, value) = row?;
            if let (shard, PURGED) = key.value()
                && let Ok(upto) = aspen_core::decode::<LogId>(value.value())
            {
                finished &= purge(&mut entries, ShardId::new(shard), upto.index)?;
            }
        }
    }
    transaction.commit()?;
    Ok(finished)
}

/// The bounds of a shard, and how many entries its first and last index promise.
fn load_shard(
    entries: &impl ReadableTable<(u16, u64), &'static [u8]>,
    bounds: &impl ReadableTable<(u16, u8), &'static [u8]>,
    shard: u16,
) -> Result<(Tail, u64), Box<dyn Error + Send + Sync>> {
    let row = |row: u8| bounds.get((shard, row));
    let vote = row(VOTE)?.map(|vote| aspen_core::decode(vote.value())).transpose()?;
    let committed = row(COMMITTED)?.map(|id| aspen_core::decode(id.value())).transpose()?;
    let purged = row(PURGED)?.map(|id| aspen_core::decode(id.value())).transpose()?;
    let promised = row(PROMISED)?.map(|id| aspen_core::decode(id.value())).transpose()?;
    let mut range = entries.range((shard, 0)..=(shard, u64::MAX))?;
    let first = range.next().transpose()?.map(|(key, value)| (key.value().1, value));
    let last = range.next_back().transpose()?.map(|(key, value)| (key.value().1, value));
    let Some(first_index) = first.as_ref().map(|(index, _)| *index) else {
        return Ok((Tail::stored(vote, promised, committed.flatten(), purged, None), 0));
    };
    let (last_index, last) = last.or(first).ok_or("a range without an end")?;
    let last = unframe(shard, last_index, last.value())?.log_id;
    let tail = Tail::stored(vote, promised, committed.flatten(), purged, Some(last));
    Ok((tail, last_index - first_index + 1))
}

/// Reads a stored entry; its checksum and its place must be right.
pub fn unframe(shard: u16, index: u64, frame: &[u8]) -> io::Result<Entry> {
    let damaged = |what: &str| {
        io::Error::other(format!(
            "entry i{index} of s{shard} in the raft log is damaged ({what}): remove this node \
             from the cluster, delete its data folder and join it anew"
        ))
    };
    let (checksum, bytes) = frame.split_first_chunk().ok_or_else(|| damaged("too short"))?;
    if u64::from_le_bytes(*checksum) != seahash::hash(bytes) {
        return Err(damaged("wrong checksum"));
    }
    let entry = decode_entry(&Bytes::copy_from_slice(bytes));
    let entry = entry.map_err(|error| match error {
        // The checksum is right: another version wrote it.
        EntryError::Form { .. } => io::Error::other(error),
        error => damaged(&error.to_string()),
    })?;
    match entry.log_id.index == index {
        true => Ok(entry),
        false => Err(damaged("at another's place")),
    }
}

/// An entry as it is stored: its checksum, then its bytes. redb checks its pages only when it
/// opens a file, and a flipped bit must not become another command.
pub fn frame(entry: &Entry, out: &mut Vec<u8>) {
    out.clear();
    out.extend_from_slice(&[0; 8]);
    encode_entry(entry, out);
    let checksum = seahash::hash(&out[8..]);
    out[..8].copy_from_slice(&checksum.to_le_bytes());
}

/// Deletes a chunk of a shard's entries up to index `upto`; says whether all are gone.
pub fn purge(
    entries: &mut redb::Table<'_, (u16, u64), &'static [u8]>,
    shard: ShardId,
    upto: u64,
) -> Result<bool, redb::Error> {
    let shard = shard.get();
    let first = entries.range((shard, 0)..=(shard, upto))?.next().transpose()?;
    let Some(first) = first.map(|(key, _)| key.value().1) else { return Ok(true) };
    let end = upto.min(first + PURGE_ENTRIES_MAX - 1);
    entries.retain_in((shard, first)..=(shard, end), |_, _| false)?;
    Ok(end == upto)
}
