//! The file of a shard's state: SQLite, written in large steps.
//!
//! Promises that a flush is visible and durable all at once: keys, sessions, leases,
//! header, members and the last applied entry are one SQLite transaction. It is not fsynced: [`sync`] is for what must
//! not be lost, and checkpoints are rare. Leaves out what is only in memory (`buffer.rs`).
//!
//! After an error the half-done flush is rolled back, and memory is ahead of the file: the state
//! may be closed, nothing else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aspen_core::{
    Alias, ComponentHash, Key, KeyRange, Name, Record, Resident, ResidentChanges, Timestamp, encode,
};
use bytes::Bytes;
use rusqlite::Connection;
use snafu::ResultExt;

use crate::error::{StateStorageSnafu, StoreError};
use crate::files::{beside, sync_folder, sync_if_present};
use crate::layer::{Layers, Merged};
use crate::resident_store::ResidentStore;
use crate::schema::{
    self, INLINE_BYTES_MAX, MEMBERSHIP, OWNER, Owner, PROGRESS, Progress, Unusable,
};
use crate::types::{LogId, StoredMembership};
use crate::view::{alias_sum, record_sum};

/// The write-ahead log is copied into the database when it has grown by this much: an fsync of
/// the state every 64 MiB of changes, some hundred thousand small entries.
const CHECKPOINT_BYTES: u64 = 64 << 20;

/// How long a checkpoint waits for those who read: much longer than apply reads for one batch. If
/// it was too short, as during a snapshot, the rest comes with the next one.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(100);

const SET: &str =
    "INSERT INTO kv VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (key) DO UPDATE SET
    value = excluded.value, version = excluded.version,
    create_revision = excluded.create_revision, mod_revision = excluded.mod_revision,
    lease = excluded.lease, sum = excluded.sum";

const SET_LARGE: &str = "INSERT INTO large VALUES (?1, ?2)
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const REMOVE_LARGE: &str = "DELETE FROM large WHERE key = ?1";

/// Everything that some whole batches changed.
pub struct Flush {
    pub layers: Layers,
    pub resident: ResidentChanges,
    pub progress: Progress,
    pub membership: StoredMembership,
}

/// The file of one shard's state, open for writing.
pub struct SqliteState {
    db: Connection,
    path: PathBuf,
    progress: Progress,
    membership: StoredMembership,
    resident: Resident,
    resident_store: ResidentStore,
    /// Length of the write-ahead log at which the next checkpoint is due.
    checkpoint_at: u64,
}

impl SqliteState {
    /// Opens the state in file `path`; returns whose it is too. With `check`, damaged pages are
    /// looked for, which reads the whole file.
    pub fn open(path: &Path, check: bool) -> Result<(Self, Owner), Unusable> {
        let db = schema::open(path)?;
        if check {
            schema::check(&db)?;
        }
        let owner = schema::get(&db, OWNER)?;
        let progress = schema::get(&db, PROGRESS)?;
        let membership = schema::get(&db, MEMBERSHIP)?;
        let (resident_store, resident) = ResidentStore::load(&db)?;
        let (path, checkpoint_at) = (path.to_path_buf(), CHECKPOINT_BYTES);
        let state =
            Self { db, path, progress, membership, resident, resident_store, checkpoint_at };
        Ok((state, owner))
    }

    /// Makes the state this owner's: it came with a snapshot of another replica.
    pub fn set_owner(&mut self, owner: &Owner) -> Result<(), Unusable> {
        schema::put(&self.db, OWNER, owner)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How far the file got.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// The last applied entry in the file.
    pub fn applied(&self) -> Option<LogId> {
        self.progress.applied
    }

    /// The members as of that entry.
    pub fn membership(&self) -> &StoredMembership {
        &self.membership
    }

    /// When the next lease is over or schedule due, as it was when the file was opened.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.resident.next_due()
    }

    /// What lives in memory, as it was when the file was opened; it is given out once.
    pub fn take_resident(&mut self) -> Resident {
        std::mem::take(&mut self.resident)
    }

    /// Writes `flush`, and checkpoints if that is due.
    pub fn write(&mut self, flush: &Flush) -> Result<(), StoreError> {
        let written = self.write_all(flush).map_err(Unusable::into_sqlite);
        if written.is_err() {
            // If even this fails, closing the file does it.
            let _: Result<(), rusqlite::Error> = self.run("ROLLBACK");
        }
        let path = &self.path;
        written.context(StateStorageSnafu { what: "writing a flush", path })?;
        self.progress = flush.progress;
        self.membership = flush.membership.clone();
        self.checkpoint_if_due()
    }

    fn write_all(&mut self, flush: &Flush) -> Result<(), Unusable> {
        let Flush { layers, resident, progress, membership } = flush;
        self.run("BEGIN IMMEDIATE")?;
        for (key, record) in Merged::new(layers.newest_first(), &KeyRange::all(), false) {
            match record {
                Some(record) => self.set(key, record)?,
                None => self.remove(key)?,
            }
        }
        for layer in layers.oldest_first() {
            for (hash, bytes) in &layer.components {
                self.write_component(hash, bytes.as_ref())?;
            }
            for (name, alias) in &layer.aliases {
                self.write_alias(name, alias.as_deref())?;
            }
        }
        self.resident_store.store(&self.db, resident)?;
        schema::put(&self.db, PROGRESS, progress)?;
        schema::put(&self.db, MEMBERSHIP, membership)?;
        Ok(self.run("COMMIT")?)
    }

    fn set(&self, key: &Key, record: &Record) -> Result<(), rusqlite::Error> {
        let Record { value, version, create_revision, mod_revision, lease } = record;
        let (key_bytes, value_bytes) = (key.as_bytes(), value.as_bytes());
        let is_large = key_bytes.len() + value_bytes.len() > INLINE_BYTES_MAX;
        match is_large {
            true => self.db.prepare_cached(SET_LARGE)?.execute([key_bytes, value_bytes])?,
            // It may have been large before.
            false => self.db.prepare_cached(REMOVE_LARGE)?.execute([key_bytes])?,
        };
        let set = self.db.prepare_cached(SET)?.execute((
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

    /// The file may never have had the key: then it was created and deleted since the last flush.
    fn remove(&self, key: &Key) -> Result<(), rusqlite::Error> {
        for remove in ["DELETE FROM kv WHERE key = ?1", REMOVE_LARGE] {
            self.db.prepare_cached(remove)?.execute([key.as_bytes()])?;
        }
        Ok(())
    }

    /// Stores a component, or removes it.
    fn write_component(
        &self,
        hash: &ComponentHash,
        bytes: Option<&Bytes>,
    ) -> Result<(), rusqlite::Error> {
        let written = match bytes {
            Some(bytes) => {
                let sql = "INSERT OR IGNORE INTO component VALUES (?1, ?2)";
                self.db.prepare_cached(sql)?.execute((hash.as_bytes(), &bytes[..]))
            }
            None => {
                let sql = "DELETE FROM component WHERE hash = ?1";
                self.db.prepare_cached(sql)?.execute([hash.as_bytes()])
            }
        };
        written.map(|_| ())
    }

    /// Stores a name, or removes it.
    fn write_alias(&self, name: &Name, alias: Option<&Alias>) -> Result<(), rusqlite::Error> {
        let written = match alias {
            Some(alias) => {
                let (sql, row) =
                    ("INSERT OR REPLACE INTO alias VALUES (?1, ?2, ?3)", encode(alias));
                let sum = alias_sum(name.as_str(), &row);
                self.db.prepare_cached(sql)?.execute((name.as_str(), &row[..], sum))
            }
            None => {
                let sql = "DELETE FROM alias WHERE name = ?1";
                self.db.prepare_cached(sql)?.execute([name.as_str()])
            }
        };
        written.map(|_| ())
    }

    fn checkpoint_if_due(&mut self) -> Result<(), StoreError> {
        if self.wal_bytes() >= self.checkpoint_at {
            let (what, path) = ("checkpointing", &self.path);
            self.checkpoint().context(StateStorageSnafu { what, path })?;
            // Readers may have held it back.
            self.checkpoint_at = self.wal_bytes() + CHECKPOINT_BYTES;
        }
        Ok(())
    }

    /// Copies the whole write-ahead log into the database, durably, and empties it, unless readers
    /// hold it back for long.
    pub fn checkpoint(&self) -> Result<(), rusqlite::Error> {
        self.db.busy_timeout(CHECKPOINT_WAIT)?;
        self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        #[cfg(madsim)]
        crate::sim_files::database_synced(&self.path)
            .expect("the simulation's files can be copied");
        self.db.busy_timeout(Duration::ZERO)
    }

    /// Closes the database.
    pub fn close(self) -> Result<(), Unusable> {
        schema::close(self.db)?;
        #[cfg(madsim)]
        crate::sim_files::database_synced(&self.path)
            .expect("the simulation's files can be copied");
        Ok(())
    }

    fn wal_bytes(&self) -> u64 {
        std::fs::metadata(beside(&self.path, "-wal")).map_or(0, |wal| wal.len())
    }

    fn run(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.db.prepare_cached(sql)?.execute([]).map(|_| ())
    }
}

/// Makes everything durable that was written to the state in file `path`, while others go on
/// writing to it.
pub fn sync(path: &Path) -> Result<(), StoreError> {
    let wal = beside(path, "-wal");
    sync_if_present(&wal)?;
    sync_folder(&wal)
}

#[cfg(test)]
mod tests {
    use aspen_core::{LeaseId, Revision, Value, Version, View};

    use super::*;
    use crate::error::chain;
    use crate::layer::Layer;
    use crate::view::SqliteView;

    fn record(bytes: usize) -> Record {
        Record {
            value: Value::new(vec![1; bytes]).unwrap(),
            version: Version::new(1),
            create_revision: Revision::new(1),
            mod_revision: Revision::new(1),
            lease: LeaseId::NONE,
        }
    }

    fn flush(records: &[(&str, Option<Record>)]) -> Flush {
        let mut layer = Layer::default();
        for (key, record) in records {
            layer.records.insert(Key::try_from(*key).unwrap(), record.clone());
        }
        let mut layers = Layers::default();
        layers.push(layer, 0);
        let (progress, membership) = (Progress::default(), StoredMembership::default());
        Flush { layers, resident: ResidentChanges::default(), progress, membership }
    }

    fn get(state: &SqliteState, key: &str) -> Option<Record> {
        SqliteView(&state.db).get(&Key::try_from(key).unwrap()).unwrap()
    }

    #[test]
    fn storage_state_on_a_full_disk_keeps_the_last_whole_flush() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        schema::create(&path, &schema::tests::OWNER).unwrap();
        let (mut state, _) = SqliteState::open(&path, false).unwrap();
        state.write(&flush(&[("first", Some(record(10)))])).unwrap();
        state.db.pragma_update(None, "max_page_count", 20).unwrap();
        let large = flush(&[("a", Some(record(10))), ("first", Some(record(500_000)))]);
        let error = chain(&state.write(&large).unwrap_err());
        assert!(error.contains("database or disk is full"), "{error}");
        assert!(error.contains("state.db: writing a flush failed"), "{error}");
        state.close().unwrap();
        let (mut state, _) = SqliteState::open(&path, true).unwrap();
        assert_eq!((get(&state, "first"), get(&state, "a")), (Some(record(10)), None));
        state.write(&large).unwrap();
        assert_eq!(get(&state, "first"), Some(record(500_000)));
        state.write(&flush(&[("first", None), ("never", None)])).unwrap();
        assert_eq!(get(&state, "first"), None);
    }
}
