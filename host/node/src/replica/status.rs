//! The status of a replica, and taking a wrong one out of service.
//!
//! Promises a status at once, also of a replica that has failed or does not run yet. Leaves out how
//! a wrong replica is found (`digest_check.rs`).

use aspen_core::ids::{LogIndex, NodeId, ShardId};
use aspen_core::protocol::ReplicaStatus;
use aspen_store::Divergence;
use openraft::async_runtime::WatchReceiver;
use tokio::time::Instant;

use crate::replica::parts::Replica;

impl Replica {
    /// Returns the status of this replica.
    pub fn status(&self) -> ReplicaStatus {
        let replicas = self.members().into_iter().map(|(node, (_, votes))| (node, votes));
        let replicas = replicas.collect();
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let state = self.reader.status();
        // Raft's metrics may be of before the latest entries were applied.
        let last = metrics.last_log_index.max(self.log.last().map(|log_id| log_id.index));
        let applied = state.applied.map_or(0, |log_id| log_id.index);
        let failed = metrics.running_state.as_ref().err().map(|fatal| fatal.to_string());
        ReplicaStatus {
            shard: self.id,
            term: metrics.current_term,
            leader: metrics.current_leader.map(NodeId::new),
            first: LogIndex::new(self.log.purged().map_or(0, |log_id| log_id.index + 1)),
            last: LogIndex::new(last.unwrap_or(0)),
            applied: LogIndex::new(applied),
            snapshot: LogIndex::new(metrics.snapshot.map_or(0, |log_id| log_id.index)),
            revision: state.header.revision,
            digest: state.header.digest,
            keys: state.header.keys,
            failed: state.failed.or(failed),
            warning: self.warning.lock().expect("no panic while the lock is held").clone(),
            replicas,
            bytes: self.reader.bytes(),
            rate: self.rate.per_second(Instant::now(), applied),
            receiving: self.incoming.progress(),
            profile: state.header.profile,
        }
    }

    /// Returns the status of a replica of `shard` that does not run yet, for `reason`.
    pub fn status_of_waiting(shard: ShardId, reason: String) -> ReplicaStatus {
        ReplicaStatus {
            shard,
            term: 0,
            leader: None,
            first: LogIndex::default(),
            last: LogIndex::default(),
            applied: LogIndex::default(),
            snapshot: LogIndex::default(),
            revision: Default::default(),
            digest: Default::default(),
            keys: 0,
            failed: Some(reason),
            warning: None,
            replicas: vec![],
            bytes: 0,
            rate: 0,
            receiving: None,
            profile: Default::default(),
        }
    }

    /// Sets the warning that the status shows.
    pub fn warn(&self, text: Option<String>) {
        let mut warning = self.warning.lock().expect("no panic while the lock is held");
        if let Some(text) = &text
            && warning.is_none()
        {
            tracing::warn!("{} {text}", self.id);
        }
        *warning = text;
    }

    /// Takes the replica out of service, durably: it neither leads nor votes nor answers any more.
    pub async fn quarantine(&self, divergence: Divergence) {
        self.warn(None);
        self.reader.quarantine(divergence).await;
        // Fails only when the group has stopped already.
        let _ = self.raft.shutdown().await;
    }
}
