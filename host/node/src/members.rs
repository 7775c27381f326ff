//! Members: adding, promoting and removing nodes, of one shard at a time.
//!
//! A node is added as a learner (it gets the log but has no vote), catches up, and is promoted when
//! it asks for it. Each step may be repeated, so whoever was interrupted asks again. Removing takes
//! the vote and the membership in one change, and is refused when the voters that are left could
//! not be a working majority. Shards have leaders on different nodes, so whoever changes members
//! asks the leader of each: shard 0 first when a node is added, for it gives the id, and last when
//! one is removed, for it says who is let in.

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
    /// The replica of a shard, if it leads: it decides about the shard's members.
    fn led(&self, shard: ShardId) -> Result<&Shard, Refused> {
        let shard = find(self, shard)?;
        if shard.leader() != Some(self.id()) {
            return Err(Refused::NotLeader { leader: shard.leader_address() });
        }
        Ok(shard)
    }

    /// Adds the node at `address` to a shard as a learner; gives the same id when asked again.
    pub(crate) async fn add_node(
        &self,
        shard: ShardId,
        id: Option<NodeId>,
        address: &str,
    ) -> Result<Response, Refused> {
        let _one_at_a_time = self.changing.lock().await;
        let shard = self.led(shard)?;
        let Some(peer) = parse_address(address) else {
            let reason = format!("{address:?} is no node address (hex@ip:port)");
            return Err(Refused::Invalid { reason });
        };
        shard.ready(Consistency::Linearizable).await.map_err(refused)?;
        let members = shard.members();
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
        // Without an id given, one above every id that is a member, as far as this shard tells.
        let highest = || members.keys().map(|id| id.get()).max().unwrap_or(0);
        let id = known.map(|(id, _)| *id).or(id).unwrap_or_else(|| NodeId::new(highest() + 1));
        if known.is_none() {
            let node = openraft::BasicNode::new(address);
            let added = shard.raft.add_learner(id.get(), node, false).await;
            change_refused(added.map(|_| ()))?;
        }
        Ok(Response::NodeAdded { node: id })
    }

    /// Makes a learner of a shard a voter, once it has caught up.
    pub(crate) async fn promote_node(
        &self,
        shard: ShardId,
        id: NodeId,
    ) -> Result<Response, Refused> {
        let _one_at_a_time = self.changing.lock().await;
        let shard = self.led(shard)?;
        match shard.members().get(&id) {
            None => return Err(Refused::NotFound { what: format!("node {id}") }),
            Some((_, true)) => return Ok(Response::NodeAdded { node: id }),
            Some((_, false)) => {}
        }
        self.caught_up(shard, id).await?;
        let voters = ChangeMembers::AddVoterIds(BTreeSet::from([id.get()]));
        change_refused(shard.raft.change_membership(voters, false).await.map(|_| ()))?;
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

    /// Removes a node from a shard.
    pub(crate) async fn remove_node(
        &self,
        shard: ShardId,
        id: NodeId,
    ) -> Result<Response, Refused> {
        let _one_at_a_time = self.changing.lock().await;
        let shard = self.led(shard)?;
        shard.ready(Consistency::Linearizable).await.map_err(refused)?;
        let members = shard.members();
        let Some((_, voter)) = members.get(&id) else {
            return Err(Refused::NotFound { what: format!("node {id}") });
        };
        if *voter {
            self.majority_without(shard, id).await?;
        }
        // Removing the voter takes its membership too, for `retain` is false.
        let ids = BTreeSet::from([id.get()]);
        let change = match voter {
            true => ChangeMembers::RemoveVoters(ids),
            false => ChangeMembers::RemoveNodes(ids),
        };
        change_refused(shard.raft.change_membership(change, false).await.map(|_| ()))?;
        Ok(Response::NodeRemoved)
    }

    /// Refuses if the voters that would be left are none, or too few of them are up to date and
    /// answer now: what was replicated to a node says nothing of whether it still runs.
    async fn majority_without(&self, shard: &Shard, id: NodeId) -> Result<(), Refused> {
        let members = shard.members();
        let left = members.iter().filter(|(other, (_, voter))| *voter && **other != id);
        let left: Vec<(NodeId, &String)> =
            left.map(|(other, (address, _))| (*other, address)).collect();
        if left.is_empty() {
            let reason = format!("{id} is the only voter; removing it would end the cluster");
            return Err(Refused::Invalid { reason });
        }
        let near = |other: NodeId| {
            let metrics = shard.raft.metrics();
            let metrics = metrics.borrow_watched();
            let last = metrics.last_log_index.unwrap_or(0);
            let matched = metrics.replication.as_ref().and_then(|all| *all.get(&other.get())?);
            matched.is_some_and(|log_id| log_id.index + 1000 >= last)
        };
        let mut working = 0;
        for (other, address) in &left {
            let answers = async || shard.net.replica(address).digests(vec![]).await.is_some();
            working += usize::from(*other == self.id() || (near(*other) && answers().await));
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
