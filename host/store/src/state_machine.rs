//! A shard's state machine as openraft uses it: entries in, replies out, snapshots both ways.
//!
//! Promises not to block the tasks that call it: it collects what is ready into batches and leaves
//! the work to the apply worker (`apply_worker.rs`), snapshots to a blocking task. A snapshot is a
//! copy of the file, into which everything applied is written before. It counts as built only when
//! both it and the live file up to it are on disk, for openraft deletes the log up to it.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aspen_core::{Functions, ShardId, ShardRouter};
use futures::future::join;
use futures::{FutureExt, Stream, TryStreamExt};
use openraft::OptionalSend;
use openraft::async_runtime::AsyncRuntime;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use snafu::ResultExt;
use tokio::sync::{mpsc, oneshot};

use crate::apply_worker::{ApplyWorker, BUFFER_BYTES_MAX, JOBS_MAX, Job};
use crate::buffer::BufferedState;
use crate::error::{FileSnafu, Identity, StateStorageSnafu, StoreError};
use crate::flusher::Flusher;
use crate::live::Live;
use crate::log::lock;
use crate::log_tail::cost;
use crate::reader::{Shared, StateReader};
use crate::recovery::recover;
use crate::runtime::{Pool, Runtime, Worker};
use crate::schema::{Owner, Unusable};
use crate::snapshot::Snapshots;
use crate::snapshot_transfer::SnapshotFile;
use crate::state;
use crate::types::{LogId, Snapshot, SnapshotMeta, StoredMembership, TypeConfig};
use crate::verification::Verifier;

/// Entries and bytes that the worker gets at once: what it takes to get there vanishes, and it is at work
/// on them for some milliseconds, tens with slow functions.
const JOB_ENTRIES_MAX: usize = 512;
const JOB_BYTES_MAX: usize = 4 << 20;

/// What a state machine is opened with.
#[derive(Clone, Debug)]
pub struct StateConfig {
    /// Its folder, made if it is missing; nothing else may be in it.
    pub dir: PathBuf,
    /// The shard.
    pub shard: ShardId,
    /// The map of all shards.
    pub router: ShardRouter,
    /// The node and its cluster.
    pub identity: Identity,
    /// Up to where the shard's log is deleted ([`crate::ShardLog::purged`]): a state that reaches
    /// less far is lost.
    pub purged: Option<LogId>,
}

/// The state machine of one shard.
pub struct StateMachine {
    handle: Arc<Handle>,
}

struct Handle {
    // In this order they are dropped: without senders the worker ends, then it is waited for.
    jobs: mpsc::Sender<Job>,
    _worker: Worker,
    shared: Arc<Shared>,
}

impl StateMachine {
    /// Opens the state in a folder, creating it if there is none, rebuilding it if it is damaged.
    pub fn open(
        config: StateConfig,
        functions: Arc<dyn Functions>,
    ) -> Result<(StateMachine, StateReader), StoreError> {
        Self::open_bounded(config, functions, BUFFER_BYTES_MAX)
    }

    /// As [`Self::open`], with another bound on what is applied but not in the file.
    pub(crate) fn open_bounded(
        config: StateConfig,
        functions: Arc<dyn Functions>,
        buffer_bytes_max: usize,
    ) -> Result<(StateMachine, StateReader), StoreError> {
        let StateConfig { dir, shard, router, identity, purged } = config;
        let what = "creating folder";
        std::fs::create_dir_all(&dir).context(FileSnafu { what, path: &dir })?;
        let owner = Owner { identity, shard };
        let snapshots = Snapshots::open(&dir)?;
        let opened = recover(&dir, &owner, purged, &snapshots)?;
        let mut file = opened.state;
        let live = Live::new(opened.file, &file, snapshots.last());
        let live = Arc::new(Mutex::new(live));
        let state = BufferedState::new(&mut file, live.clone()).map_err(Unusable::into_sqlite);
        let what = "opening";
        let state = state.context(StateStorageSnafu { what, path: file.path() })?;
        let what = "starting a worker of";
        let flusher = Flusher::start(file);
        let flusher = flusher.context(FileSnafu { what, path: &dir })?;
        let shared = Arc::new(Shared::new(dir, owner, snapshots, live));
        let (alive_sender, alive) = mpsc::channel(1);
        let (jobs_sender, jobs) = mpsc::channel(JOBS_MAX);
        let worker = ApplyWorker {
            shared: shared.clone(),
            state,
            flusher,
            verifier: Verifier::default(),
            buffer_bytes_max,
            waiting: vec![],
            asked: vec![],
            functions,
            router,
            jobs,
            alive,
        };
        let worker = Pool::Apply.spawn(worker.run());
        let worker = worker.context(FileSnafu { what, path: &shared.dir })?;
        let jobs = jobs_sender.downgrade();
        let reader = StateReader { shared: shared.clone(), worker: alive_sender, jobs };
        let handle = Handle { jobs: jobs_sender, _worker: worker, shared };
        Ok((StateMachine { handle: Arc::new(handle) }, reader))
    }

    /// Before Raft starts: builds a snapshot if there is none that reaches to where the log is
    /// deleted. A log that a full disk or a power failure left behind the state is deleted up to
    /// the state, and then nothing else would hold what another replica needs first.
    pub async fn cover(&mut self, purged: Option<LogId>) -> io::Result<()> {
        if self.handle.shared.snapshots.last() < purged {
            self.get_snapshot_builder().await.build_snapshot().await?;
        }
        Ok(())
    }

    /// Writes everything applied to the file.
    #[cfg(test)]
    pub(crate) async fn flush(&self) -> io::Result<()> {
        self.handle.request(|done| Job::Flush { done }).await?
    }
}

impl Handle {
    /// Sends a job and waits until it is done. A worker that is gone has panicked: a bug of ours,
    /// remembered like any other failure.
    async fn request<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> io::Result<T> {
        let (done, answer) = oneshot::channel();
        let sent = self.jobs.send(job(done)).await;
        if sent.is_ok()
            && let Ok(answer) = answer.await
        {
            return Ok(answer);
        }
        let failed = || "the apply worker panicked".to_string();
        let failed = lock(&self.shared.live).status.failed.get_or_insert_with(failed).clone();
        Err(io::Error::other(failed))
    }
}

/// Builds a snapshot of one shard.
pub struct SnapshotBuilder {
    handle: Arc<Handle>,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotFile;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        let shared = self.handle.shared.clone();
        let begun = shared.snapshot_due.begun();
        self.handle.request(|done| Job::Flush { done }).await??;
        let built = Runtime::spawn_blocking(move || {
            let path = lock(&shared.live).file.path.clone();
            let built = shared.snapshots.build(&path)?;
            // What a failing disk holds is not known: the replica must stop.
            state::sync(&path).inspect_err(|error| shared.fail(error))?;
            let current = shared.snapshots.adopt(built)?;
            lock(&shared.live).status.snapshot = current.meta.last_log_id;
            shared.snapshot_due.made(begun);
            Ok::<_, StoreError>(current)
        });
        Ok(built.await??)
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        self.handle.request(|done| Job::Applied { done }).await
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some(first) = entries.try_next().await? {
            let mut bytes = cost(&first.0);
            let mut job = vec![first];
            while job.len() < JOB_ENTRIES_MAX
                && bytes < JOB_BYTES_MAX
                && let Some(Some(next)) = entries.try_next().now_or_never().transpose()?
            {
                bytes += cost(&next.0);
                job.push(next);
            }
            let (sender, mut answers) = mpsc::unbounded_channel();
            let job = |done| Job::Apply { entries: job, answers: sender, done };
            let tell = async {
                while let Some(batch) = answers.recv().await {
                    batch.into_iter().for_each(|(responder, reply)| responder.send(reply));
                }
            };
            let (done, ()) = join(self.handle.request(job), tell).await;
            done??;
            self.handle.shared.snapshot_due.applied(bytes as u64);
        }
        Ok(())
    }

    /// Raft asks every so many entries, and does without.
    async fn try_create_snapshot_builder(&mut self, force: bool) -> Option<SnapshotBuilder> {
        let shared = &self.handle.shared;
        let is_due = force || shared.snapshot_due.take(shared.file_bytes());
        is_due.then(|| SnapshotBuilder { handle: self.handle.clone() })
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder { handle: self.handle.clone() }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        file: SnapshotFile,
    ) -> io::Result<()> {
        let snapshot = Snapshot { meta: meta.clone(), snapshot: file };
        self.handle.request(|done| Job::Install { snapshot, done }).await?
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.handle.shared.snapshots.current())
    }
}
