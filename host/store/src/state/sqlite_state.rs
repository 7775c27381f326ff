//! The file of a shard's state: SQLite, written in large steps.
//!
//! Promises that a flush is visible as a whole and survives as a whole: keys, sessions, leases, header,
//! members and the last applied entry are one SQLite transaction. It is not fsynced: [`sync`] is for
//! states that must not be lost, and checkpoints are rare. Leaves out the writes that are only in
//! memory (`buffer`).
//!
//! After an error the half-done flush is rolled back, and memory is ahead of the file: the state
//! may be closed, nothing else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aspen_core::ids::Timestamp;
use aspen_core::key::KeyRange;
use aspen_core::state::{Resident, ResidentChanges};
use rusqlite::Connection;
use snafu::ResultExt;

use super::check::check;
use super::error::StateFileError;
use super::meta::{self, MEMBERSHIP, OWNER, Owner, PROGRESS, Progress};
use super::resident_store::ResidentStore;
use super::{records, schema};
use crate::error::{StateStorageSnafu, StoreError};
use crate::files::{sync_folder, sync_if_present, with_suffix};
use crate::limits::{CHECKPOINT_BYTES, CHECKPOINT_WAIT};
use crate::memtable::{Memtables, Merged};
use crate::types::{LogId, StoredMembership};

/// All changes of some whole batches.
pub struct Flush {
    pub memtables: Memtables,
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
    /// Opens the state in file `path`; returns its owner too. With `is_checked`
    /// it looks for damaged pages, which reads the whole file.
    pub fn open(path: &Path, is_checked: bool) -> Result<(Self, Owner), StateFileError> {
        let db = schema::open(path)?;
        if is_checked {
            check(&db)?;
        }
        let owner = meta::get(&db, OWNER)?;
        let progress = meta::get(&db, PROGRESS)?;
        let membership = meta::get(&db, MEMBERSHIP)?;
        let (resident_store, resident) = ResidentStore::load(&db)?;
        let (path, checkpoint_at) = (path.to_path_buf(), CHECKPOINT_BYTES);
        let state =
            Self { db, path, progress, membership, resident, resident_store, checkpoint_at };
        Ok((state, owner))
    }

    /// Makes the state this owner's: it came with a snapshot of another replica.
    pub fn set_owner(&mut self, owner: &Owner) -> Result<(), StateFileError> {
        meta::put(&self.db, OWNER, owner)
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the numbers as of the last entry in the file.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Returns the last applied entry in the file.
    pub fn applied(&self) -> Option<LogId> {
        self.progress.applied
    }

    /// Returns the members as of that entry.
    pub fn membership(&self) -> &StoredMembership {
        &self.membership
    }

    /// Returns the time at which the next lease ends or schedule is due, as of the opening of the file.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.resident.next_due()
    }

    /// Returns the resident parts as of the opening of the file; they are given out once.
    pub fn take_resident(&mut self) -> Resident {
        std::mem::take(&mut self.resident)
    }

    /// Writes `flush`, and checkpoints if a checkpoint is due.
    pub fn write(&mut self, flush: &Flush) -> Result<(), StoreError> {
        let written = self.write_all(flush).map_err(StateFileError::into_sqlite);
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

    fn write_all(&mut self, flush: &Flush) -> Result<(), StateFileError> {
        let Flush { memtables, resident, progress, membership } = flush;
        self.run("BEGIN IMMEDIATE")?;
        for (key, record) in Merged::new(memtables.newest_first(), &KeyRange::all(), false) {
            match record {
                Some(record) => records::set(&self.db, key, record)?,
                None => records::remove(&self.db, key)?,
            }
        }
        for memtable in memtables.oldest_first() {
            for (hash, bytes) in &memtable.components {
                records::write_component(&self.db, hash, bytes.as_ref())?;
            }
            for (name, alias) in &memtable.aliases {
                records::write_alias(&self.db, name, alias.as_deref())?;
            }
        }
        self.resident_store.store(&self.db, resident)?;
        meta::put(&self.db, PROGRESS, progress)?;
        meta::put(&self.db, MEMBERSHIP, membership)?;
        Ok(self.run("COMMIT")?)
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
        crate::files::sim_files::database_synced(&self.path)
            .expect("the simulation's files can be copied");
        self.db.busy_timeout(Duration::ZERO)
    }

    /// Closes the database.
    pub fn close(self) -> Result<(), StateFileError> {
        schema::close(self.db)?;
        #[cfg(madsim)]
        crate::files::sim_files::database_synced(&self.path)
            .expect("the simulation's files can be copied");
        Ok(())
    }

    fn wal_bytes(&self) -> u64 {
        std::fs::metadata(with_suffix(&self.path, "-wal")).map_or(0, |wal| wal.len())
    }

    fn run(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.db.prepare_cached(sql)?.execute([]).map(|_| ())
    }
}

/// Makes everything durable that was written to the state in file `path`, while a flush may go on
/// writing to the file.
pub fn sync(path: &Path) -> Result<(), StoreError> {
    let wal = with_suffix(path, "-wal");
    sync_if_present(&wal)?;
    sync_folder(&wal)
}

#[cfg(test)]
mod tests {
    use aspen_core::ids::{LeaseId, Revision, Version};
    use aspen_core::key::{Key, Value};
    use aspen_core::view::{Record, View};

    use super::*;
    use crate::error::chain;
    use crate::memtable::Memtable;
    use crate::state::view::SqliteView;

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
        let mut memtable = Memtable::default();
        for (key, record) in records {
            memtable.records.insert(Key::try_from(*key).unwrap(), record.clone());
        }
        let mut memtables = Memtables::default();
        memtables.push(memtable, 0);
        let (progress, membership) = (Progress::default(), StoredMembership::default());
        Flush { memtables, resident: ResidentChanges::default(), progress, membership }
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
