//! One replica of one shard: its Raft group member, and a way to read its state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use aspen_core::defect::{Defect, is_planted};
use aspen_core::{Consistency, LogIndex, NodeId, ShardId, ShardStatus};
use aspen_net::PeerAddr;
use aspen_store::{Divergence, LogId, Proposal, Raft, ShardLog, StateReader, TypeConfig};
use bytes::Bytes;
#[cfg(not(madsim))]
use openraft::Instant as _;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ClientWriteError, ForwardToLeader, LinearizableReadError, RaftError};
use openraft::raft::linearizable_read::Linearizer;
use openraft::{LogIdOptionExt, ReadPolicy};
use tokio::time::Instant;

use crate::limits::{BALANCE_LAG_MAX, CAUGHT_UP_LAG_MAX, READ_WAIT, WRITE_WAIT};
use crate::raft_net::RaftNet;
use crate::raft_serve::{Incoming, Outgoing};
use crate::rate::Rate;
use crate::views::Views;

/// A replica that this node hosts.
pub struct Shard {
    pub id: ShardId,
    pub raft: Raft,
    pub reader: StateReader,
    pub log: ShardLog,
    pub incoming: Incoming,
    pub outgoing: Outgoing,
    pub net: RaftNet,
    /// When the latest read began that found this replica up to date.
    pub fresh: Mutex<Option<Instant>>,
    /// When the leader was last heard.
    pub heard: Mutex<Option<Instant>>,
    /// What is wrong, though not with this replica for certain.
    pub warning: Mutex<Option<String>>,
    /// How fast it applies.
    pub rate: Rate,
    /// Views of it that stay open.
    pub views: Views,
}

/// Why a replica did not do something that only a working leader can do.
pub enum NotDone {
    /// Another leads, or none. Nothing was proposed.
    NotLeader(Option<(NodeId, String)>),
    /// No majority within the time. Nothing was proposed.
    NoMajority,
    /// Proposed; whether it commits is not known.
    Unknown,
    /// The replica has stopped.
    Stopped(String),
}

fn leader(forward: ForwardToLeader<TypeConfig>) -> NotDone {
    let node = forward.leader_id.zip(forward.leader_node);
    NotDone::NotLeader(node.map(|(id, node)| (NodeId::new(id), node.addr)))
}

fn not_linear(error: RaftError<TypeConfig, LinearizableReadError<TypeConfig>>) -> NotDone {
    match error {
        RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => leader(forward),
        RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) => NotDone::NoMajority,
        RaftError::Fatal(fatal) => NotDone::Stopped(fatal.to_string()),
    }
}

impl Shard {
    /// Proposes an encoded entry and waits for its encoded outcome.
    pub async fn propose(&self, entry: Bytes) -> Result<Bytes, NotDone> {
        self.propose_at(entry).await.map(|(_, outcome)| outcome)
    }

    /// As [`Self::propose`], with the entry's place in the log.
    pub async fn propose_at(&self, entry: Bytes) -> Result<(LogIndex, Bytes), NotDone> {
        let written = self.raft.client_write(Proposal(entry));
        match tokio::time::timeout(WRITE_WAIT, written).await {
            Ok(Ok(response)) => Ok((LogIndex::new(response.log_id.index), response.data.0)),
            Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(forward)))) => {
                Err(leader(forward))
            }
            Ok(Err(RaftError::APIError(_))) | Err(_) => Err(NotDone::Unknown),
            // It may have been proposed before the replica stopped: others can still commit it.
            Ok(Err(RaftError::Fatal(_))) => Err(NotDone::Unknown),
        }
    }

    /// Returns once a read of the state is as fresh as `consistency` asks.
    pub async fn ready(&self, consistency: Consistency) -> Result<(), NotDone> {
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
        // It may have been found to be wrong meanwhile.
        match self.reader.failed() {
            Some(reason) => Err(NotDone::Stopped(reason)),
            None => ready.unwrap_or(Err(NotDone::NoMajority)),
        }
    }

    /// Whether this replica was up to date at most so long ago. Its own clock measures, so the
    /// clocks of other machines have no say.
    fn is_fresh(&self, now: Instant, max_age_ms: u64) -> bool {
        let fresh = *self.fresh.lock().expect("no panic while the lock is held");
        let age = fresh.map(|fresh| now.saturating_duration_since(fresh));
        // A replica that has stopped cannot be fresh for long, but it must not answer at all.
        let is_running = self.raft.metrics().borrow_watched().running_state.is_ok();
        is_running && age.is_some_and(|age| age <= Duration::from_millis(max_age_ms))
    }

    /// Returns once a read of the state sees every write acknowledged before this was called.
    async fn linearize(&self) -> Result<(), NotDone> {
        if is_planted(Defect::StaleRead) && self.leader() == Some(NodeId::new(*self.raft.node_id()))
        {
            return Ok(());
        }
        let ready = self.linearizer().await?.await_ready(&self.raft).await;
        ready.map(|_| ()).map_err(|fatal| NotDone::Stopped(fatal.to_string()))
    }

    /// As the leader: what a read waits for.
    async fn linearizer(&self) -> Result<Linearizer<TypeConfig>, NotDone> {
        self.raft.get_read_linearizer(ReadPolicy::ReadIndex).await.map_err(not_linear)
    }

    /// As the leader: the index that has every write acknowledged before this was called.
    pub async fn read_index(&self) -> Result<u64, NotDone> {
        Ok(self.leads().await?.index)
    }

    /// As the leader, which it was for a moment during this: an entry of its own term with every
    /// write acknowledged before this was called.
    pub async fn leads(&self) -> Result<LogId, NotDone> {
        Ok(*self.linearizer().await?.read_log_id().log_id())
    }

    /// As [`Self::leads`], and that entry is applied here.
    pub async fn leads_and_has_all(&self) -> Result<LogId, NotDone> {
        let has_all = Box::pin(async {
            let linearizer = self.linearizer().await?;
            let at = *linearizer.read_log_id().log_id();
            let ready = linearizer.await_ready(&self.raft).await;
            ready.map(|_| at).map_err(|fatal| NotDone::Stopped(fatal.to_string()))
        });
        let has_all = tokio::time::timeout(READ_WAIT, has_all).await;
        match self.reader.failed() {
            Some(reason) => Err(NotDone::Stopped(reason)),
            None => has_all.unwrap_or(Err(NotDone::NoMajority)),
        }
    }

    /// As [`Self::linearize`], on a replica that need not lead.
    async fn catch_up(&self) -> Result<(), NotDone> {
        let me = NodeId::new(*self.raft.node_id());
        let index = match self.leader_address() {
            Some((leader, _)) if leader == me => return self.linearize().await,
            Some((_, address)) => self.net.replica(&address).read_index(READ_WAIT).await,
            None => None,
        };
        let index = index.ok_or(NotDone::NoMajority)?;
        let wait = self.raft.wait(Some(READ_WAIT));
        let applied = wait.applied_index_at_least(Some(index), "a read").await;
        applied.map(|_| ()).map_err(|_| NotDone::NoMajority)
    }

    /// Between two heartbeats of a leader.
    pub fn heartbeat(&self) -> Duration {
        Duration::from_millis(self.raft.config().heartbeat_interval)
    }

    /// The leader has been heard now.
    pub fn hears(&self) {
        *self.heard.lock().expect("no panic while the lock is held") = Some(Instant::now());
    }

    /// Whether the leader has been heard so short ago.
    pub fn heard_within(&self, limit: Duration) -> bool {
        let heard = *self.heard.lock().expect("no panic while the lock is held");
        heard.is_some_and(|heard| heard.elapsed() <= limit)
    }

    /// The members as this replica knows them, with whether they vote.
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

    /// Who leads, as this replica knows. One that has stopped knows nothing.
    pub fn leader(&self) -> Option<NodeId> {
        if self.reader.failed().is_some() {
            return None;
        }
        self.raft.server_metrics().borrow_watched().current_leader.map(NodeId::new)
    }

    /// The leader's address, as this replica knows.
    pub fn leader_address(&self) -> Option<(NodeId, String)> {
        let leader = self.leader()?;
        let (address, _) = self.members().remove(&leader)?;
        Some((leader, address))
    }

    /// This node's own address, as the members of the shard have it.
    pub fn own_address(&self) -> String {
        let me = NodeId::new(*self.raft.node_id());
        self.members().remove(&me).map(|(address, _)| address).unwrap_or_default()
    }

    /// How this replica is.
    pub fn status(&self) -> ShardStatus {
        let replicas = self.members().into_iter().map(|(node, (_, votes))| (node, votes));
        let replicas = replicas.collect();
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let state = self.reader.status();
        // What Raft tells may be of before the latest entries were applied.
        let last = metrics.last_log_index.max(self.log.last().map(|log_id| log_id.index));
        let applied = state.applied.map_or(0, |log_id| log_id.index);
        let failed = metrics.running_state.as_ref().err().map(|fatal| fatal.to_string());
        ShardStatus {
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

    /// Sets what the status warns of.
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

    /// Gives the lead to another voter, if this replica has it and there is another.
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

    /// As the leader: the other voters that could take the lead at once, for they have answered
    /// lately and lack next to nothing. None while the members change.
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
            has + BALANCE_LAG_MAX >= last && heard.is_some_and(|at| at.elapsed() <= lately)
        };
        let others = members.membership().voter_ids().filter(|id| *id != me && can_lead(id));
        if is_settled { others.map(NodeId::new).collect() } else { vec![] }
    }

    /// As the leader: the members that have answered lately.
    pub fn heard_from(&self) -> BTreeSet<NodeId> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let lately = 3 * self.heartbeat();
        let heard = metrics.heartbeat.iter().flatten();
        let heard = heard.filter(|(_, at)| at.is_some_and(|at| at.elapsed() <= lately));
        heard.map(|(id, _)| NodeId::new(*id)).collect()
    }

    /// As the leader: whether a member has nearly all of the log.
    pub fn has_nearly_all(&self, id: NodeId) -> bool {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let last = metrics.last_log_index.unwrap_or(0);
        let matched = metrics.replication.as_ref().and_then(|all| *all.get(&id.get())?);
        matched.is_some_and(|log_id| log_id.index + CAUGHT_UP_LAG_MAX >= last)
    }

    /// As the leader, confirmed by a majority: the members by what is committed, and those that a
    /// change under way takes away.
    pub async fn confirmed_members(&self) -> Result<Vec<NodeId>, NotDone> {
        self.linearize().await?;
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let members = &metrics.membership_config;
        if members.log_id().index() > metrics.last_applied.index() {
            return Err(NotDone::Unknown);
        }
        Ok(members.membership().nodes().map(|(id, _)| NodeId::new(*id)).collect())
    }

    /// As the leader: gives the lead to voter `to`. Returns whether it has it within `limit`.
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

/// The address of a member, parsed.
pub fn parse_address(address: &str) -> Option<PeerAddr> {
    address.parse().ok()
}
