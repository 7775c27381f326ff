//! A shard's state in SQLite, as `apply` changes it.
//!
//! Promises that a batch of entries becomes visible and durable all at once: keys, sessions,
//! header, members and the last applied entry are one SQLite transaction. Nothing is fsynced here;
//! [`SqliteState::sync`] is for what must not be lost, and checkpoints are rare.
//!
//! After an error the half-done batch is rolled back by dropping the state: memory (header,
//! sessions) is then ahead of the file and must not be used again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aspen_core::{
    Alias, Caller, ComponentHash, Fault, Header, Key, KeyRange, Name, Record, SessionChange,
    SessionId, SessionImage, Sessions, State, Timestamp, View,
};
use bytes::Bytes;
use rusqlite::Connection;

use crate::error::StoreError;
use crate::files::{beside, sync_folder, sync_if_present};
use crate::schema::{self, MEMBERSHIP, OWNER, Owner, PROGRESS, Progress, Unusable, ordered};
use crate::types::{LogId, StoredMembership};
use crate::view::{SqliteView, number};

/// The write-ahead log is copied into the database when it has grown by this much: an fsync of
/// the state every 64 MiB of changes, some hundred thousand small entries.
const CHECKPOINT_BYTES: u64 = 64 << 20;

/// Outcomes that no request can ask for any more are deleted this many at a time: deleting each
/// alone would cost as much as writing it.
const PRUNE_OUTCOMES: u64 = 256;

const SET: &str = "INSERT INTO kv VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (key) DO UPDATE SET
    value = excluded.value, version = excluded.version,
    create_revision = excluded.create_revision, mod_revision = excluded.mod_revision";

/// The state of one shard, open for writing.
pub struct SqliteState {
    db: Connection,
    path: PathBuf,
    header: Header,
    applied: Option<LogId>,
    membership: StoredMembership,
    sessions: Sessions,
    /// Per session, up to which sequence number its outcomes are deleted from the table.
    pruned: BTreeMap<SessionId, u64>,
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
        let sessions = load_sessions(&db)?;
        let (path, pruned) = (path.to_path_buf(), BTreeMap::new());
        let checkpoint_at = CHECKPOINT_BYTES;
        let state = Self { db, path, header, applied, membership, sessions, pruned, checkpoint_at };
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
        let changes = self.sessions.take_changes();
        let commit = || -> Result<(), Unusable> {
            for change in &changes {
                self.store_change(change)?;
            }
            let Self { header, applied, .. } = *self;
            schema::put(&self.db, PROGRESS, &Progress { header, applied })?;
            Ok(self.run("COMMIT")?)
        };
        commit().map_err(|error| Fault::new("writing a batch", error))?;
        self.prune(&changes);
        Ok(())
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

    fn store_change(&self, change: &SessionChange) -> Result<(), rusqlite::Error> {
        let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
            self.db.prepare_cached(sql)?.execute(params).map(|_| ())
        };
        match change {
            SessionChange::Kept { session, sequence, outcome } => run(
                "INSERT OR REPLACE INTO outcome VALUES (?1, ?2, ?3)",
                &[&session.get().cast_signed(), &ordered(*sequence), &&outcome[..]],
            ),
            SessionChange::Touched(SessionImage { session, owner, used, floor }) => {
                let (session, used) = (session.get().cast_signed(), used.get().cast_signed());
                run(
                    "INSERT OR REPLACE INTO session VALUES (?1, ?2, ?3, ?4)",
                    &[&session, owner.as_bytes(), &used, &floor.cast_signed()],
                )?;
                self.delete_forgotten(session, *floor)
            }
            SessionChange::Closed(session) => {
                let session = session.get().cast_signed();
                run("DELETE FROM outcome WHERE session = ?1", &[&session])?;
                run("DELETE FROM session WHERE id = ?1", &[&session])
            }
        }
    }

    /// Deletes a session's outcomes up to `floor`, once there are enough of them.
    fn delete_forgotten(&self, session: i64, floor: u64) -> Result<(), rusqlite::Error> {
        let id = SessionId::new(session.cast_unsigned());
        let pruned = self.pruned.get(&id).copied().unwrap_or_default();
        if floor < pruned.saturating_add(PRUNE_OUTCOMES) {
            return Ok(());
        }
        let sql = "DELETE FROM outcome WHERE session = ?1 AND sequence <= ?2";
        self.db.prepare_cached(sql)?.execute((session, ordered(floor))).map(|_| ())
    }

    /// Remembers what [`Self::delete_forgotten`] did.
    fn prune(&mut self, changes: &[SessionChange]) {
        for change in changes {
            match change {
                SessionChange::Touched(SessionImage { session, floor, .. }) => {
                    let pruned = self.pruned.entry(*session).or_default();
                    if *floor >= pruned.saturating_add(PRUNE_OUTCOMES) {
                        *pruned = *floor;
                    }
                }
                SessionChange::Closed(session) => {
                    self.pruned.remove(session);
                }
                SessionChange::Kept { .. } => {}
            }
        }
    }
}

fn load_sessions(db: &Connection) -> Result<Sessions, rusqlite::Error> {
    let mut sessions = Sessions::default();
    let mut statement = db.prepare("SELECT id, owner, used, floor FROM session ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        sessions.restore(SessionImage {
            session: SessionId::new(number(row, 0)?),
            owner: Caller::new(row.get(1)?),
            used: Timestamp::new(number(row, 2)?),
            floor: number(row, 3)?,
        });
    }
    let sql = "SELECT session, sequence, outcome FROM outcome ORDER BY session, sequence";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let session = SessionId::new(number(row, 0)?);
        let sequence = schema::from_ordered(row.get(1)?);
        sessions.restore_outcome(session, sequence, Bytes::from(row.get::<_, Vec<u8>>(2)?));
    }
    Ok(sessions)
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
        let Record { value, version, create_revision, mod_revision } = record;
        let set = || {
            self.db.prepare_cached(SET)?.execute((
                key.as_bytes(),
                value.as_bytes(),
                version.get().cast_signed(),
                create_revision.get().cast_signed(),
                mod_revision.get().cast_signed(),
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

    fn sessions(&mut self) -> &mut Sessions {
        &mut self.sessions
    }

    fn view(&self) -> &dyn View {
        self
    }
}
