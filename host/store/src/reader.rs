//! Reading a shard's state beside apply, and asking how the shard is.
//!
//! Promises that one read sees one revision, the latest committed batch or a later one, and that
//! readers neither wait for apply nor make it wait. Survives the installation of a snapshot: the
//! next read uses the new file. Whether a read is linearizable is the caller's affair: it waits
//! until what it wants to see is applied.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aspen_core::{Fault, Header, ShardId, View};
use rusqlite::Connection;
use tokio::sync::mpsc;

use crate::error::StoreError;
use crate::log::lock;
use crate::recovery::StateFile;
use crate::schema::{self, Owner, PROGRESS, Progress, Unusable};
use crate::snapshot::Snapshots;
use crate::snapshot_transfer::SnapshotReceiver;
use crate::types::LogId;
use crate::view::SqliteView;

/// Connections that are kept open for the next reads. More may read at once, and open their own.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// How often a read begins anew because a snapshot was installed meanwhile: once is rare.
const ATTEMPTS_MAX: u32 = 5;

/// What the parts of a shard's state machine know of each other.
pub struct Shared {
    pub dir: PathBuf,
    pub owner: Owner,
    pub snapshots: Snapshots,
    pub status: Mutex<Status>,
    pub live: Mutex<StateFile>,
    pub idle: Mutex<Vec<(u64, Connection)>>,
}

/// How a replica's state is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The numbers as of the last applied batch.
    pub header: Header,
    /// The last applied entry.
    pub applied: Option<LogId>,
    /// The last entry in the current snapshot.
    pub snapshot: Option<LogId>,
    /// Why the replica stopped applying, if it did.
    pub failed: Option<String>,
}

/// Reads the state of one shard. A clone is another handle.
#[derive(Clone)]
pub struct StateReader {
    pub(crate) shared: Arc<Shared>,
    /// Never sent through: its other end is dropped when the apply worker has ended.
    pub(crate) worker: mpsc::Sender<()>,
}

impl StateReader {
    /// Runs `read` on the state as it is now. Blocks for the disk as long as `read` reads.
    pub fn read<R>(
        &self,
        read: impl FnOnce(&dyn View, Header) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let (number, db, header) = self.begin()?;
        let result = read(&SqliteView(&db), header)?;
        let end = db.execute_batch("COMMIT");
        end.map_err(|error| Fault::new("ending a read", error))?;
        let mut idle = lock(&self.shared.idle);
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push((number, db));
        }
        Ok(result)
    }

    /// How the shard is.
    pub fn status(&self) -> Status {
        lock(&self.shared.status).clone()
    }

    /// The shard.
    pub fn shard(&self) -> ShardId {
        self.shared.owner.shard
    }

    /// Starts receiving a snapshot of this length and checksum.
    pub fn receive_snapshot(
        &self,
        bytes: u64,
        checksum: [u8; 32],
    ) -> Result<SnapshotReceiver, StoreError> {
        self.shared.snapshots.receive(bytes, checksum)
    }

    /// Waits until the state machine was dropped and its file is closed: then its folder may be
    /// opened again. Drop the [`crate::Raft`] or shut it down before.
    pub async fn closed(&self) {
        self.worker.closed().await;
        lock(&self.shared.idle).clear();
    }

    /// A connection inside a read transaction on the live file.
    fn begin(&self) -> Result<(u64, Connection, Header), Fault> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let file = lock(&self.shared.live).clone();
            let begun = self.begin_on(&file);
            // The file may have been replaced before the transaction began. Then its write-ahead
            // log may be gone already, and what was read is of the past.
            let replaced = *lock(&self.shared.live) != file;
            match begun {
                Ok((db, header)) if !replaced => return Ok((file.number, db, header)),
                Err(error) if !replaced || attempt == ATTEMPTS_MAX => {
                    return Err(Fault::new("starting a read", error));
                }
                _ => {}
            }
        }
    }

    fn begin_on(&self, file: &StateFile) -> Result<(Connection, Header), Unusable> {
        let db = match self.take_idle(file.number) {
            Some(db) => db,
            None => schema::open_read_only(&file.path)?,
        };
        db.execute_batch("BEGIN")?;
        let Progress { header, .. } = schema::get(&db, PROGRESS)?;
        Ok((db, header))
    }

    fn take_idle(&self, number: u64) -> Option<Connection> {
        let mut idle = lock(&self.shared.idle);
        idle.retain(|(of, _)| *of == number);
        idle.pop().map(|(_, db)| db)
    }
}
