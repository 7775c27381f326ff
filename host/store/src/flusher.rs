//! The worker that writes a shard's layers down, while apply goes on above them.
//!
//! ```text
//! apply    batch batch batch batch batch batch batch batch
//!               \ flush 1                 / done, then flush 2
//! flusher        one SQLite transaction, and a checkpoint if one is due
//! ```
//!
//! Promises that there is one flush at a time and that who writes to the file is never in doubt:
//! it is handed to the worker with each flush and comes back with the result. Leaves out when a
//! flush is due and what follows from its failure (`apply_worker.rs`).

use std::future::pending;
use std::io;

use tokio::sync::{mpsc, oneshot};

use crate::layer::Layers;
use crate::runtime::{Pool, Worker};
use crate::state::{Flush, SqliteState};
use crate::types::LogId;

/// A flush to be done.
pub struct Job {
    file: SqliteState,
    flush: Flush,
    done: oneshot::Sender<(SqliteState, io::Result<()>)>,
}

/// The side of apply.
pub struct Flusher {
    /// `None` while a flush runs, and after a panic in one.
    file: Option<SqliteState>,
    running: Option<Running>,
    // In this order they are dropped: without senders the worker ends, then it is waited for.
    jobs: mpsc::Sender<Job>,
    worker: Option<Worker>,
}

struct Running {
    reaches: Option<LogId>,
    done: oneshot::Receiver<(SqliteState, io::Result<()>)>,
}

impl Flusher {
    /// Starts a worker for `file`.
    pub fn start(file: SqliteState) -> io::Result<Self> {
        let (mut flusher, jobs) = Self::unattended(file);
        flusher.worker = Some(Pool::Flush.spawn(work(jobs))?);
        Ok(flusher)
    }

    /// Without a worker: whoever has the jobs does them.
    pub fn unattended(file: SqliteState) -> (Self, mpsc::Receiver<Job>) {
        let (jobs, receiver) = mpsc::channel(1);
        (Self { file: Some(file), running: None, jobs, worker: None }, receiver)
    }

    /// Whether a flush runs.
    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Starts a flush; none may run.
    pub fn flush(&mut self, flush: Flush) {
        let (sender, done) = oneshot::channel();
        self.running = Some(Running { reaches: flush.progress.applied, done });
        if let Some(file) = self.file.take() {
            // It cannot be full, for one flush runs at a time. If nobody receives, `done` says so.
            let _: Result<(), _> = self.jobs.try_send(Job { file, flush, done: sender });
        }
    }

    /// Waits for the end of the flush that runs, for ever if none does; returns up to where the
    /// file reaches then. Nothing is lost if the wait is given up.
    pub async fn finished(&mut self) -> io::Result<Option<LogId>> {
        let Some(running) = &mut self.running else { return pending().await };
        let (reaches, ended) = (running.reaches, (&mut running.done).await);
        self.running = None;
        let (file, result) = ended.map_err(|_| io::Error::other("the flusher panicked"))?;
        self.file = Some(file);
        result.map(|()| reaches)
    }

    /// Replaces the file; no flush may run. Returns the one before.
    pub fn replace(&mut self, file: SqliteState) -> Option<SqliteState> {
        assert!(!self.is_running(), "a flush still writes to the file");
        self.file.replace(file)
    }

    /// Ends the worker and returns the file; no flush may run.
    pub async fn stop(self) -> Option<SqliteState> {
        let Self { file, jobs, worker, .. } = self;
        drop(jobs);
        if let Some(worker) = worker {
            worker.join().await;
        }
        file
    }
}

async fn work(mut jobs: mpsc::Receiver<Job>) {
    // Apply may still read the layers that were just written. The last to drop them frees some
    // hundred thousand pieces of memory: kept here until the next flush, that is not apply.
    let mut written = Layers::default();
    while let Some(job) = jobs.recv().await {
        drop(written);
        written = job.run();
    }
}

impl Job {
    /// Writes and gives the file back.
    pub fn run(self) -> Layers {
        let Self { mut file, flush, done } = self;
        let result = file.write(&flush).map_err(io::Error::from);
        // Apply may have panicked meanwhile.
        let _: Result<(), _> = done.send((file, result));
        flush.layers
    }
}
