//! The Raft log of a node: all its shards in one redb database.
//!
//! Promises that an answered append or vote is on disk, that entries are readable from the moment
//! they are appended, and that a log which is damaged, another node's or failing is refused with a
//! remedy. One file, so that one fsync serves all shards (see `log_writer.rs`).
//!
//! Leaves out what entries mean. Dropping the last handle ends the writer and releases the file.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use aspen_core::ShardId;
use aspen_core::defect::{Defect, is_planted};
use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use openraft::errors::LeaderChanged;
use openraft::storage::{
    IOFlushed, LeaderBoundedStreamError, LogState, RaftLogReader, RaftLogStorage,
};
use openraft::{LogIdOptionExt, OptionalSend, alias};
use redb::{Database, DatabaseError, ReadableDatabase};
use snafu::ResultExt;
use tokio::sync::{mpsc, oneshot};

use crate::error::{FileSnafu, Identity, LogDamagedSnafu, StoreError};
use crate::log_file::{ENTRIES, load, open_error, unframe};
use crate::log_tail::{Tail, cost};
use crate::log_writer::{JOBS_MAX, Job, Writer};
use crate::runtime::{Worker, spawn_worker};
use crate::types::{Entry, LogId, TypeConfig, Vote};

/// redb's own cache of pages. Recent entries are cached per shard, so this serves the writer.
const PAGE_CACHE_BYTES: usize = 8 << 20;

/// Stack of the writer: it recurses no deeper than a B-tree.
const WRITER_STACK_BYTES: usize = 2 << 20;

/// Entries and bytes that a reader takes at once, so that a far behind follower, or a long apply,
/// does not bring the whole log into memory.
const CHUNK_ENTRIES_MAX: usize = 512;
const CHUNK_BYTES_MAX: usize = 4 << 20;

type LeaderId = alias::LeaderIdOf<TypeConfig>;
type Unled = LeaderBoundedStreamError<TypeConfig>;
type Led = (Vec<Entry>, Range<u64>);

/// The log of a node. A clone is another handle to the same log.
#[derive(Clone)]
pub struct Log {
    inner: Arc<Inner>,
}

struct Inner {
    // In this order they are dropped: without senders the writer ends, then it is waited for.
    jobs: mpsc::Sender<Job>,
    worker: Mutex<Option<Worker>>,
    /// `None` once the log is closed: then its file can be opened again.
    db: Mutex<Option<Arc<Database>>>,
    shards: Shards,
    failed: Arc<OnceLock<String>>,
    #[cfg(madsim)]
    delay: crate::sim_runtime::Delay,
}

/// The shards of a log, as handles and writer share them.
pub type Shards = Arc<Mutex<BTreeMap<ShardId, ShardTail>>>;

/// A shard's number and what its log keeps in memory.
#[derive(Clone)]
pub struct ShardTail {
    pub shard: ShardId,
    pub memory: Arc<Mutex<Tail>>,
}

/// The log of one shard, as openraft uses it.
#[derive(Clone)]
pub struct ShardLog {
    log: Arc<Inner>,
    tail: ShardTail,
}

/// Locks; a thread that panicked while holding the lock has stopped its replica by other means.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Log {
    /// Opens the log of node `identity` in file `path`, creating it if there is none. Reads and
    /// verifies the whole file.
    pub fn open(path: impl AsRef<Path>, identity: Identity) -> Result<Log, StoreError> {
        let path = path.as_ref().to_path_buf();
        Self::start(path.clone(), identity, |builder| builder.create(&path))
    }

    /// As [`Self::open`], on a disk of the caller's: the simulation's.
    pub fn with_backend(
        backend: impl redb::StorageBackend,
        identity: Identity,
    ) -> Result<Log, StoreError> {
        let path = PathBuf::from("(simulated)");
        Self::start(path, identity, |builder| builder.create_with_backend(backend))
    }

    /// Lets every commit from now on take so much simulated time.
    #[cfg(madsim)]
    pub fn slow_down(&self, commit: std::time::Duration) {
        self.inner.delay.set(commit);
    }

    /// The log of `shard`, empty if it has none yet.
    pub fn shard(&self, shard: ShardId) -> ShardLog {
        let mut shards = lock(&self.inner.shards);
        let fresh = || ShardTail { shard, memory: Arc::default() };
        let tail = shards.entry(shard).or_insert_with(fresh).clone();
        ShardLog { log: self.inner.clone(), tail }
    }

    /// The shards that have a log here.
    pub fn shards(&self) -> Vec<ShardId> {
        lock(&self.inner.shards).keys().copied().collect()
    }

    /// Why the log refuses everything, if it does.
    pub fn failed(&self) -> Option<String> {
        self.inner.failed.get().cloned()
    }

    /// Writes down what is only in memory, ends the writer and closes the file, whatever other
    /// handles there are: they are refused from then on.
    pub async fn close(self) -> io::Result<()> {
        let closed = self.inner.request(|done| Job::Close { done }).await;
        let worker = lock(&self.inner.worker).take();
        if let Some(worker) = worker {
            worker.join().await;
        }
        let db = lock(&self.inner.db).take();
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
        builder.set_cache_size(PAGE_CACHE_BYTES).set_check_integrity_on_open(true);
        // redb may panic on a damaged file instead of saying so.
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let db = create(&builder).map_err(|error| open_error(&path, error))?;
            let shards = load(&db, &path, identity)?;
            Ok((db, shards))
        }));
        let (db, shards) = opened.unwrap_or_else(|_| {
            Err("redb panicked reading it".into()).context(LogDamagedSnafu { path: &path })
        })?;
        let (db, shards) = (Arc::new(db), Arc::new(Mutex::new(shards)));
        let failed = Arc::default();
        let (sender, jobs) = mpsc::channel(JOBS_MAX);
        let (purging, failed_too) = (BTreeMap::new(), Arc::clone(&failed));
        #[cfg(madsim)]
        let delay = crate::sim_runtime::Delay::default();
        let writer = Writer {
            db: db.clone(),
            path: path.clone(),
            shards: shards.clone(),
            jobs,
            failed: failed_too,
            purging,
            since_committed: 0,
            #[cfg(madsim)]
            delay: delay.clone(),
        };
        let worker = spawn_worker("aspen-log", WRITER_STACK_BYTES, writer.run())
            .context(FileSnafu { what: "starting the writer of", path })?;
        let worker = Mutex::new(Some(worker));
        Ok(Log {
            inner: Arc::new(Inner {
                jobs: sender,
                worker,
                db: Mutex::new(Some(db)),
                shards,
                failed,
                #[cfg(madsim)]
                delay,
            }),
        })
    }
}

impl Inner {
    async fn send(&self, job: Job) -> io::Result<()> {
        // A writer that failed must end too.
        let ends = matches!(job, Job::Close { .. });
        if let Some(failed) = self.failed.get().filter(|_| !ends) {
            return Err(io::Error::other(failed.clone()));
        }
        self.jobs.send(job).await.map_err(|_| io::Error::other("the raft log is closed"))
    }

    /// Sends a job and waits until it is done.
    async fn request(
        &self,
        job: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Job,
    ) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        self.send(job(done)).await?;
        answer.await.unwrap_or_else(|_| Err(io::Error::other("the raft log is closed")))
    }
}

impl ShardLog {
    /// Up to where the log is deleted.
    pub fn purged(&self) -> Option<LogId> {
        lock(&self.tail.memory).purged
    }

    /// How far the log of a replica reached that was here before and was deleted, while this log is
    /// shorter: others may count on that one for entries that this one does not have. Such a replica
    /// must neither vote nor stand for election.
    pub fn promised(&self) -> Option<LogId> {
        lock(&self.tail.memory).promised.filter(|_| !is_planted(Defect::ForgetPromise))
    }

    /// The last entry, on disk or not.
    pub fn last(&self) -> Option<LogId> {
        lock(&self.tail.memory).last()
    }

    /// Drops what contradicts a state that reaches to `applied`, before Raft starts: the state came
    /// with a snapshot from another replica. Returns up to where the log is deleted once Raft runs.
    ///
    /// `applied` is committed. If the log goes on beside it but ends in an older term, then it
    /// holds something else at that index, and nothing from there on was ever committed; what is
    /// before is in the state. A log that is merely shorter stays: openraft closes the gap, by
    /// deleting up to `applied`.
    pub async fn fit(&mut self, applied: Option<LogId>) -> io::Result<Option<LogId>> {
        let (last, purged) = {
            let memory = lock(&self.tail.memory);
            (memory.last(), memory.purged)
        };
        let contradicts = last < applied && last.index() >= applied.index();
        if contradicts {
            self.truncate_after(purged).await?;
        }
        Ok(if last < applied { applied } else { purged })
    }

    /// Deletes everything but the vote and how far the log reached: the replica is gone, but what it
    /// promised stays promised. Its Raft group must have been stopped.
    pub async fn forget(&mut self) -> io::Result<()> {
        // Should it stop in between, the next start finds a log that is purged, and deletes the rest.
        if let Some(last) = self.last() {
            self.purge(last).await?;
        }
        let tail = self.tail.clone();
        self.log.request(|done| Job::Forget { tail, done }).await
    }

    /// The entries of `range` in order, at least one if there is any, and no more than fit in
    /// `bytes_max` bytes and `entries_max` entries.
    fn read(
        &self,
        range: Range<u64>,
        entries_max: usize,
        bytes_max: usize,
    ) -> io::Result<Vec<Entry>> {
        // Memory and the view of the disk are taken together: in between, the writer could drop
        // from memory what the view does not show yet.
        let (stored, view, cached, _open) = {
            let memory = lock(&self.tail.memory);
            let range = memory.clip(range);
            let split = memory.cached_from().clamp(range.start, range.end.max(range.start));
            let stored = range.start..split;
            let db = lock(&self.log.db).clone();
            let db = db.ok_or_else(|| io::Error::other("the log is closed"))?;
            let view = (!stored.is_empty()).then(|| db.begin_read());
            let cached = memory.cached(split..range.end).take(entries_max).cloned();
            (stored, view.transpose().map_err(io::Error::other)?, cached.collect::<Vec<_>>(), db)
        };
        let mut room = Room { entries: entries_max, bytes: bytes_max, next: None };
        let mut entries = vec![];
        if let Some(view) = view {
            let shard = self.tail.shard.get();
            let table = view.open_table(ENTRIES).map_err(io::Error::other)?;
            let rows = table.range((shard, stored.start)..(shard, stored.end));
            for row in rows.map_err(io::Error::other)? {
                let (key, frame) = row.map_err(io::Error::other)?;
                let entry = unframe(shard, key.value().1, frame.value())?;
                if !room.take(&entry)? {
                    return Ok(entries);
                }
                entries.push(entry);
            }
        }
        for entry in cached {
            if !room.take(&entry)? {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    /// A chunk of `range` and the rest of it, if `leader` leads before and after: then all of it was
    /// read under this leader.
    fn read_led(&self, leader: LeaderId, range: Range<u64>) -> Result<Option<Led>, Unled> {
        self.check_led(leader)?;
        let chunk = self.read(range.clone(), CHUNK_ENTRIES_MAX, CHUNK_BYTES_MAX)?;
        self.check_led(leader)?;
        let Some(last) = chunk.last() else { return Ok(None) };
        let rest = last.log_id.index + 1..range.end;
        Ok(Some((chunk, rest)))
    }

    fn check_led(&self, leader: LeaderId) -> Result<(), Unled> {
        let vote = lock(&self.tail.memory).vote;
        match vote.is_some_and(|vote| vote.leader_id == leader && vote.committed) {
            true => Ok(()),
            false => Err(LeaderChanged::new(leader, vote).into()),
        }
    }

    /// The entries of `range`, a bounded chunk at a time.
    fn stream(&self, range: Range<u64>) -> impl Stream<Item = io::Result<Entry>> + Send + use<> {
        let log = self.clone();
        let chunks = stream::try_unfold(range, move |range| {
            let chunk = log.read(range.clone(), CHUNK_ENTRIES_MAX, CHUNK_BYTES_MAX);
            std::future::ready(chunk.map(|chunk| {
                let next = chunk.last()?.log_id.index + 1;
                Some((stream::iter(chunk.into_iter().map(Ok)), next..range.end))
            }))
        });
        chunks.try_flatten()
    }
}

/// What still fits into an answer, and which index must come next.
struct Room {
    entries: usize,
    bytes: usize,
    next: Option<u64>,
}

impl Room {
    fn take(&mut self, entry: &Entry) -> io::Result<bool> {
        let index = entry.log_id.index;
        if self.next.is_some_and(|next| next != index) {
            return Err(io::Error::other(format!("the raft log has a gap before entry i{index}")));
        }
        let bytes = cost(entry);
        let first = self.next.is_none();
        if !first && (self.entries == 0 || self.bytes < bytes) {
            return Ok(false);
        }
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.next = Some(index + 1);
        Ok(true)
    }
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<TypeConfig> for ShardLog {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.read(half_open(&range), usize::MAX, usize::MAX)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        self.read(start..end, CHUNK_ENTRIES_MAX, CHUNK_BYTES_MAX)
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.stream(half_open(&range)).boxed()
    }

    async fn leader_bounded_stream<RB>(
        &mut self,
        leader: LeaderId,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, Unled>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let reader = self.clone();
        let chunks = stream::try_unfold(half_open(&range), move |range| {
            let chunk = reader.read_led(leader, range);
            std::future::ready(chunk.map(|chunk| {
                let (chunk, rest) = chunk?;
                Some((stream::iter(chunk.into_iter().map(Ok)), rest))
            }))
        });
        chunks.try_flatten().boxed()
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(lock(&self.tail.memory).vote)
    }
}

impl RaftLogStorage<TypeConfig> for ShardLog {
    type LogReader = ShardLog;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let memory = lock(&self.tail.memory);
        Ok(LogState { last_purged_log_id: memory.purged, last_log_id: memory.last() })
    }

    async fn get_log_reader(&mut self) -> ShardLog {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (tail, vote) = (self.tail.clone(), *vote);
        self.log.request(|done| Job::Vote { tail, vote, done }).await
    }

    /// Kept in memory and written with the next transaction: losing it costs a restarted replica
    /// a moment until the leader tells it again, never an entry.
    async fn save_committed(&mut self, committed: Option<LogId>) -> io::Result<()> {
        let mut memory = lock(&self.tail.memory);
        memory.committed = committed;
        memory.committed_unsaved = true;
        Ok(())
    }

    async fn read_committed(&mut self) -> io::Result<Option<LogId>> {
        Ok(lock(&self.tail.memory).committed)
    }

    async fn append<I>(&mut self, entries: I, done: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<Entry> = entries.into_iter().collect();
        let append = lock(&self.tail.memory).append(&entries);
        let tail = self.tail.clone();
        self.log.send(Job::Append { tail, entries, append, done }).await
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> io::Result<()> {
        lock(&self.tail.memory).truncate(last);
        let (shard, from) = (self.tail.shard, last.next_index());
        self.log.request(|done| Job::Truncate { shard, from, done }).await
    }

    /// Returns before the entries are deleted: a crash in between only leaves more than needed.
    async fn purge(&mut self, upto: LogId) -> io::Result<()> {
        let upto = match is_planted(Defect::PurgeEarly) {
            true => lock(&self.tail.memory).committed.unwrap_or(upto).max(upto),
            false => upto,
        };
        lock(&self.tail.memory).purge(upto);
        let tail = self.tail.clone();
        self.log.send(Job::Purge { tail, upto }).await
    }
}
