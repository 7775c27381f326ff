//! The handle to a replica's state for everyone but Raft: reads, and questions about the replica.
//!
//! Promises that one read sees one revision, that of the latest batch or a later one, and that
//! readers neither wait for apply nor make it wait. Survives the installation of a snapshot: the
//! next read uses the new file. A read is linearizable only if the caller first waits until the entries
//! that it wants to see are applied.

use std::sync::Arc;

use aspen_core::digest::Digest;
use aspen_core::function::{CallNote, FunctionStatistics};
use aspen_core::ids::{ComponentRef, LogIndex, ShardId, Timestamp};
use aspen_core::state::{Header, Resident, State, Verification};
use aspen_core::view::{HostError, View};
use openraft::async_runtime::AsyncRuntime;
use tokio::sync::{mpsc, oneshot};

use crate::buffer::{BufferedState, Status};
use crate::error::{StoreError, chain};
use crate::recovery::{self, Divergence};
use crate::replica::{ApplyRequest, CallObserver, Shared};
use crate::runtime::Runtime;
use crate::snapshot::SnapshotReceiver;
use crate::sync::lock;

/// Reads the state of one shard. A clone is another handle.
#[derive(Clone)]
pub struct StateReader {
    pub(crate) shared: Arc<Shared>,
    /// Never used to send: its other end is dropped when the apply worker has ended.
    pub(crate) worker: mpsc::Sender<()>,
    /// Does not keep the worker alive.
    pub(crate) requests: mpsc::WeakSender<ApplyRequest>,
}

impl StateReader {
    /// Runs `read` on the state as of the latest batch. Blocks for the disk as long as `read` reads.
    pub fn read<R>(
        &self,
        read: impl FnOnce(&dyn View, Header) -> Result<R, HostError>,
    ) -> Result<R, HostError> {
        let transaction = self.shared.begin_read()?;
        let result = read(&transaction.view(), transaction.header())?;
        self.shared.end_read(transaction)?;
        Ok(result)
    }

    /// Does as [`Self::read`], also with the parts that live in memory: waits for its turn between two
    /// batches.
    pub async fn inspect<R: Send + 'static>(
        &self,
        read: impl FnOnce(&dyn View, &Resident, Header) -> Result<R, HostError> + Send + 'static,
    ) -> Result<R, HostError> {
        let stopped = || HostError::new("inspecting the state", "the replica has stopped");
        let (done, answer) = oneshot::channel();
        let inspection = Box::new(move |state: &BufferedState| {
            // The caller may have given up waiting.
            let _ = done.send(read(state, state.resident(), state.header()));
        });
        let requests = self.requests.upgrade().ok_or_else(stopped)?;
        requests.send(ApplyRequest::Inspect(inspection)).await.map_err(|_| stopped())?;
        drop(requests);
        answer.await.map_err(|_| stopped())?
    }

    /// Tells `observer` of every call from now on. Only the first observer counts.
    pub fn watch_calls(&self, observer: CallObserver) {
        self.shared.calls.observe(observer);
    }

    /// Returns the condition of the replica.
    pub fn status(&self) -> Status {
        lock(&self.shared.live).status.clone()
    }

    /// Returns the entry time at which the next lease ends or schedule is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        lock(&self.shared.live).status.next_due
    }

    /// Returns the bytes of the state's file and of its write-ahead log.
    pub fn bytes(&self) -> u64 {
        self.shared.file_bytes()
    }

    /// Lets the next snapshot be made that Raft asks for, however large the state is.
    pub fn want_snapshot(&self) {
        self.shared.snapshot_due.want();
    }

    /// Returns the reason why the replica stopped, if it did.
    pub fn failed(&self) -> Option<String> {
        self.shared.failed()
    }

    /// Returns the first and the last entry whose digests are in memory.
    pub fn digest_window(&self) -> Option<(u64, u64)> {
        lock(&self.shared.live).digests.window()
    }

    /// Returns the digests after these entries; `None` for those that are not in memory.
    pub fn digests(&self, at: &[u64]) -> Vec<Option<Digest>> {
        let live = lock(&self.shared.live);
        at.iter().map(|index| live.digests.get(*index)).collect()
    }

    /// Takes the replica out of service for good, because it differs from the others: the next start
    /// rebuilds its state, and until then it applies and answers nothing.
    pub async fn quarantine(&self, divergence: Divergence) {
        let shared = self.shared.clone();
        let marked = Runtime::spawn_blocking(move || {
            let marked = recovery::mark(&shared.dir, &divergence);
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

    /// Returns the log lines and faults of calls after an entry that this replica applied since it was
    /// opened; of one name or component if wanted.
    pub fn notes(&self, after: LogIndex, of: Option<&ComponentRef>) -> Vec<CallNote> {
        self.shared.calls.notes(after, of)
    }

    /// Returns figures of each function that this replica called since it was opened.
    pub fn statistics(&self) -> Vec<FunctionStatistics> {
        self.shared.calls.statistics()
    }

    /// Returns how far the hash of the state as of an entry is, which a [`Command::Verify`] asked for.
    ///
    /// [`Command::Verify`]: aspen_core::protocol::Command::Verify
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

    /// Returns the shard.
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
    /// opened again. The caller drops the [`crate::Raft`] or shuts it down before.
    pub async fn closed(&self) {
        self.worker.closed().await;
        self.shared.close_idle();
    }
}
