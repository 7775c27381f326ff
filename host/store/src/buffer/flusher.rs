//! The worker that flushes a shard's memtables to the file, while apply goes on above them.
//!
//! ```text
//! apply    batch batch batch batch batch batch batch batch
//!               \ flush 1                 / done, then flush 2
//! flusher        one SQLite transaction, and a checkpoint if one is due
//! ```
//!
//! Promises that one flush runs at a time and that the file has one writer: the file is handed to the
//! worker with each flush and comes back with the result. Leaves out when a flush is due, and the
//! consequences of its failure (`apply/worker.rs`).

use std::future::pending;
use std::io;

use tokio::sync::{mpsc, oneshot};

use crate::memtable::Memtables;
use crate::runtime::{Pool, Worker};
use crate::state::{Flush, SqliteState};
use crate::types::LogId;

/// A flush to be done.
pub struct FlushTask {
    file: SqliteState,
    flush: Flush,
    done: oneshot::Sender<(SqliteState, io::Result<()>)>,
}

/// Apply's side of the flushes.
pub struct Flusher {
    /// `None` while a flush runs, and after a panic in one.
    file: Option<SqliteState>,
    running: Option<RunningFlush>,
    // In this order they are dropped: without senders the worker ends, then it is waited for.
    tasks: mpsc::Sender<FlushTask>,
    worker: Option<Worker>,
}

struct RunningFlush {
    reaches: Option<LogId>,
    done: oneshot::Receiver<(SqliteState, io::Result<()>)>,
}

impl Flusher {
    /// Starts a worker for `file`.
    pub fn start(file: SqliteState) -> io::Result<Self> {
        let (mut flusher, tasks) = Self::unattended(file);
        flusher.worker = Some(Pool::Flush.spawn(work(tasks))?);
        Ok(flusher)
    }

    /// Makes a flusher without a worker: the receiver of the tasks runs them.
    pub fn unattended(file: SqliteState) -> (Self, mpsc::Receiver<FlushTask>) {
        let (tasks, receiver) = mpsc::channel(1);
        (Self { file: Some(file), running: None, tasks, worker: None }, receiver)
    }

    /// Returns true if a flush runs.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Starts a flush; none may run.
    pub fn flush(&mut self, flush: Flush) {
        let (sender, done) = oneshot::channel();
        self.running = Some(RunningFlush { reaches: flush.progress.applied, done });
        if let Some(file) = self.file.take() {
            // It cannot be full, for one flush runs at a time. If nobody receives, `done` says so.
            let _: Result<(), _> = self.tasks.try_send(FlushTask { file, flush, done: sender });
        }
    }

    /// Waits for the end of the flush that runs, for ever if none does; returns the last entry that is in
    /// the file then. Nothing is lost if the caller gives up the wait.
    pub async fn finished(&mut self) -> io::Result<Option<LogId>> {
        let Some(running) = &mut self.running else { return pending().await };
        let (reaches, ended) = (running.reaches, (&mut running.done).await);
        self.running = None;
        let (file, result) = ended.map_err(|_| io::Error::other("the flusher panicked"))?;
        self.file = Some(file);
        result.map(|()| reaches)
    }

    /// Replaces the file and returns the one before; no flush may run.
    pub fn replace(&mut self, file: SqliteState) -> Option<SqliteState> {
        assert!(!self.is_running(), "a flush still writes to the file");
        self.file.replace(file)
    }

    /// Ends the worker and returns the file; no flush may run.
    pub async fn stop(self) -> Option<SqliteState> {
        let Self { file, tasks, worker, .. } = self;
        drop(tasks);
        if let Some(worker) = worker {
            worker.join().await;
        }
        file
    }
}

async fn work(mut tasks: mpsc::Receiver<FlushTask>) {
    // Apply may still read the memtables that were just written. The last owner to drop them frees some
    // hundred thousand pieces of memory. They stay here until the next flush, so that owner is not apply.
    let mut written = Memtables::default();
    while let Some(task) = tasks.recv().await {
        drop(written);
        written = task.run();
    }
}

impl FlushTask {
    /// Writes the flush, gives the file back, and returns the memtables.
    pub fn run(self) -> Memtables {
        let Self { mut file, flush, done } = self;
        let result = file.write(&flush).map_err(io::Error::from);
        // Apply may have panicked since.
        let _: Result<(), _> = done.send((file, result));
        flush.memtables
    }
}
