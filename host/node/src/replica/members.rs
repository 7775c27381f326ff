//! The members and the leader of a replica's group, as the replica knows them.
//!
//! Promises an answer at once; it may be old, unless a majority confirms it. Leaves out changes of
//! the members (`placement/steer.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aspen_core::ids::NodeId;
#[cfg(not(madsim))]
use openraft::Instant as _;
use openraft::LogIdOptionExt;
use openraft::async_runtime::WatchReceiver;
use tokio::time::Instant;

use crate::limits::CAUGHT_UP_LAG_MAX;
use crate::replica::error::ReplicaError;
use crate::replica::parts::Replica;

impl Replica {
    /// Returns the time between two heartbeats of a leader.
    pub fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.raft.config().heartbeat_interval)
    }

    /// Notes that the leader has been heard now.
    pub fn note_leader(&self) {
        *self.heard.lock().expect("no panic while the lock is held") = Some(Instant::now());
    }

    /// Returns true if the leader has been heard at most `limit` ago.
    pub fn heard_within(&self, limit: Duration) -> bool {
        let heard = *self.heard.lock().expect("no panic while the lock is held");
        heard.is_some_and(|heard| heard.elapsed() <= limit)
    }

    /// Returns the members: the address of each, and true for each that votes.
    pub fn members(&self) -> BTreeMap<NodeId, (String, bool)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voters: Vec<u64> = membership.voter_ids().collect();
        let member = |(id, node): (&u64, &openraft::BasicNode)| {
            (NodeId::new(*id), (node.addr.clone(), voters.contains(id)))
        };
        membership.nodes().map(member).collect()
    }

    /// Returns the leader. A replica that has stopped knows none.
    pub fn leader(&self) -> Option<NodeId> {
        if self.reader.failed().is_some() {
            return None;
        }
        self.raft.server_metrics().borrow_watched().current_leader.map(NodeId::new)
    }

    /// Returns the leader and the leader's address.
    pub fn leader_address(&self) -> Option<(NodeId, String)> {
        let leader = self.leader()?;
        let (address, _) = self.members().remove(&leader)?;
        Some((leader, address))
    }

    /// Returns this node's own address, as the members of the shard have it.
    pub fn own_address(&self) -> String {
        let me = NodeId::new(*self.raft.node_id());
        self.members().remove(&me).map(|(address, _)| address).unwrap_or_default()
    }

    /// As the leader: returns the members that have answered lately.
    pub fn heard_from(&self) -> BTreeSet<NodeId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let lately = 3 * self.heartbeat();
        let heard = metrics.heartbeat.iter().flatten();
        let heard = heard.filter(|(_, at)| at.is_some_and(|at| at.elapsed() <= lately));
        heard.map(|(id, _)| NodeId::new(*id)).collect()
    }

    /// As the leader: returns true if a member has nearly all of the log.
    pub fn has_nearly_all(&self, id: NodeId) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let last = metrics.last_log_index.unwrap_or(0);
        let matched = metrics.replication.as_ref().and_then(|all| *all.get(&id.get())?);
        matched.is_some_and(|log_id| log_id.index + CAUGHT_UP_LAG_MAX >= last)
    }

    /// As the leader, confirmed by a majority: returns the committed members, and those that a
    /// change under way takes away.
    pub async fn confirmed_members(&self) -> Result<Vec<NodeId>, ReplicaError> {
        self.linearize().await?;
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let members = &metrics.membership_config;
        if members.log_id().index() > metrics.last_applied.index() {
            return Err(ReplicaError::Unknown);
        }
        Ok(members.membership().nodes().map(|(id, _)| NodeId::new(*id)).collect())
    }
}
