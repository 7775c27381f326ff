//! A read of a shard's state as of one batch: a transaction on the file, and the memtables over it.
//!
//! Promises one revision: the memtables are taken after the transaction began. They fit if no flush
//! ended in between, because then they hold everything after the entry that the file reaches. Survives
//! the installation of a snapshot: the next transaction uses the new file.

use std::sync::Mutex;

use aspen_core::state::Header;
use aspen_core::view::HostError;
use rusqlite::Connection;

use crate::buffer::{LiveState, OverlayView};
use crate::memtable::Memtables;
use crate::state::{self, PROGRESS, Progress, StateFile, StateFileError};
use crate::sync::lock;
use crate::types::LogId;

/// A connection in a read transaction, and the memtables over its file.
pub struct ReadTransaction {
    /// The number of the file.
    number: u64,
    db: Connection,
    memtables: Memtables,
    header: Header,
}

impl ReadTransaction {
    /// Begins to read the live state, on a connection that is `kept` for its file, or a new one.
    pub fn begin(
        live: &Mutex<LiveState>,
        kept: impl Fn(&StateFile) -> Option<Connection>,
    ) -> Result<Self, HostError> {
        let file = lock(live).file.clone();
        let begun = begin_on(&file, kept(&file));
        let live = lock(live);
        // The file may have been replaced before the transaction began. Then its write-ahead log
        // may be gone already, and the transaction shows the past.
        let (file, db) = match begun {
            Ok((db, reached)) if live.file == file && reached >= live.flushed() => (file, db),
            // Once more, while nothing can change.
            _ => {
                let file = live.file.clone();
                let begun = begin_on(&file, kept(&file));
                let (db, _) = begun.map_err(|error| HostError::new("starting a read", error))?;
                (file, db)
            }
        };
        let (number, memtables, header) = (file.number, live.memtables(), live.status.header);
        Ok(Self { number, db, memtables, header })
    }

    /// Returns the state as of the transaction.
    pub fn view(&self) -> OverlayView<'_> {
        OverlayView { batch: None, memtables: &self.memtables, db: &self.db }
    }

    /// Returns the numbers of the state as of the transaction.
    pub fn header(&self) -> Header {
        self.header
    }

    /// Returns the connection, which reads the file alone.
    pub fn db(&self) -> &Connection {
        &self.db
    }

    /// Ends the transaction; returns the connection for the next one, and the number of its file.
    pub fn end(self) -> Result<(u64, Connection), HostError> {
        let end = self.db.prepare_cached("COMMIT").and_then(|mut end| end.execute([]));
        end.map_err(|error| HostError::new("ending a read", error))?;
        Ok((self.number, self.db))
    }
}

/// Begins a transaction; returns the last applied entry in the file too.
fn begin_on(
    file: &StateFile,
    kept: Option<Connection>,
) -> Result<(Connection, Option<LogId>), StateFileError> {
    let db = match kept {
        Some(db) => db,
        None => state::open_read_only(&file.path)?,
    };
    db.prepare_cached("BEGIN")?.execute([])?;
    let Progress { applied, .. } = state::get(&db, PROGRESS)?;
    Ok((db, applied))
}
