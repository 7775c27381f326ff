//! Reading and checking the log's file at a start.
//!
//! Promises that a log which opens is whole: redb verifies the checksum of every page, no shard
//! misses an entry in between, and deletions that a stop interrupted are finished. Each entry has a
//! checksum of its own, verified whenever it is read (`frame.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::io;
use std::path::Path;

use aspen_core::codec::CodecError;
use aspen_core::ids::ShardId;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, ReadableTableMetadata};

use super::entry_codec::EntryError;
use super::frame::unframe;
use super::tables::{BOUNDS, COMMITTED, ENTRIES, IDENTITY, META, PROMISED, PURGED, VOTE, purge};
use super::tail::{ShardTail, Tail};
use crate::error::{ForeignLogSnafu, Identity, StoreError};
use crate::types::LogId;

type ReadError = Box<dyn Error + Send + Sync>;

/// Tells damage from a machine that cannot open the file.
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

/// Reads the bounds of every shard's log; writes the identity into a new file.
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
        aspen_core::codec::decode(&found).map_err(|error| unreadable(path, error.into()))?;
    snafu::ensure!(found == identity, ForeignLogSnafu { path, expected: identity, found });
    while !finish_purges(db).map_err(storage)? {}
    read_shards(db).map_err(|error| unreadable(path, error))
}

/// Tells content of another form from damage.
fn unreadable(path: &Path, source: ReadError) -> StoreError {
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

/// Reads the bounds of every shard, and compares the number of entries with them.
fn read_shards(db: &Database) -> Result<BTreeMap<ShardId, ShardTail>, ReadError> {
    let transaction = db.begin_read()?;
    let entries = transaction.open_table(ENTRIES)?;
    let bounds = transaction.open_table(BOUNDS)?;
    let mut shards = BTreeSet::new();
    for row in bounds.iter()? {
        shards.insert(row?.0.value().0);
    }
    let mut at = 0;
    while let Some(row) = entries.range((at, 0)..)?.next() {
        let shard = row?.0.value().0;
        shards.insert(shard);
        let Some(next) = shard.checked_add(1) else { break };
        at = next;
    }
    let mut stored = 0;
    let mut tails = BTreeMap::new();
    for shard in shards {
        let (tail, count) = load_shard(&entries, &bounds, shard)?;
        stored += count;
        let shard = ShardId::new(shard);
        tails.insert(shard, ShardTail::new(shard, tail));
    }
    // With every shard's first and last index known, the count alone proves that there is
    // no gap, at any size of the log.
    match entries.len()? == stored {
        true => Ok(tails),
        false => Err("entries are missing in between".into()),
    }
}

/// Creates the tables and the identity of a new log; returns the stored identity.
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
                let identity = aspen_core::codec::encode(&identity);
                meta.insert(IDENTITY, &identity[..])?;
                identity.to_vec()
            }
        }
    };
    transaction.commit()?;
    Ok(found)
}

/// Deletes a chunk of the entries whose deletion a stop interrupted; returns true if none is left.
fn finish_purges(db: &Database) -> Result<bool, redb::Error> {
    let transaction = db.begin_write()?;
    let mut finished = true;
    {
        let bounds = transaction.open_table(BOUNDS)?;
        let mut entries = transaction.open_table(ENTRIES)?;
        for row in bounds.iter()? {
            let (key, value) = row?;
            if let (shard, PURGED) = key.value()
                && let Ok(upto) = aspen_core::codec::decode::<LogId>(value.value())
            {
                finished &= purge(&mut entries, ShardId::new(shard), upto.index)?;
            }
        }
    }
    transaction.commit()?;
    Ok(finished)
}

/// Returns the bounds of a shard, and the number of entries from its first index to its last.
fn load_shard(
    entries: &impl ReadableTable<(u16, u64), &'static [u8]>,
    bounds: &impl ReadableTable<(u16, u8), &'static [u8]>,
    shard: u16,
) -> Result<(Tail, u64), ReadError> {
    let row = |row: u8| bounds.get((shard, row));
    let vote = row(VOTE)?.map(|vote| aspen_core::codec::decode(vote.value())).transpose()?;
    let committed = row(COMMITTED)?.map(|id| aspen_core::codec::decode(id.value())).transpose()?;
    let purged = row(PURGED)?.map(|id| aspen_core::codec::decode(id.value())).transpose()?;
    let promised = row(PROMISED)?.map(|id| aspen_core::codec::decode(id.value())).transpose()?;
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
