//! The log of a node as a whole: opened once, then one [`ShardLog`] for each shard.
//!
//! Promises that a file that cannot be trusted is refused when it is opened, and that the end of the last
//! handle ends the writer and releases the file.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use aspen_core::ids::ShardId;
use redb::{Database, DatabaseError};
use snafu::ResultExt;
use tokio::sync::mpsc;

use super::load::{load, open_error};
use super::request::LogRequest;
use super::shard_log::{LogHandle, ShardLog};
use super::tail::{ShardTail, Tail};
use super::writer::LogWriter;
use crate::error::{FileSnafu, Identity, LogDamagedSnafu, StoreError};
use crate::limits::{LOG_PAGE_CACHE_BYTES, LOG_REQUESTS_MAX, LOG_WRITER_STACK_BYTES};
use crate::runtime::spawn_worker;
use crate::sync::lock;

/// The log of a node. A clone is another handle to the same log.
#[derive(Clone)]
pub struct Log {
    handle: Arc<LogHandle>,
}

impl Log {
    /// Opens the log of node `identity` in file `path`, creating the file if none exists. Reads and
    /// verifies the whole file.
    pub fn open(path: impl AsRef<Path>, identity: Identity) -> Result<Log, StoreError> {
        let path = path.as_ref().to_path_buf();
        Self::start(path.clone(), identity, |builder| builder.create(&path))
    }

    /// Does as [`Self::open`], on the caller's disk: the simulation's.
    pub fn with_backend(
        backend: impl redb::StorageBackend,
        identity: Identity,
    ) -> Result<Log, StoreError> {
        let path = PathBuf::from("(simulated)");
        Self::start(path, identity, |builder| builder.create_with_backend(backend))
    }

    /// Adds simulated time to every commit from now on.
    #[cfg(madsim)]
    pub fn slow_down(&self, commit: std::time::Duration) {
        self.handle.delay.set(commit);
    }

    /// Returns the log of `shard`, empty if it has none yet.
    pub fn shard(&self, shard: ShardId) -> ShardLog {
        let mut shards = lock(&self.handle.shards);
        let fresh = || ShardTail::new(shard, Tail::default());
        let tail = shards.entry(shard).or_insert_with(fresh).clone();
        ShardLog::new(self.handle.clone(), tail)
    }

    /// Returns the shards that have a log here.
    pub fn shards(&self) -> Vec<ShardId> {
        lock(&self.handle.shards).keys().copied().collect()
    }

    /// Returns the reason why the log refuses everything, if it does.
    pub fn failed(&self) -> Option<String> {
        self.handle.failure.get().cloned()
    }

    /// Stores the last committed entries, ends the writer and closes the file. All other handles are
    /// refused from then on.
    pub async fn close(self) -> io::Result<()> {
        let closed = self.handle.request(|done| LogRequest::Close { done }).await;
        let worker = lock(&self.handle.worker).take();
        if let Some(worker) = worker {
            worker.join().await;
        }
        let db = lock(&self.handle.db).take();
        // A read that began before is on another thread, and short.
        while db.as_ref().is_some_and(|db| Arc::strong_count(db) > 1) {
            tokio::task::yield_now().await;
        }
        closed
    }

    fn start(
        path: PathBuf,
        identity: Identity,
        create: impl FnOnce(&redb::Builder) -> Result<Database, DatabaseError>,
    ) -> Result<Log, StoreError> {
        let mut builder = Database::builder();
        builder.set_cache_size(LOG_PAGE_CACHE_BYTES).set_check_integrity_on_open(true);
        // redb may panic on a damaged file instead of returning an error.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let db = create(&builder).map_err(|error| open_error(&path, error))?;
            let shards = load(&db, &path, identity)?;
            Ok((db, shards))
        }));
        let (db, shards) = opened.unwrap_or_else(|_| {
            Err("redb panicked reading it".into()).context(LogDamagedSnafu { path: &path })
        })?;
        let (db, shards) = (Arc::new(db), Arc::new(Mutex::new(shards)));
        let failure = Arc::default();
        let (sender, requests) = mpsc::channel(LOG_REQUESTS_MAX);
        #[cfg(madsim)]
        let delay = crate::runtime::Delay::default();
        let writer = LogWriter {
            db: db.clone(),
            path: path.clone(),
            shards: shards.clone(),
            requests,
            failure: Arc::clone(&failure),
            purging: BTreeMap::new(),
            since_committed: 0,
            #[cfg(madsim)]
            delay: delay.clone(),
        };
        let worker = spawn_worker("aspen-log", LOG_WRITER_STACK_BYTES, writer.run())
            .context(FileSnafu { what: "starting the writer of", path })?;
        let handle = LogHandle {
            requests: sender,
            worker: Mutex::new(Some(worker)),
            db: Mutex::new(Some(db)),
            shards,
            failure,
            #[cfg(madsim)]
            delay,
        };
        Ok(Log { handle: Arc::new(handle) })
    }
}
