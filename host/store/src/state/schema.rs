//! The SQLite database of a shard's state: its tables and its settings.
//!
//! Promises that a file is either a complete state of this shard or refused: files are made under
//! another name and renamed when they are complete. No fsync happens in apply: the log is the
//! durability, and files that must be durable are synced on purpose (see `sqlite_state.rs`).
//!
//! Leaves out the content of rows: see `meta.rs`, `records.rs`, `view.rs`, `resident_store.rs`.

use std::path::Path;
use std::time::Duration;

use aspen_core::ids::Revision;
use rusqlite::{Connection, OpenFlags};

use super::error::StateFileError;
use super::meta::{HORIZON, MEMBERSHIP, OWNER, Owner, PROGRESS, Progress, put};
use crate::limits::{STATE_PAGE_CACHE_KIB, STATEMENTS_MAX};
use crate::types::StoredMembership;

/// "ASPN": tells the program `file`, and people, the kind of this database.
const APPLICATION_ID: i32 = 0x4153_504e;

/// The form of the tables.
const FORM: i32 = 1;

/// The view `record` is for reading: `kv`, with the values that are in `large` in their place.
const TABLES: &str = "
    CREATE TABLE kv (key BLOB PRIMARY KEY, value BLOB, version INTEGER NOT NULL,
        create_revision INTEGER NOT NULL, mod_revision INTEGER NOT NULL,
        lease INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE large (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT;
    CREATE VIEW record AS SELECT key,
        coalesce(value, (SELECT large.value FROM large WHERE large.key = kv.key)) AS value,
        version, create_revision, mod_revision, lease, sum FROM kv;
    CREATE INDEX kv_lease ON kv (lease) WHERE lease != 0;
    CREATE TABLE lease (id INTEGER PRIMARY KEY, ttl_ms INTEGER NOT NULL, due INTEGER NOT NULL,
        is_private INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT;
    CREATE TABLE tombstone (key BLOB PRIMARY KEY, revision INTEGER NOT NULL,
        sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE prepared (txn BLOB PRIMARY KEY, row BLOB NOT NULL, sum INTEGER NOT NULL) STRICT;
    CREATE TABLE decision (txn BLOB PRIMARY KEY, row BLOB NOT NULL, sum INTEGER NOT NULL) STRICT;
    CREATE TABLE schedule (name TEXT PRIMARY KEY, row BLOB NOT NULL,
        sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE upload (id BLOB PRIMARY KEY, row BLOB NOT NULL, sum INTEGER NOT NULL) STRICT;
    CREATE TABLE component (hash BLOB PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
    CREATE TABLE alias (name TEXT PRIMARY KEY, row BLOB NOT NULL,
        sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    CREATE TABLE session (id INTEGER PRIMARY KEY, owner BLOB NOT NULL, used INTEGER NOT NULL,
        floor INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT;
    CREATE TABLE outcome (id INTEGER PRIMARY KEY, outcomes BLOB NOT NULL,
        sum INTEGER NOT NULL) STRICT;
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL,
        sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;";

/// Makes a new, empty state in file `path`, which does not exist.
pub fn create(path: &Path, owner: &Owner) -> Result<(), StateFileError> {
    let db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    db.execute_batch("BEGIN")?;
    db.execute_batch(TABLES)?;
    db.pragma_update(None, "application_id", APPLICATION_ID)?;
    db.pragma_update(None, "user_version", stored_form(FORM))?;
    put(&db, OWNER, owner)?;
    put(&db, PROGRESS, &Progress::default())?;
    put(&db, MEMBERSHIP, &StoredMembership::default())?;
    put(&db, HORIZON, &Revision::default())?;
    db.execute_batch("COMMIT")?;
    close(db)
}

/// Returns a form as a file has it, with its complement in the upper half: damage is not taken for a
/// file of another version, which this program must not touch.
fn stored_form(form: i32) -> i32 {
    form | (!form & 0xffff) << 16
}

/// Opens a state for writing.
pub fn open(path: &Path) -> Result<Connection, StateFileError> {
    let db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let stored: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let form = stored & 0xffff;
    // A file that shrank and grew again, or was emptied, is an empty database to SQLite.
    if form == 0 || stored != stored_form(form) {
        return Err(StateFileError::Content { what: "its form" });
    }
    if form != FORM {
        return Err(StateFileError::Form { form, expected: FORM });
    }
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "normal")?;
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    // A write-ahead log that a checkpoint emptied is cut, so that its length tells how much waits.
    db.pragma_update(None, "journal_size_limit", 0)?;
    db.pragma_update(None, "cache_size", -STATE_PAGE_CACHE_KIB)?;
    Ok(db)
}

/// Opens a state for apply to read, with a page cache that holds the upper pages of a tree over some
/// million keys.
pub fn open_for_apply(path: &Path) -> Result<Connection, StateFileError> {
    let db = open_read_only(path)?;
    db.pragma_update(None, "cache_size", -STATE_PAGE_CACHE_KIB)?;
    Ok(db)
}

/// Opens a state for reading.
pub fn open_read_only(path: &Path) -> Result<Connection, StateFileError> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Closes a connection, and returns an error of the closing.
pub fn close(db: Connection) -> Result<(), StateFileError> {
    db.flush_prepared_statement_cache();
    db.close().map_err(|(_, source)| StateFileError::Sqlite { source })
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, StateFileError> {
    let db = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Nobody waits for a lock: one connection writes, and in WAL mode readers are never in its way.
    db.busy_timeout(Duration::ZERO)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    db.pragma_update(None, "temp_store", "memory")?;
    Ok(db)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::state::meta::get;
    use crate::tests::{ME, SHARD};

    pub const OWNER: Owner = Owner { identity: ME, shard: SHARD };

    #[test]
    fn storage_state_of_a_newer_program_is_no_damage() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        create(&path, &OWNER).unwrap();
        let db = open(&path).unwrap();
        assert_eq!(get::<Owner>(&db, super::OWNER).unwrap(), OWNER);
        let stored = |form: i32| db.pragma_update(None, "user_version", form).unwrap();
        for form in [FORM + 1, FORM + 2] {
            stored(stored_form(form));
            let error = open(&path).unwrap_err();
            assert!(matches!(error, StateFileError::Form { form: found, .. } if found == form));
            assert!(!error.is_damage());
        }
        for damaged in [0, FORM, stored_form(FORM) ^ 0x55, stored_form(FORM) ^ 0x55_0000] {
            stored(damaged);
            assert!(open(&path).unwrap_err().is_damage(), "{damaged:x}");
        }
    }
}
