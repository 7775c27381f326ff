//! A shard's state machine as openraft uses it: entries in, outcomes out, snapshots both ways.
//!
//! Promises not to block the tasks that call it: it collects the entries that are ready and leaves the
//! work to the apply worker (`worker.rs`), and snapshots to a blocking task (`snapshot_builder.rs`).

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use aspen_core::function::Functions;
use aspen_core::ids::ShardId;
use aspen_core::placement::ShardRouter;
use futures::future::join;
use futures::{FutureExt, Stream, TryStreamExt};
use openraft::OptionalSend;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};
use snafu::ResultExt;
use tokio::sync::mpsc;

use super::snapshot_builder::SnapshotBuilder;
use super::verifier::Verifier;
use super::worker::ApplyWorker;
use super::worker_handle::WorkerHandle;
use crate::buffer::{BufferedState, Flusher, LiveState};
use crate::error::{FileSnafu, Identity, StateStorageSnafu, StoreError};
use crate::limits::{
    APPLY_REQUEST_BYTES_MAX, APPLY_REQUEST_ENTRIES_MAX, APPLY_REQUESTS_MAX, MEMTABLE_BYTES_MAX,
};
use crate::log::cost;
use crate::read::StateReader;
use crate::recovery::recover;
use crate::replica::{ApplyRequest, Shared};
use crate::runtime::Pool;
use crate::snapshot::{Snapshot, SnapshotFile, Snapshots};
use crate::state::{Owner, StateFileError};
use crate::types::{LogId, SnapshotMeta, StoredMembership, TypeConfig};

/// One replica of one shard, as openraft runs it.
pub type Raft = openraft::Raft<TypeConfig, StateMachine>;

/// The settings of a state machine.
#[derive(Clone, Debug)]
pub struct StateConfig {
    /// Folder of the state, made if it is missing; nothing else may be in it.
    pub dir: PathBuf,
    /// The shard whose state this is.
    pub shard: ShardId,
    /// The map of all shards.
    pub router: ShardRouter,
    /// The node and its cluster.
    pub identity: Identity,
    /// The last deleted entry of the shard's log ([`crate::ShardLog::purged`]): a state that ends before
    /// this entry is lost.
    pub purged: Option<LogId>,
}

/// The state machine of one shard.
pub struct StateMachine {
    handle: Arc<WorkerHandle>,
}

impl StateMachine {
    /// Opens the state in a folder. Creates the state if none exists, and rebuilds it if it is damaged.
    pub fn open(
        config: StateConfig,
        functions: Arc<dyn Functions>,
    ) -> Result<(StateMachine, StateReader), StoreError> {
        Self::open_bounded(config, functions, MEMTABLE_BYTES_MAX)
    }

    /// Does as [`Self::open`], with another bound on the memory of the memtables.
    pub(crate) fn open_bounded(
        config: StateConfig,
        functions: Arc<dyn Functions>,
        memtable_bytes_max: usize,
    ) -> Result<(StateMachine, StateReader), StoreError> {
        let StateConfig { dir, shard, router, identity, purged } = config;
        let what = "creating folder";
        std::fs::create_dir_all(&dir).context(FileSnafu { what, path: &dir })?;
        let owner = Owner { identity, shard };
        let snapshots = Snapshots::open(&dir)?;
        let opened = recover(&dir, &owner, purged, &snapshots)?;
        let mut file = opened.state;
        let live = LiveState::new(opened.file, &file, snapshots.last());
        let live = Arc::new(Mutex::new(live));
        let state = BufferedState::new(&mut file, live.clone());
        let state = state.map_err(StateFileError::into_sqlite);
        let what = "opening";
        let state = state.context(StateStorageSnafu { what, path: file.path() })?;
        let what = "starting a worker of";
        let flusher = Flusher::start(file);
        let flusher = flusher.context(FileSnafu { what, path: &dir })?;
        let shared = Arc::new(Shared::new(dir, owner, snapshots, live));
        let (alive_sender, alive) = mpsc::channel(1);
        let (sender, requests) = mpsc::channel(APPLY_REQUESTS_MAX);
        let worker = ApplyWorker {
            shared: shared.clone(),
            state,
            flusher,
            verifier: Verifier::default(),
            memtable_bytes_max,
            flush_waiters: vec![],
            next_flush_waiters: vec![],
            functions,
            router,
            requests,
            alive,
        };
        let worker = Pool::Apply.spawn(worker.run());
        let worker = worker.context(FileSnafu { what, path: &shared.dir })?;
        let requests = sender.downgrade();
        let reader = StateReader { shared: shared.clone(), worker: alive_sender, requests };
        let handle = WorkerHandle::new(sender, worker, shared);
        Ok((StateMachine { handle: Arc::new(handle) }, reader))
    }

    /// Builds a snapshot before Raft starts, if none reaches to the last deleted entry of the log. A
    /// log that a full disk or a power failure left behind the state is deleted up to the state, and
    /// then nothing else would hold the entries that another replica needs first.
    pub async fn cover(&mut self, purged: Option<LogId>) -> io::Result<()> {
        if self.handle.shared.snapshots.last() < purged {
            self.get_snapshot_builder().await.build_snapshot().await?;
        }
        Ok(())
    }

    /// Writes everything applied to the file.
    #[cfg(test)]
    pub(crate) async fn flush(&self) -> io::Result<()> {
        self.handle.request(|done| ApplyRequest::Flush { done }).await?
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotFile;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        self.handle.request(|done| ApplyRequest::Applied { done }).await
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + OptionalSend,
    {
        while let Some(first) = entries.try_next().await? {
            let mut bytes = cost(&first.0);
            let mut ready = vec![first];
            while ready.len() < APPLY_REQUEST_ENTRIES_MAX
                && bytes < APPLY_REQUEST_BYTES_MAX
                && let Some(Some(next)) = entries.try_next().now_or_never().transpose()?
            {
                bytes += cost(&next.0);
                ready.push(next);
            }
            let (sender, mut replies) = mpsc::unbounded_channel();
            let request = |done| ApplyRequest::Apply { entries: ready, replies: sender, done };
            let reply = async {
                while let Some(batch) = replies.recv().await {
                    batch.into_iter().for_each(|(responder, outcome)| responder.send(outcome));
                }
            };
            let (done, ()) = join(self.handle.request(request), reply).await;
            done??;
            self.handle.shared.snapshot_due.applied(bytes as u64);
        }
        Ok(())
    }

    /// Returns `None` if a snapshot is not worth its cost: Raft asks every n entries, and goes on without
    /// one.
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
        self.handle.request(|done| ApplyRequest::Install { snapshot, done }).await?
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.handle.shared.snapshots.current())
    }
}
