//! Members: adding, promoting and removing nodes.
//!
//! A node is added as a learner of every shard (it gets the log but has no vote), catches up, and
//! is promoted when it asks for it. Each step may be repeated, so whoever was interrupted asks
//! again. Removing takes the vote and the membership in one change, and is refused when the
//! voters that are left could not be a working majority.

use std::collections::BTreeSet;

use aspen_core::{Consistency, NodeId, Refused, Response, ShardId};
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, RaftError};

use crate::limits::{NODES_MAX, PROMOTE_WAIT};
use crate::node::Node;
use crate::requests::{find, refused};
use crate::shard::{NotDone, Shard, parse_address};

type Changed =
    Result<(), RaftError<aspen_store::TypeConfig, ClientWriteError<aspen_store::TypeConfig>>>;

fn change_refused(changed: Changed) -> Result<(), Refused> {
    match changed {
        Ok(()) => Ok(()),
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward))) => {
            let leader = forward.leader_id.zip(forward.leader_node);
            let leader = leader.map(|(id, node)| (NodeId::new(id), node.addr));
            Err(Refused::NotLeader { leader })
        }
        Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error))) => {
            // Another change is under way, as a rule: ask again.
            Err(Refused::Unavailable { reason: error.to_string() })
        }
        Err(RaftError::APIError(_)) => Err(Refused::OutcomeUnknown),
        Err(RaftError::Fatal(fatal)) => Err(Refused::Failed { reason: fatal.to_string() }),
    }
}

impl Node {
    /// The first shard's replica, if it leads: it decides about members.
    fn first_leader(&self) -> Result<&Shard, Refused> {
        let first = find(self, ShardId::new(0))?;
        if first.leader() != Some(self.id()) {
            return Err(Refused::NotLeader { leader: first.leader_address() });
        }
        Ok(first)
    }

    /// Adds the node at `address` as a learner; gives the same id when asked again.
    pub(crate) async fn add_node(&self, address: &str) -> Result<Response, Refused> {
        let _one_at_a_time = self.changing.lock().await;
        let first = self.first_leader()?;
        let Some(peer) = parse_address(address) else {
            let reason = format!("{address:?} is no node address (hex@ip:port)");
            return Err(Refused::Invalid { reason });
        };
        first.ready(Consistency::Linearizable).await.map_err(refused)?;
        let members = first.members();
        let known = members
            .iter()
            .find(|(_, (known, _))| parse_address(known).is_some_and(|known| known.id == peer.id));
        if members.len() >= NODES_MAX && known.is_none() {
            let reason = format!("the cluster has {NODES_MAX} nodes, no more fit");
            return Err(Refused::Invalid { reason });
        }
        if let Some((id, (known, _))) = known
            && known != address
        {
            let reason = format!("that key is node {id} at {known}; remove it first");
            return Err(Refused::Invalid { reason });
        }
        let id = match known {
            Some((id, _)) => *id,
            None => self.next_node_id(first),
        };
        for shard in self.router().all() {
            let shard = find(self, shard)?;
            let node = openraft::BasicNode::new(address);
            let added = shard.raft.add_learner(id.get(), node, false).await;
            change_refused(added.map(|_| ()))?;
        }
        Ok(Response::NodeAdded { node: id })
    }

    /// One above every id that was ever a member, as far as the membership tells.
    fn next_node_id(&self, first: &Shard) -> NodeId {
        let highest = first.members().keys().map(|id| id.get()).max().unwrap_or(0);
        NodeId::new(highest + 1)
    }

    /// Makes a learner a voter, once it has caught up.
    pub(crate) async fn promote_node(&self, id: NodeId) -> Result<Response, Refused> {
        let _one_at_a_time = self.changing.lock().await;
        let first = self.first_leader()?;
        match first.members().get(&id) {
            None => return Err(Refused::NotFound { what: format!("node {id}") }),
            Some((_, true)) => return Ok(Response::NodeAdded { node: id }),
            Some((_, false)) => {}
        }
        for shard in self.router().all() {
            let shard = find(self, shard)?;
            self.caught_up(shard, id).await?;
            let voters = ChangeMembers::AddVoterIds(BTreeSet::from([id.get()]));
            change_refused(shard.raft.change_membership(voters, false).await.map(|_| ()))?;
        }
        Ok(Response::NodeAdded { node: id })
    }

    /// Waits until the learner has nearly all of the log.
    async fn caught_up(&self, shard: &Shard, id: NodeId) -> Result<(), Refused> {
        let near = |metrics: &openraft::RaftMetrics<aspen_store::TypeConfig>| {
            let last = metrics.last_log_index.unwrap_or(0);
            let matched = metrics.replication.as_ref().and_then(|all| *all.get(&id.get())?);
            matched.is_some_and(|log_id| log_id.index + 1000 >= last)
        };
        let waited = shard.raft.wait(Some(PROMOTE_WAIT)).metrics(near, "learner caught up").await;
        waited.map(|_| ()).map_err(|_| {
            let metrics = shard.raft.metrics();
            let metrics = metrics.borrow_watched();
            let matched = metrics.replication.as_ref().and_then(|all| *all.get(&id.get())?);
            let (has, last) = (matched.map_or(0, |log_id| log_id.index), metrics.last_log_index);
            let reason = format!("{id} is catching up: {has} of {} entries", last.unwrap_or(0));
            Refused::Unavailable { reason }
        })
    }

    /// Removes a node from every shard.
    pub(crate) async fn remove_node(&self, id: NodeId) -> Result<Response, Refused> {
        let _one_at_a_time = self.changing.lock().await;
        let first = self.first_leader()?;
        first.ready(Consistency::Linearizable).await.map_err(refused)?;
        let members = first.members();
        let Some((_, voter)) = members.get(&id) else {
            return Err(Refused::NotFound { what: format!("node {id}") });
        };
        if *voter {
            self.majority_without(first, id)?;
        }
        for shard in self.router().all() {
            let shard = find(self, shard)?;
            // Removing the voter takes its membership too, for `retain` is false.
            let ids = BTreeSet::from([id.get()]);
            let change = match voter {
                true => ChangeMembers::RemoveVoters(ids),
                false => ChangeMembers::RemoveNodes(ids),
            };
            change_refused(shard.raft.change_membership(change, false).await.map(|_| ()))?;
        }
        Ok(Response::NodeRemoved)
    }

    /// Refuses if the voters that would be left are none, or too few of them answer now.
    fn majority_without(&self, first: &Shard, id: NodeId) -> Result<(), Refused> {
        let members = first.members();
        let left: Vec<NodeId> = members
            .iter()
            .filter(|(other, (_, voter))| *voter && **other != id)
            .map(|(other, _)| *other)
            .collect();
        let metrics = first.raft.metrics();
        let metrics = metrics.borrow_watched();
        let last = metrics.last_log_index.unwrap_or(0);
        let near = |other: &&NodeId| {
            let matched = metrics.replication.as_ref().and_then(|all| *all.get(&other.get())?);
            **other == self.id() || matched.is_some_and(|log_id| log_id.index + 1000 >= last)
        };
        let working = left.iter().filter(near).count();
        if left.is_empty() {
            let reason = format!("{id} is the only voter; removing it would end the cluster");
            return Err(Refused::Invalid { reason });
        }
        if working <= left.len() / 2 {
            let reason = format!(
                "without {id} only {working} of {} voters are up to date: no majority",
                left.len()
            );
            return Err(Refused::Invalid { reason });
        }
        Ok(())
    }
}

impl From<NotDone> for Refused {
    fn from(not_done: NotDone) -> Self {
        refused(not_done)
    }
}
