//! The resident parts of a state on disk: those that live in memory whole. They are sessions, leases,
//! tombstones, locks, schedules, and the uploads that are under way.
//!
//! Promises that the loaded parts equal those that were stored. The lease of a key is not stored
//! twice: the records name it. Sessions have a form of their own (`session_store.rs`).

use std::sync::Arc;

use aspen_core::codec::{decode, encode};
use aspen_core::ids::{LeaseId, Name, Revision, Timestamp};
use aspen_core::key::Key;
use aspen_core::state::{
    LeaseChange, LeaseImage, Leases, Resident, ResidentChanges, ScheduleChange, Schedules,
    Tombstones, UploadChange, Uploads,
};
use aspen_core::two_phase::{LockChange, Locks};
use aspen_core::view::View;
use bytes::Bytes;
use rusqlite::{Connection, Row};
use serde::de::DeserializeOwned;

use super::checksum::{compare, damaged, number, sum};
use super::error::StateFileError;
use super::meta::{self, HORIZON};
use super::session_store::SessionStore;
use super::view::SqliteView;

/// The memory that is needed to store changes.
#[derive(Debug, Default)]
pub struct ResidentStore {
    sessions: SessionStore,
    horizon: Revision,
}

impl ResidentStore {
    /// Reads all resident parts.
    pub fn load(db: &Connection) -> Result<(Self, Resident), StateFileError> {
        let (store, sessions) = SessionStore::load(db)?;
        let tombstones = load_tombstones(db)?;
        let horizon = tombstones.horizon();
        let (leases, locks) = (load_leases(db)?, load_locks(db)?);
        let schedules = load_schedules(db)?;
        let mut uploads = Uploads::default();
        load_of(db, "upload", "id", |upload, staged| uploads.restore(upload, staged))?;
        let resident = Resident { sessions, leases, tombstones, locks, schedules, uploads };
        Ok((Self { sessions: store, horizon }, resident))
    }

    /// Writes the changes, inside the transaction of a flush.
    pub fn store(
        &mut self,
        db: &Connection,
        changes: &ResidentChanges,
    ) -> Result<(), StateFileError> {
        let ResidentChanges { sessions, leases, tombstones, horizon, locks, schedules, uploads } =
            changes;
        self.sessions.store(db, sessions)?;
        for change in leases {
            store_lease(db, *change)?;
        }
        for change in tombstones {
            let key = change.key.as_bytes();
            match change.removed {
                Some(revision) => {
                    let sql = "INSERT OR REPLACE INTO tombstone VALUES (?1, ?2, ?3)";
                    let sum = sum(&[key], &[revision.get()]);
                    db.prepare_cached(sql)?.execute((key, revision.get().cast_signed(), sum))?
                }
                None => {
                    db.prepare_cached("DELETE FROM tombstone WHERE key = ?1")?.execute([key])?
                }
            };
        }
        for change in locks {
            store_lock(db, change)?;
        }
        for change in schedules {
            store_schedule(db, change)?;
        }
        for UploadChange { upload, staged } in uploads {
            store_row(db, "upload", "id", &encode(upload), staged.as_ref().map(encode))?;
        }
        if *horizon != self.horizon {
            meta::put(db, HORIZON, horizon)?;
            self.horizon = *horizon;
        }
        Ok(())
    }
}

fn store_lease(db: &Connection, change: LeaseChange) -> Result<(), rusqlite::Error> {
    match change {
        LeaseChange::Set(image) => {
            let LeaseImage { lease, ttl_ms, due, is_private } = image;
            let sql = "INSERT OR REPLACE INTO lease VALUES (?1, ?2, ?3, ?4, ?5)";
            let (ttl_ms, due) = (ttl_ms.cast_signed(), due.get().cast_signed());
            let row = (lease.get().cast_signed(), ttl_ms, due, is_private, lease_sum(&image));
            db.prepare_cached(sql)?.execute(row)?;
        }
        LeaseChange::Ended(lease) => {
            let mut statement = db.prepare_cached("DELETE FROM lease WHERE id = ?1")?;
            statement.execute([lease.get().cast_signed()])?;
        }
    }
    Ok(())
}

fn lease_sum(image: &LeaseImage) -> i64 {
    let LeaseImage { lease, ttl_ms, due, is_private } = *image;
    sum(&[], &[lease.get(), ttl_ms, due.get(), is_private.into()])
}

fn load_leases(db: &Connection) -> Result<Leases, StateFileError> {
    let mut leases = Leases::default();
    let mut statement =
        db.prepare("SELECT id, ttl_ms, due, is_private, sum FROM lease ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let lease = LeaseId::new(number(row, 0)?);
        let (ttl_ms, due) = (number(row, 1)?, Timestamp::new(number(row, 2)?));
        let image = LeaseImage { lease, ttl_ms, due, is_private: row.get(3)? };
        compare(row, 4, &lease_sum(&image))?;
        leases.restore(image);
    }
    // From the index, whose entries have no checksum: each is compared with its record.
    let sql = "SELECT key, lease FROM kv INDEXED BY kv_lease WHERE lease != 0 ORDER BY lease, key";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (key, lease) = (key(row)?, LeaseId::new(number(row, 1)?));
        let record = SqliteView(db).get(&key).map_err(|fault| StateFileError::of_row(&fault))?;
        if leases.get(lease).is_none() || record.is_none_or(|record| record.lease != lease) {
            return Err(StateFileError::Content { what: "the lease of a key" });
        }
        leases.attach(lease, &key);
    }
    Ok(leases)
}

/// Writes the rows of one attempt in both tables of transactions across shards.
fn store_lock(db: &Connection, change: &LockChange) -> Result<(), rusqlite::Error> {
    let LockChange { txn, prepared, decision } = change;
    let txn = encode(txn);
    let rows = [
        ("prepared", prepared.as_ref().map(|prepared| encode(&**prepared))),
        ("decision", decision.as_ref().map(encode)),
    ];
    for (table, row) in rows {
        store_row(db, table, "txn", &txn, row)?;
    }
    Ok(())
}

/// Writes a row of a table of ids and contents, both encoded; `None` deletes the row.
fn store_row(
    db: &Connection,
    table: &str,
    column: &str,
    id: &[u8],
    row: Option<Bytes>,
) -> Result<(), rusqlite::Error> {
    match row {
        Some(row) => {
            let sql = format!("INSERT OR REPLACE INTO {table} VALUES (?1, ?2, ?3)");
            db.prepare_cached(&sql)?.execute((id, &row[..], sum(&[id, &row], &[])))?
        }
        None => {
            let sql = format!("DELETE FROM {table} WHERE {column} = ?1");
            db.prepare_cached(&sql)?.execute([id])?
        }
    };
    Ok(())
}

fn load_locks(db: &Connection) -> Result<Locks, StateFileError> {
    let mut locks = Locks::default();
    load_of(db, "prepared", "txn", |txn, prepared| {
        locks.restore_prepared(txn, Arc::new(prepared))
    })?;
    load_of(db, "decision", "txn", |txn, decision| locks.restore_decision(txn, decision))?;
    Ok(locks)
}

/// Reads a table of ids and contents, both encoded.
fn load_of<I: DeserializeOwned, T: DeserializeOwned>(
    db: &Connection,
    table: &'static str,
    column: &str,
    mut restore: impl FnMut(I, T),
) -> Result<(), StateFileError> {
    let sql = format!("SELECT {column}, row, sum FROM {table} ORDER BY {column}");
    let mut statement = db.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, content): (Vec<u8>, Vec<u8>) = (row.get(0)?, row.get(1)?);
        compare(row, 2, &sum(&[&id, &content], &[]))?;
        match (decode(&id), decode(&content)) {
            (Ok(id), Ok(content)) => restore(id, content),
            _ => return Err(StateFileError::Content { what: table }),
        }
    }
    Ok(())
}

fn store_schedule(db: &Connection, change: &ScheduleChange) -> Result<(), rusqlite::Error> {
    let name = change.name.as_str();
    match &change.schedule {
        Some(schedule) => {
            let row = encode(schedule);
            let sum = sum(&[name.as_bytes(), &row], &[]);
            let sql = "INSERT OR REPLACE INTO schedule VALUES (?1, ?2, ?3)";
            db.prepare_cached(sql)?.execute((name, &row[..], sum))?
        }
        None => db.prepare_cached("DELETE FROM schedule WHERE name = ?1")?.execute([name])?,
    };
    Ok(())
}

fn load_schedules(db: &Connection) -> Result<Schedules, StateFileError> {
    let mut schedules = Schedules::default();
    let mut statement = db.prepare("SELECT name, row, sum FROM schedule ORDER BY name")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, content): (String, Vec<u8>) = (row.get(0)?, row.get(1)?);
        compare(row, 2, &sum(&[name.as_bytes(), &content], &[]))?;
        match (Name::new(name), decode(&content)) {
            (Ok(name), Ok(schedule)) => schedules.restore(name, schedule),
            _ => return Err(StateFileError::Content { what: "schedule" }),
        }
    }
    Ok(schedules)
}

fn load_tombstones(db: &Connection) -> Result<Tombstones, StateFileError> {
    let mut tombstones = Tombstones::default();
    let mut statement = db.prepare("SELECT key, revision, sum FROM tombstone ORDER BY key")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (key, revision) = (key(row)?, number(row, 1)?);
        compare(row, 2, &sum(&[key.as_bytes()], &[revision]))?;
        tombstones.restore(key, Revision::new(revision));
    }
    tombstones.restore_horizon(meta::get(db, HORIZON)?);
    Ok(tombstones)
}

fn key(row: &Row<'_>) -> Result<Key, rusqlite::Error> {
    let bytes = row.get_ref(0)?.as_blob()?;
    Key::new(Bytes::copy_from_slice(bytes)).map_err(|error| damaged(0, error))
}
