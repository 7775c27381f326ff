//! Writing the rows of keys, components and aliases.
//!
//! A large value is in a table of its own (`large`), and its row in `kv` is without it. Leaves out the
//! transaction around the writes (`sqlite_state.rs`) and the rows that live in memory whole
//! (`resident_store.rs`). `view.rs` reads these rows.

use aspen_core::codec::encode;
use aspen_core::ids::{ComponentHash, Name};
use aspen_core::key::Key;
use aspen_core::view::{Alias, Record};
use bytes::Bytes;
use rusqlite::Connection;

use super::checksum::{alias_sum, record_sum};
use crate::limits::INLINE_BYTES_MAX;

const SET: &str =
    "INSERT INTO kv VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (key) DO UPDATE SET
    value = excluded.value, version = excluded.version,
    create_revision = excluded.create_revision, mod_revision = excluded.mod_revision,
    lease = excluded.lease, sum = excluded.sum";

const SET_LARGE: &str = "INSERT INTO large VALUES (?1, ?2)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const REMOVE_LARGE: &str = "DELETE FROM large WHERE key = ?1";

/// Stores a record.
pub fn set(db: &Connection, key: &Key, record: &Record) -> Result<(), rusqlite::Error> {
    let Record { value, version, create_revision, mod_revision, lease } = record;
    let (key_bytes, value_bytes) = (key.as_bytes(), value.as_bytes());
    let is_large = key_bytes.len() + value_bytes.len() > INLINE_BYTES_MAX;
    match is_large {
        true => db.prepare_cached(SET_LARGE)?.execute([key_bytes, value_bytes])?,
        // It may have been large before.
        false => db.prepare_cached(REMOVE_LARGE)?.execute([key_bytes])?,
    };
    let set = db.prepare_cached(SET)?.execute((
        key_bytes,
        (!is_large).then_some(value_bytes),
        version.get().cast_signed(),
        create_revision.get().cast_signed(),
        mod_revision.get().cast_signed(),
        lease.get().cast_signed(),
        record_sum(key_bytes, record),
    ));
    set.map(|_| ())
}

/// Removes a record. The file never had the key if it was created and deleted since the last flush.
pub fn remove(db: &Connection, key: &Key) -> Result<(), rusqlite::Error> {
    for remove in ["DELETE FROM kv WHERE key = ?1", REMOVE_LARGE] {
        db.prepare_cached(remove)?.execute([key.as_bytes()])?;
    }
    Ok(())
}

/// Stores a component, or removes it.
pub fn write_component(
    db: &Connection,
    hash: &ComponentHash,
    bytes: Option<&Bytes>,
) -> Result<(), rusqlite::Error> {
    let written = match bytes {
        Some(bytes) => {
            let sql = "INSERT OR IGNORE INTO component VALUES (?1, ?2)";
            db.prepare_cached(sql)?.execute((hash.as_bytes(), &bytes[..]))
        }
        None => {
            let sql = "DELETE FROM component WHERE hash = ?1";
            db.prepare_cached(sql)?.execute([hash.as_bytes()])
        }
    };
    written.map(|_| ())
}

/// Stores an alias, or removes it.
pub fn write_alias(
    db: &Connection,
    name: &Name,
    alias: Option<&Alias>,
) -> Result<(), rusqlite::Error> {
    let written = match alias {
        Some(alias) => {
            let (sql, row) = ("INSERT OR REPLACE INTO alias VALUES (?1, ?2, ?3)", encode(alias));
            let sum = alias_sum(name.as_str(), &row);
            db.prepare_cached(sql)?.execute((name.as_str(), &row[..], sum))
        }
        None => {
            let sql = "DELETE FROM alias WHERE name = ?1";
            db.prepare_cached(sql)?.execute([name.as_str()])
        }
    };
    written.map(|_| ())
}
