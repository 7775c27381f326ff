//! Reading a shard's state beside apply, and asking how the shard is.
//!
//! Promises that one read sees one revision, that of the latest batch or a later one, and that
//! readers neither wait for apply nor make it wait. Survives the installation of a snapshot: the
//! next read uses the new file. Whether a read is linearizable is the caller's affair: it waits
//! until what it wants to see is applied.
//!
//! A read has a transaction on the file and, taken after that began, the layers over it. They fit
//! if no flush ended in between: the layers then hold everything after what the file reached.

use std::mem;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use aspen_core::{
    Call, CallNote, CallNotes, Called, Caller, ComponentRef, Digest, Fault, Fuel,
    FunctionStatistics, Header, LogIndex, Resident, ShardId, State, Timestamp, Verification, View,
};
use openraft::async_runtime::AsyncRuntime;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::apply_worker::Job;
use crate::buffer::BufferedState;
use crate::divergence::{self, Divergence};
use crate::error::{StoreError, chain};
use crate::files;
use crate::layer::Layers;
use crate::live::{Live, Status};
use crate::log::lock;
use crate::overlay::OverlayView;
use crate::recovery::StateFile;
use crate::runtime::Runtime;
use crate::schema::{self, Owner, PROGRESS, Progress, Unusable};
use crate::snapshot::Snapshots;
use crate::snapshot_due::SnapshotDue;
use crate::snapshot_transfer::SnapshotReceiver;
use crate::types::LogId;
use crate::verification::Verifications;

/// Connections that are kept open for the next reads. More may read at once, and open their own.
const IDLE_CONNECTIONS_MAX: usize = 8;

/// What the parts of a shard's state machine know of each other.
pub struct Shared {
    pub dir: PathBuf,
    pub owner: Owner,
    pub snapshots: Snapshots,
    pub snapshot_due: SnapshotDue,
    pub live: Arc<Mutex<Live>>,
    pub idle: Mutex<Vec<(u64, Connection)>>,
    /// What calls did that are applied.
    pub notes: Mutex<CallNotes>,
    /// Hashes of the whole state that were asked for.
    pub verifications: Verifications,
    /// Told of each of them.
    pub on_call: OnceLock<OnCall>,
}

/// Is told of a call that was applied: how long that took by this machine's clock, and the fuel charged,
/// if the function ran to an end.
pub type OnCall = Box<dyn Fn(&Call, Duration, Option<Fuel>) + Send + Sync>;

impl Shared {
    pub fn new(dir: PathBuf, owner: Owner, snapshots: Snapshots, live: Arc<Mutex<Live>>) -> Self {
        let (idle, notes, verifications, on_call, snapshot_due) = Default::default();
        Self { dir, owner, snapshots, snapshot_due, live, idle, notes, verifications, on_call }
    }

    /// Remembers why the replica stops, if this is the first failure.
    pub fn fail(&self, error: &dyn std::error::Error) {
        tracing::error!("{} stops: {error}", self.owner.shard);
        lock(&self.live).status.failed.get_or_insert_with(|| error.to_string());
    }

    /// Bytes of the state's file and of the write-ahead log beside it.
    pub fn file_bytes(&self) -> u64 {
        let path = lock(&self.live).file.path.clone();
        let log = files::beside(&path, "-wal");
        // A file that cannot be asked, or is being replaced, counts as empty: it is only a figure.
        [path, log].iter().filter_map(|path| Some(std::fs::metadata(path).ok()?.len())).sum()
    }

    /// Tells of a call that is applied, and notes it. Nothing that is applied depends on how long it `took`.
    pub fn applied_call(
        &self,
        took: Duration,
        at: (LogIndex, Timestamp, Caller),
        call: Call,
        called: Option<Called>,
    ) {
        if let Some(on_call) = self.on_call.get() {
            on_call(&call, took, called.as_ref().map(|called| called.fuel));
        }
        self.note(took, at, (call.component, call.function), called);
    }

    /// Notes a call, unless it was a repeat or was not begun: `at` is its entry, with entry time and
    /// caller, and `of` the component and function as the caller named them.
    pub fn note(
        &self,
        took: Duration,
        at: (LogIndex, Timestamp, Caller),
        of: (ComponentRef, String),
        called: Option<Called>,
    ) {
        let Some(mut called) = called else { return };
        let micros = took.as_micros() as u64;
        let shard = self.owner.shard;
        for line in &called.log {
            tracing::info!(target: "aspen::function", %shard, "{line}");
        }
        let (index, time, caller) = at;
        let (named, function) = of;
        let note = CallNote {
            shard,
            index,
            time,
            caller,
            named,
            component: called.component,
            function,
            ended: called.ended.clone(),
            lines: mem::take(&mut called.log),
        };
        lock(&self.notes).note(note, &called, micros);
    }
}

/// Reads the state of one shard. A clone is another handle.
#[derive(Clone)]
pub struct StateReader {
    pub(crate) shared: Arc<Shared>,
    /// Never sent through: its other end is dropped when the apply worker has ended.
    pub(crate) worker: mpsc::Sender<()>,
    /// Does not keep the worker alive.
    pub(crate) jobs: mpsc::WeakSender<Job>,
}

impl StateReader {
    /// Runs `read` on the state as it is now. Blocks for the disk as long as `read` reads.
    pub fn read<R>(
        &self,
        read: impl FnOnce(&dyn View, Header) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let Reading { number, db, layers, header } = self.begin()?;
        let result = read(&OverlayView { batch: None, layers: &layers, db: &db }, header)?;
        let end = db.prepare_cached("COMMIT").and_then(|mut end| end.execute([]));
        end.map_err(|error| Fault::new("ending a read", error))?;
        let mut idle = lock(&self.shared.idle);
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push((number, db));
        }
        Ok(result)
    }

    /// As [`Self::read`], with what lives in memory besides: waits for its turn between two batches.
    pub async fn inspect<R: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn View, &Resident, Header) -> Result<R, Fault> + Send + 'static,
    ) -> Result<R, Fault> {
        let stopped = || Fault::new("inspecting the state", "the replica has stopped");
        let (done, answer) = oneshot::channel();
        let inspect = Box::new(move |state: &BufferedState| {
            // Whoever asked may have given up waiting.
            let _ = done.send(read(state, state.resident(), state.header()));
        });
        let jobs = self.jobs.upgrade().ok_or_else(stopped)?;
        jobs.send(Job::Inspect(inspect)).await.map_err(|_| stopped())?;
        drop(jobs);
        answer.await.map_err(|_| stopped())?
    }

    /// Tells `on_call` of every call from now on. Only the first time counts.
    pub fn watch_calls(&self, on_call: OnCall) {
        // A second one would be told nothing.
        let _ = self.shared.on_call.set(on_call);
    }

    /// How the shard is.
    pub fn status(&self) -> Status {
        lock(&self.shared.live).status.clone()
    }

    /// Entry time at which the next lease is over or schedule due.
    pub fn next_due(&self) -> Option<Timestamp> {
        lock(&self.shared.live).status.next_due
    }

    /// Bytes of the state's file and of the write-ahead log beside it.
    pub fn bytes(&self) -> u64 {
        self.shared.file_bytes()
    }

    /// The next snapshot that Raft asks for is made, however large the state is.
    pub fn want_snapshot(&self) {
        self.shared.snapshot_due.want();
    }

    /// Why the replica stopped, if it did.
    pub fn failed(&self) -> Option<String> {
        lock(&self.shared.live).status.failed.clone()
    }

    /// The first and the last entry whose digests are in memory.
    pub fn digest_window(&self) -> Option<(u64, u64)> {
        lock(&self.shared.live).digests.window()
    }

    /// The digests after these entries, as far as they are in memory.
    pub fn digests(&self, at: &[u64]) -> Vec<Option<Digest>> {
        let live = lock(&self.shared.live);
        at.iter().map(|index| live.digests.get(*index)).collect()
    }

    /// Takes the replica out of service for good, for it differs from the others: the next start
    /// must rebuild its state, and this one applies and answers nothing any more.
    pub async fn quarantine(&self, divergence: Divergence) {
        let shared = self.shared.clone();
        let marked = Runtime::spawn_blocking(move || {
            let marked = divergence::mark(&shared.dir, &divergence);
            // Without the mark the next start finds the difference anew.
            if let Err(error) = marked {
                tracing::error!("{} cannot be marked: {}", shared.owner.shard, chain(&error));
            }
            shared.fail(&divergence);
        });
        if marked.await.is_err() {
            tracing::error!("{}: marking panicked", self.shared.owner.shard);
        }
    }

    /// What calls logged that this replica applied since it was opened, after an entry, and those that
    /// faulted; of one name or component if wanted.
    pub fn notes(&self, after: LogIndex, of: Option<&ComponentRef>) -> Vec<CallNote> {
        lock(&self.shared.notes).after(after, of)
    }

    /// Figures of each function that this replica called since it was opened.
    pub fn statistics(&self) -> Vec<FunctionStatistics> {
        lock(&self.shared.notes).statistics()
    }

    /// How far the hash of the state as of an entry is, which a [`Command::Verify`] asked for.
    ///
    /// [`Command::Verify`]: aspen_core::Command::Verify
    pub fn verification(&self, index: LogIndex) -> Verification {
        let found = self.shared.verifications.find(index);
        let Status { applied, failed, .. } = self.status();
        let applied = LogIndex::new(applied.map_or(0, |log_id| log_id.index));
        match (found, failed) {
            (Some(done @ Verification::Done(_)), _) => done,
            (_, Some(reason)) => Verification::Failed { reason },
            (Some(found), None) => found,
            (None, None) if applied < index => Verification::Behind { applied },
            (None, None) => Verification::Unknown,
        }
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

    pub(crate) fn begin(&self) -> Result<Reading, Fault> {
        self.shared.begin(|file| self.shared.take_idle(file.number))
    }
}

impl Shared {
    /// A read transaction on the live file, with the layers over it; on a connection that is `kept`
    /// for this file, or a new one.
    pub fn begin(&self, kept: impl Fn(&StateFile) -> Option<Connection>) -> Result<Reading, Fault> {
        let file = lock(&self.live).file.clone();
        let begun = begin_on(&file, kept(&file));
        let live = lock(&self.live);
        // The file may have been replaced before the transaction began. Then its write-ahead log
        // may be gone already, and what was read is of the past.
        let (file, (db, _)) = match begun {
            Ok((db, reached)) if live.file == file && reached >= live.flushed() => {
                (file, (db, reached))
            }
            // Once more, while nothing can change.
            _ => {
                let file = live.file.clone();
                let begun = begin_on(&file, kept(&file));
                (file, begun.map_err(|error| Fault::new("starting a read", error))?)
            }
        };
        let (number, layers, header) = (file.number, live.layers(), live.status.header);
        Ok(Reading { number, db, layers, header })
    }

    fn take_idle(&self, number: u64) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        idle.retain(|(of, _)| *of == number);
        idle.pop().map(|(_, db)| db)
    }
}

/// A connection in a read transaction, and how far what it reads reaches.
fn begin_on(
    file: &StateFile,
    kept: Option<Connection>,
) -> Result<(Connection, Option<LogId>), Unusable> {
    let db = match kept {
        Some(db) => db,
        None => schema::open_read_only(&file.path)?,
    };
    db.prepare_cached("BEGIN")?.execute([])?;
    let Progress { applied, .. } = schema::get(&db, PROGRESS)?;
    Ok((db, applied))
}

/// Everything that a read needs.
pub(crate) struct Reading {
    number: u64,
    pub(crate) db: Connection,
    pub(crate) layers: Layers,
    pub(crate) header: Header,
}
