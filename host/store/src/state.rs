//! A shard's state in SQLite, as `apply` changes it.
//!
//! Promises that a batch of entries becomes visible and durable all at once: keys, sessions,
//! header, members and the last applied entry are one SQLite transaction. Nothing is fsynced here;
//! [`SqliteState::sync`] is for what must not be lost, and checkpoints are rare.
//!
//! After an error the half-done batch is rolled back by dropping the state: memory (header,
//! sessions) is then ahead of the file and must not be used again.

use std::path::{Path, PathBuf};

use aspen_core::{
    Alias, ComponentHash, Fault, Header, Key, KeyRange, Name, Record, Resident, State, View,
};
use bytes::Bytes;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::files::{beside, sync_folder, sync_if_present};
use crate::schema::{self, MEMBERSHIP, OWNER, Owner, PROGRESS, Progress, Unusable};
use crate::resident_store::ResidentStore;
use crate::types::{LogId, StoredMembership};
use crate::view::SqliteView;

/// The write-ahead log is copied into the database when it has grown by this much: an fsync of
/// the state every 64 MiB of changes, some hundred thousand small entries.
const CHECKPOINT_BYTES: u64 = 64 << 20;

const SET: &str = "INSERT INTO kv VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (key) DO UPDATE SET
    value = excluded.value, version = excluded.version,
    create_revision = excluded.create_revision, mod_revision = excluded.mod_revision,
    lease = excluded.lease";

/// The state of one shard, open for writing.
pub struct SqliteState {
    db: Connection,
    path: PathBuf,
    header: Header,
    applied: Option<LogId>,
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
        let Progress { header, applied } = schema::get(&db, PROGRESS)?;
        let membership = schema::get(&db, MEMBERSHIP)?;
        let (resident_store, resident) = ResidentStore::load(&db)?;
        let (path, checkpoint_at) = (path.to_path_buf(), CHECKPOINT_BYTES);
        let state =
            Self { db, path, header, applied, membership, resident, resident_store, checkpoint_at };
        Ok((state, owner))
    }

    /// Makes the state this owner's: it came with a snapshot of another replica.
    pub fn set_owner(&mut self, owner: &Owner) -> Result<(), Unusable> {
        schema::put(&self.db, OWNER, owner)
    }

    /// The last applied entry.
    pub fn applied(&self) -> Option<LogId> {
        self.applied
    }

    /// The members as of the last applied entry.
    pub fn membership(&self) -> &StoredMembership {
        &self.membership
    }

    /// Starts a batch.
    pub fn begin(&mut self) -> Result<(), Fault> {
        self.run("BEGIN IMMEDIATE").map_err(|error| Fault::new("starting a batch", error))
    }

    /// Notes that `log_id` is applied, with the members it set, if any.
    pub fn advance(
        &mut self,
        log_id: LogId,
        membership: Option<StoredMembership>,
    ) -> Result<(), Fault> {
        self.applied = Some(log_id);
        if let Some(membership) = membership {
            self.membership = membership;
            let put = schema::put(&self.db, MEMBERSHIP, &self.membership);
            put.map_err(|error| Fault::new("writing the members", error))?;
        }
        Ok(())
    }

    /// Ends a batch: its changes become visible.
    pub fn commit(&mut self) -> Result<(), Fault> {
        let commit = || -> Result<(), Unusable> {
            self.resident_store.store(&self.db, &mut self.resident)?;
            let Self { header, applied, .. } = *self;
            schema::put(&self.db, PROGRESS, &Progress { header, applied })?;
            Ok(self.run("COMMIT")?)
        };
        commit().map_err(|error| Fault::new("writing a batch", error))
    }

    /// Gives up a batch: the file is as it was before, memory is not.
    pub fn roll_back(&mut self) {
        // If even this fails, closing the file does it.
        let _: Result<(), rusqlite::Error> = self.run("ROLLBACK");
    }

    /// Checkpoints if it is due.
    pub fn checkpoint_if_due(&mut self) -> Result<(), Fault> {
        let bytes = self.wal_bytes();
        if bytes >= self.checkpoint_at {
            // Readers may hold back a part; the rest comes with the next one.
            let checkpoint = self.db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
            checkpoint.map_err(|error| Fault::new("checkpointing the state", error))?;
            self.checkpoint_at = bytes + CHECKPOINT_BYTES;
        } else if bytes + CHECKPOINT_BYTES < self.checkpoint_at {
            self.checkpoint_at = bytes + CHECKPOINT_BYTES;
        }
        Ok(())
    }

    /// Copies the whole write-ahead log into the database, durably; for when nobody reads.
    pub fn checkpoint(&self) -> Result<(), rusqlite::Error> {
        self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
    }

    /// Makes everything applied so far durable.
    pub fn sync(&self) -> Result<(), StoreError> {
        let wal = beside(&self.path, "-wal");
        sync_if_present(&wal)?;
        sync_folder(&wal)
    }

    /// Closes the database.
    pub fn close(self) -> Result<(), Unusable> {
        schema::close(self.db)
    }

    fn wal_bytes(&self) -> u64 {
        std::fs::metadata(beside(&self.path, "-wal")).map_or(0, |wal| wal.len())
    }

    fn run(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.db.prepare_cached(sql)?.execute([]).map(|_| ())
    }
}

impl View for SqliteState {
    fn get(&self, key: &Key) -> Result<Option<Record>, Fault> {
        SqliteView(&self.db).get(key)
    }

    fn scan(
        &self,
        range: &KeyRange,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], Record) -> bool,
    ) -> Result<(), Fault> {
        SqliteView(&self.db).scan(range, reverse, visit)
    }

    fn component(&self, hash: &ComponentHash) -> Result<Option<Bytes>, Fault> {
        SqliteView(&self.db).component(hash)
    }

    fn alias(&self, name: &Name) -> Result<Option<Alias>, Fault> {
        SqliteView(&self.db).alias(name)
    }

    fn aliases(&self) -> Result<Vec<(Name, Alias)>, Fault> {
        SqliteView(&self.db).aliases()
    }
}

impl State for SqliteState {
    fn set(&mut self, key: &Key, record: Record) -> Result<(), Fault> {
        let Record { value, version, create_revision, mod_revision, lease } = record;
        let set = || {
            self.db.prepare_cached(SET)?.execute((
                key.as_bytes(),
                value.as_bytes(),
                version.get().cast_signed(),
                create_revision.get().cast_signed(),
                mod_revision.get().cast_signed(),
                lease.get().cast_signed(),
            ))
        };
        set().map(|_| ()).map_err(|error| Fault::new("writing a key", error))
    }

    fn remove(&mut self, key: &Key) -> Result<(), Fault> {
        let remove = || -> Result<usize, rusqlite::Error> {
            self.db.prepare_cached("DELETE FROM kv WHERE key = ?1")?.execute([key.as_bytes()])
        };
        let removed = remove().map_err(|error| Fault::new("removing a key", error))?;
        assert_eq!(removed, 1, "only present keys are removed");
        Ok(())
    }

    fn set_component(&mut self, hash: &ComponentHash, bytes: &Bytes) -> Result<(), Fault> {
        let sql = "INSERT OR IGNORE INTO component VALUES (?1, ?2)";
        let set = || self.db.prepare_cached(sql)?.execute((hash.as_bytes(), &bytes[..]));
        set().map(|_| ()).map_err(|error| Fault::new("writing a component", error))
    }

    fn set_alias(&mut self, name: &Name, alias: &Alias) -> Result<(), Fault> {
        let sql = "INSERT OR REPLACE INTO alias VALUES (?1, ?2, ?3)";
        let uploaded = alias.uploaded.get().cast_signed();
        let values = (name.as_str(), alias.component.as_bytes(), uploaded);
        let set = || self.db.prepare_cached(sql)?.execute(values);
        set().map(|_| ()).map_err(|error| Fault::new("writing a name", error))
    }

    fn header(&self) -> Header {
        self.header
    }

    fn set_header(&mut self, header: Header) {
        self.header = header;
    }

    fn resident(&self) -> &Resident {
        &self.resident
    }

    fn resident_mut(&mut self) -> &mut Resident {
        &mut self.resident
    }

    fn view(&self) -> &dyn View {
        self
    }
}

#[cfg(test)]
mod tests {
    use aspen_core::{LeaseId, Revision, Value, Version};

    use super::*;
    use crate::error::chain;

    fn record(bytes: usize) -> Record {
        Record {
            value: Value::new(vec![1; bytes]).unwrap(),
            version: Version::new(1),
            create_revision: Revision::new(1),
            mod_revision: Revision::new(1),
            lease: LeaseId::NONE,
        }
    }

    #[test]
    fn storage_state_on_a_full_disk_keeps_the_last_whole_batch() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        schema::create(&path, &schema::tests::OWNER).unwrap();
        let (mut state, _) = SqliteState::open(&path, false).unwrap();
        let (first, second) = (Key::try_from("first").unwrap(), Key::try_from("second").unwrap());
        state.begin().unwrap();
        state.set(&first, record(10)).unwrap();
        state.commit().unwrap();
        state.db.pragma_update(None, "max_page_count", 20).unwrap();
        state.begin().unwrap();
        state.set(&second, record(10)).unwrap();
        let fault = state.set(&first, record(500_000)).unwrap_err();
        assert!(chain(&fault).contains("database or disk is full"), "{}", chain(&fault));
        state.roll_back();
        state.close().unwrap();
        let (mut state, _) = SqliteState::open(&path, true).unwrap();
        assert_eq!(state.get(&first).unwrap(), Some(record(10)));
        assert_eq!(state.get(&second).unwrap(), None);
        state.begin().unwrap();
        state.set(&first, record(500_000)).unwrap();
        state.commit().unwrap();
        assert_eq!(state.get(&first).unwrap(), Some(record(500_000)));
    }
}
