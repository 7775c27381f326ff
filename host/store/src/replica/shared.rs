//! The parts of a replica's state that apply, readers and snapshots share, in one structure.
//!
//! Promises that the first failure is remembered: after it the replica applies and answers nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aspen_core::view::HostError;
use rusqlite::Connection;

use super::call_recorder::CallRecorder;
use super::read_transaction::ReadTransaction;
use super::verifications::Verifications;
use crate::buffer::LiveState;
use crate::files;
use crate::limits::IDLE_CONNECTIONS_MAX;
use crate::snapshot::{SnapshotDue, Snapshots};
use crate::state::Owner;
use crate::sync::lock;

/// The shared parts of one replica's state.
pub struct Shared {
    pub dir: PathBuf,
    pub owner: Owner,
    pub snapshots: Snapshots,
    pub snapshot_due: SnapshotDue,
    pub live: Arc<Mutex<LiveState>>,
    /// Connections for the next reads, each with the number of its file.
    idle: Mutex<Vec<(u64, Connection)>>,
    pub calls: CallRecorder,
    pub verifications: Verifications,
}

impl Shared {
    /// Makes the shared parts of a replica that was just opened.
    pub fn new(
        dir: PathBuf,
        owner: Owner,
        snapshots: Snapshots,
        live: Arc<Mutex<LiveState>>,
    ) -> Self {
        let calls = CallRecorder::new(owner.shard);
        let (idle, verifications, snapshot_due) = Default::default();
        Self { dir, owner, snapshots, snapshot_due, live, idle, calls, verifications }
    }

    /// Remembers why the replica stops, if this is the first failure.
    pub fn fail(&self, error: &dyn std::error::Error) {
        tracing::error!("{} stops: {error}", self.owner.shard);
        lock(&self.live).status.failed.get_or_insert_with(|| error.to_string());
    }

    /// Returns why the replica stopped, if it did.
    pub fn failed(&self) -> Option<String> {
        lock(&self.live).status.failed.clone()
    }

    /// Returns the bytes of the state's file and of its write-ahead log.
    pub fn file_bytes(&self) -> u64 {
        let path = lock(&self.live).file.path.clone();
        let log = files::with_suffix(&path, "-wal");
        // A file that cannot be asked, or is being replaced, counts as empty: it is only a figure.
        [path, log].iter().filter_map(|path| Some(std::fs::metadata(path).ok()?.len())).sum()
    }

    /// Begins to read the live state, on an idle connection if there is one.
    pub fn begin_read(&self) -> Result<ReadTransaction, HostError> {
        ReadTransaction::begin(&self.live, |file| self.take_idle(file.number))
    }

    /// Begins to read the live state, on a connection of its own.
    pub fn begin_read_apart(&self) -> Result<ReadTransaction, HostError> {
        ReadTransaction::begin(&self.live, |_| None)
    }

    /// Ends a read, and keeps its connection for the next one.
    pub fn end_read(&self, transaction: ReadTransaction) -> Result<(), HostError> {
        let connection = transaction.end()?;
        let mut idle = lock(&self.idle);
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(connection);
        }
        Ok(())
    }

    /// Closes the idle connections.
    pub fn close_idle(&self) {
        lock(&self.idle).clear();
    }

    fn take_idle(&self, number: u64) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        idle.retain(|(of, _)| *of == number);
        idle.pop().map(|(_, db)| db)
    }
}
