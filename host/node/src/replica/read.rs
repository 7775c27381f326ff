//! Reads on a replica: waiting until the state is as fresh as a read asks.
//!
//! Promises that a read after [`Replica::ready`] sees every write that was acknowledged before the
//! call, or, if the read may be stale, a state of the age that the read allows. This machine's own
//! clock measures the age, so the clocks of other machines do not matter.

use std::time::Duration;

use aspen_core::defect::{Defect, is_planted};
use aspen_core::ids::NodeId;
use aspen_core::protocol::Consistency;
use aspen_store::{LogId, TypeConfig};
use openraft::ReadPolicy;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::linearizable_read::Linearizer;
use tokio::time::Instant;

use crate::limits::READ_WAIT;
use crate::replica::error::ReplicaError;
use crate::replica::parts::Replica;

impl Replica {
    /// Waits until a read of the state is as fresh as `consistency` asks.
    pub async fn ready(&self, consistency: Consistency) -> Result<(), ReplicaError> {
        let begun = Instant::now();
        // Of 3 kB, which would be in the future of every request, and moved about with it.
        let ready = Box::pin(async {
            match consistency {
                Consistency::Linearizable => self.linearize().await?,
                Consistency::Stale { max_age_ms } if self.is_fresh(begun, max_age_ms) => {
                    return Ok(());
                }
                Consistency::Stale { .. } => self.catch_up().await?,
            }
            let mut fresh = self.fresh.lock().expect("no panic while the lock is held");
            *fresh = (*fresh).max(Some(begun));
            Ok(())
        });
        let ready = tokio::time::timeout(READ_WAIT, ready).await;
        self.unless_failed(ready.unwrap_or(Err(ReplicaError::NoMajority)))
    }

    /// Replaces a result by an error if the replica was found to be wrong meanwhile.
    fn unless_failed<T>(&self, result: Result<T, ReplicaError>) -> Result<T, ReplicaError> {
        match self.reader.failed() {
            Some(reason) => Err(ReplicaError::Stopped(reason)),
            None => result,
        }
    }

    /// Returns true if this replica was up to date at most `max_age_ms` before `now`.
    fn is_fresh(&self, now: Instant, max_age_ms: u64) -> bool {
        let fresh = *self.fresh.lock().expect("no panic while the lock is held");
        let age = fresh.map(|fresh| now.saturating_duration_since(fresh));
        // A replica that has stopped cannot be fresh for long, but it must not answer at all.
        let is_running = self.raft.metrics().borrow_watched().running_state.is_ok();
        is_running && age.is_some_and(|age| age <= Duration::from_millis(max_age_ms))
    }

    /// Waits until a read of the state sees every write acknowledged before this was called.
    pub(super) async fn linearize(&self) -> Result<(), ReplicaError> {
        if is_planted(Defect::StaleRead) && self.leader() == Some(NodeId::new(*self.raft.node_id()))
        {
            return Ok(());
        }
        let ready = self.linearizer().await?.await_ready(&self.raft).await;
        ready.map(|_| ()).map_err(|fatal| ReplicaError::Stopped(fatal.to_string()))
    }

    /// As the leader: returns the point up to which a read has to wait.
    async fn linearizer(&self) -> Result<Linearizer<TypeConfig>, ReplicaError> {
        Ok(self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await?)
    }

    /// As the leader: returns the index that has every write acknowledged before this was called.
    pub async fn read_index(&self) -> Result<u64, ReplicaError> {
        Ok(self.leads().await?.index)
    }

    /// As the leader, which the replica was for a moment during this: returns an entry of the
    /// leader's own term with every write acknowledged before this was called.
    pub async fn leads(&self) -> Result<LogId, ReplicaError> {
        Ok(*self.linearizer().await?.read_log_id().log_id())
    }

    /// As [`Self::leads`], and waits until that entry is applied here.
    pub async fn leads_and_has_all(&self) -> Result<LogId, ReplicaError> {
        let has_all = Box::pin(async {
            let linearizer = self.linearizer().await?;
            let at = *linearizer.read_log_id().log_id();
            let ready = linearizer.await_ready(&self.raft).await;
            ready.map(|_| at).map_err(|fatal| ReplicaError::Stopped(fatal.to_string()))
        });
        let has_all = tokio::time::timeout(READ_WAIT, has_all).await;
        self.unless_failed(has_all.unwrap_or(Err(ReplicaError::NoMajority)))
    }

    /// As [`Self::linearize`], on a replica that need not lead.
    async fn catch_up(&self) -> Result<(), ReplicaError> {
        let me = NodeId::new(*self.raft.node_id());
        let index = match self.leader_address() {
            Some((leader, _)) if leader == me => return self.linearize().await,
            Some((_, address)) => self.net.peer(&address).read_index(READ_WAIT).await,
            None => None,
        };
        let index = index.ok_or(ReplicaError::NoMajority)?;
        let wait = self.raft.wait(Some(READ_WAIT));
        let applied = wait.applied_index_at_least(Some(index), "a read").await;
        applied.map(|_| ()).map_err(|_| ReplicaError::NoMajority)
    }
}
