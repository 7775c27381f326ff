//! Handing the lead of a shard to another replica.
//!
//! Promises that the other replica is a voter; Raft makes sure that it has all entries before it
//! leads. Leaves out when a node hands the lead over (`node.rs`, `periodic/leader_balancing.rs`).

use std::time::Duration;

use aspen_core::ids::NodeId;
use aspen_store::TypeConfig;
#[cfg(not(madsim))]
use openraft::Instant as _;
use openraft::LogIdOptionExt;
use openraft::async_runtime::WatchReceiver;

use crate::limits::BALANCING_LAG_MAX;
use crate::replica::parts::Replica;

impl Replica {
    /// Gives the lead to another voter, if this replica has the lead and there is another voter.
    pub async fn hand_over(&self, limit: Duration) {
        let me = *self.raft.node_id();
        if self.leader() != Some(NodeId::new(me)) {
            return;
        }
        let best = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let voters: Vec<u64> = metrics.membership_config.membership().voter_ids().collect();
            let matched = metrics.replication.as_ref();
            let others = voters.into_iter().filter(|id| *id != me);
            let index = |id: &u64| {
                let log_id = matched.and_then(|all| all.get(id)).and_then(|log_id| *log_id);
                log_id.map(|log_id| log_id.index)
            };
            others.max_by_key(|id| (index(id), std::cmp::Reverse(*id)))
        };
        if let Some(best) = best {
            // Stopping goes on without a successor too: the others elect one.
            let _ = self.give_to(NodeId::new(best), limit).await;
        }
    }

    /// As the leader: returns the other voters that could take the lead at once, for they have
    /// answered lately and lack next to nothing. Returns none while the members change.
    pub fn successors(&self) -> Vec<NodeId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let (members, me) = (&metrics.membership_config, *self.raft.node_id());
        let is_settled = members.membership().get_joint_config().len() == 1
            && members.log_id().index() <= metrics.last_applied.index();
        let (Some(matched), Some(heard)) = (&metrics.replication, &metrics.heartbeat) else {
            return vec![];
        };
        let last = metrics.last_log_index.unwrap_or(0);
        let lately = 3 * self.heartbeat();
        let can_lead = |id: &u64| {
            let has = matched.get(id).copied().flatten().map_or(0, |log_id| log_id.index);
            let heard = heard.get(id).copied().flatten();
            has + BALANCING_LAG_MAX >= last && heard.is_some_and(|at| at.elapsed() <= lately)
        };
        let others = members.membership().voter_ids().filter(|id| *id != me && can_lead(id));
        if is_settled { others.map(NodeId::new).collect() } else { vec![] }
    }

    /// As the leader: gives the lead to voter `to`. Returns true if `to` has the lead within
    /// `limit`.
    pub async fn give_to(&self, to: NodeId, limit: Duration) -> bool {
        let (me, to) = (*self.raft.node_id(), to.get());
        if self.raft.trigger().transfer_leader(to).await.is_err() {
            return false;
        }
        let told =
            |m: &openraft::RaftMetrics<TypeConfig>| m.current_leader.is_some_and(|id| id != me);
        let told = self.raft.wait(Some(limit)).metrics(told, "another leads").await;
        told.is_ok_and(|metrics| metrics.current_leader == Some(to))
    }
}
