//! The SQLite database of a shard's state: its tables, its settings, its few single values.
//!
//! Promises that a file is either a complete state of this shard or refused: files are made under
//! another name and renamed when they are complete. No fsync happens in apply: the log is the
//! durability, and what must be durable is synced on purpose (see `state.rs`).
//!
//! SQLite finds pages that make no sense, but not a value that changed on the disk. So every row has
//! a checksum (`sum`), which is compared whenever the row is read: a replica stops rather than work
//! with what it did not write.
//!
//! Numbers of 64 bits are stored as SQLite's signed ones, bit by bit; no query depends on the order
//! of one that may exceed 63 bits.

use std::hash::Hasher;
use std::path::Path;
use std::time::Duration;

use aspen_core::{CodecError, FORM_REMEDY, Fault, Header, KeyRange, Revision, ShardId, View};
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row};
use seahash::SeaHasher;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use snafu::{ResultExt, Snafu};

use crate::error::Identity;
use crate::types::{LogId, StoredMembership};
use crate::view::{SqliteView, damaged};

/// "ASPN": tells `file` and the curious what this database is.
const APPLICATION_ID: i32 = 0x4153_504e;

/// Form of the tables: 2 since there are leases and tombstones, 3 since rows have checksums, 4
/// since there are transactions across shards, 7 since there are schedules,
/// 8 since there are uploads in parts, 9 since large values are in a table of their own.
const FORM: i32 = 9;

/// SQLite's page cache of the writing connection, and of the one that apply reads through.
const PAGE_CACHE_KIB: i32 = 16 << 10;

/// Statements a connection keeps prepared: more than there are.
const STATEMENTS_MAX: usize = 64;

/// Bytes of a key and its value up to which both are in the row. SQLite keeps at most 1,002 bytes of
/// a row without a rowid in a page of 4 KiB ("Database File Format", section 1.6), with the numbers;
/// of a longer one it keeps half as much, and the rest takes pages of its own. In a table with rowids
/// values of 1,000 bytes take a third of that room, those of 4,000 nine tenths, and all about half of
/// the time to read and to write (ARCHITECTURE.md has the measurement).
pub const INLINE_BYTES_MAX: usize = 900;

/// `record` is what is read: `kv` with the values that are in `large` in their place.
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

/// Rows of `meta`.
pub const OWNER: &str = "owner";
pub const PROGRESS: &str = "progress";
pub const MEMBERSHIP: &str = "membership";
pub const HORIZON: &str = "horizon";

/// Whose state a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub identity: Identity,
    pub shard: ShardId,
}

/// How far a state got; changes with every batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    pub header: Header,
    pub applied: Option<LogId>,
}

/// Why a database cannot be used.
#[derive(Debug, Snafu)]
pub enum Unusable {
    /// SQLite's answer.
    #[snafu(display("{source}"))]
    Sqlite { source: rusqlite::Error },
    /// What SQLite returned is not what Aspen wrote.
    #[snafu(display("{what} cannot be read"))]
    Content { what: &'static str },
    /// Pages or rows are wrong.
    #[snafu(display("{report}"))]
    Check { report: String },
    /// Written by another version of the program.
    #[snafu(display("it has form {form}, this program reads form {FORM}: {FORM_REMEDY}"))]
    Form { form: i32 },
    /// A row was written by another version of the program.
    #[snafu(display("{source}: {FORM_REMEDY}"))]
    RowForm { source: CodecError },
}

impl From<rusqlite::Error> for Unusable {
    fn from(source: rusqlite::Error) -> Self {
        Unusable::Sqlite { source }
    }
}

impl Unusable {
    /// The file is damaged; otherwise the machine could not read it, or must not.
    pub fn is_damage(&self) -> bool {
        match self {
            Unusable::Content { .. } | Unusable::Check { .. } => true,
            Unusable::Form { .. } | Unusable::RowForm { .. } => false,
            Unusable::Sqlite { source } => {
                let code = source.sqlite_error_code();
                let damage = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
                // No code: a column of another type. Unknown: a table or column that is missing.
                code.is_none_or(|code| damage.contains(&code) || code == ErrorCode::Unknown)
            }
        }
    }

    /// As an error of SQLite, for those who can tell no more.
    pub fn into_sqlite(self) -> rusqlite::Error {
        match self {
            Unusable::Sqlite { source } => source,
            other => rusqlite::Error::ToSqlConversionFailure(Box::new(other)),
        }
    }
}

/// Makes a new, empty state in file `path`, which does not exist.
pub fn create(path: &Path, owner: &Owner) -> Result<(), Unusable> {
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

/// A form as a file has it: with its complement in the upper half from form 3 on, so that damage is
/// not taken for a file of another version, which nobody may touch.
fn stored_form(form: i32) -> i32 {
    if form < 3 { form } else { form | (!form & 0xffff) << 16 }
}

/// Opens a state for writing.
pub fn open(path: &Path) -> Result<Connection, Unusable> {
    let db = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let stored: i32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let form = stored & 0xffff;
    // A file that shrank and grew again, or was emptied, is an empty database to SQLite.
    if form == 0 || stored != stored_form(form) {
        return Err(Unusable::Content { what: "its form" });
    }
    if form != FORM {
        return Err(Unusable::Form { form });
    }
    db.pragma_update(None, "journal_mode", "wal")?;
    db.pragma_update(None, "synchronous", "normal")?;
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    // A write-ahead log that a checkpoint emptied is cut, so that its length tells how much waits.
    db.pragma_update(None, "journal_size_limit", 0)?;
    db.pragma_update(None, "cache_size", -PAGE_CACHE_KIB)?;
    Ok(db)
}

/// Opens a state for apply to read: with a page cache that holds the upper pages of a tree over some
/// million keys.
pub fn open_for_apply(path: &Path) -> Result<Connection, Unusable> {
    let db = open_read_only(path)?;
    db.pragma_update(None, "cache_size", -PAGE_CACHE_KIB)?;
    Ok(db)
}

/// Opens a state for reading.
pub fn open_read_only(path: &Path) -> Result<Connection, Unusable> {
    connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)
}

/// Closes, so that an error while doing so is seen.
pub fn close(db: Connection) -> Result<(), Unusable> {
    db.flush_prepared_statement_cache();
    db.close().map_err(|(_, source)| Unusable::Sqlite { source })
}

/// Looks for damaged pages and rows: reads the whole file.
pub fn check(db: &Connection) -> Result<(), Unusable> {
    // Also compares indexes with their tables, which a quick check does not.
    let report: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if report != "ok" {
        return CheckSnafu { report }.fail();
    }
    let view = SqliteView(db);
    let rows = view.scan(&KeyRange::all(), false, &mut |_, _| true);
    let others = || view.aliases().and_then(|_| view.check_components());
    rows.and_then(|()| others()).map_err(unreadable)
}

/// A view that could not be read: a row is wrong.
pub fn unreadable(fault: Fault) -> Unusable {
    let report = std::error::Error::source(&fault).map(ToString::to_string);
    Unusable::Check { report: report.unwrap_or_default() }
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Unusable> {
    let db = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    // Nobody waits for a lock: one connection writes, and in WAL mode readers are never in its way.
    db.busy_timeout(Duration::ZERO)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    db.pragma_update(None, "temp_store", "memory")?;
    Ok(db)
}

/// Reads a row of `meta`; every state has all of them.
pub fn get<T: DeserializeOwned>(db: &Connection, name: &'static str) -> Result<T, Unusable> {
    let mut statement = db.prepare_cached("SELECT value, sum FROM meta WHERE name = ?1")?;
    let row = |row: &Row<'_>| {
        let value: Vec<u8> = row.get(0)?;
        compare(row, 1, &sum(&[name.as_bytes(), &value], &[]))?;
        Ok(value)
    };
    let value = statement.query_row([name], row).optional()?;
    let value = value.ok_or(Unusable::Content { what: name })?;
    aspen_core::decode(&value).map_err(|source| match source {
        // The checksum is right: it is what was written.
        CodecError::Form { .. } => Unusable::RowForm { source },
        _ => Unusable::Content { what: name },
    })
}

/// Writes a row of `meta`.
pub fn put<T: Serialize>(db: &Connection, name: &str, value: &T) -> Result<(), Unusable> {
    let mut statement = db.prepare_cached("INSERT OR REPLACE INTO meta VALUES (?1, ?2, ?3)")?;
    let value = aspen_core::encode(value);
    let sum = sum(&[name.as_bytes(), &value], &[]);
    statement.execute((name, &value[..], sum)).context(SqliteSnafu)?;
    Ok(())
}

/// A row's checksum, as SQLite stores it: seahash over its columns in their order, first those of
/// bytes, each with its length, then the numbers, all of 8 bytes little endian.
pub fn sum(blobs: &[&[u8]], numbers: &[u64]) -> i64 {
    let mut hasher = SeaHasher::default();
    for blob in blobs {
        hasher.write_u64(blob.len() as u64);
        hasher.write(blob);
    }
    numbers.iter().for_each(|number| hasher.write_u64(*number));
    hasher.finish().cast_signed()
}

/// Whether column `at` of a row is its checksum.
pub fn compare(row: &Row<'_>, at: usize, sum: &i64) -> Result<(), rusqlite::Error> {
    match row.get::<_, i64>(at)? == *sum {
        true => Ok(()),
        false => Err(damaged(at, SumError)),
    }
}

/// The row is not what was written.
#[derive(Debug, Snafu)]
#[snafu(display("the checksum of a row is wrong"))]
struct SumError;

#[cfg(test)]
pub mod tests {
    use super::*;
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
        for form in [1, 2, FORM + 1] {
            stored(stored_form(form));
            let error = open(&path).unwrap_err();
            assert!(matches!(error, Unusable::Form { form: found } if found == form));
            assert!(!error.is_damage());
        }
        for damaged in [0, FORM, stored_form(FORM) ^ 0x55, stored_form(FORM) ^ 0x55_0000] {
            stored(damaged);
            assert!(open(&path).unwrap_err().is_damage(), "{damaged:x}");
        }
    }
}
