//! Making the replicas what the map says, on every node, all the time.
//!
//! ```text
//! map says                                    who does it          how
//! a replica shall be here, none is            this node            opens an empty one
//! a founding replica, first in turn           this node            creates the Raft group
//! the members differ from the target          the shard's leader   learners, catch up, joint change
//! the leader itself leaves                    the shard's leader   gives the lead away before
//! no replica shall be here, one is            this node            asks the leader, then deletes it
//! a node leaves and has no replica            the system leader    lets it go
//! ```
//!
//! Each step is small, begins from what is there and may be done again, so a crash at any point
//! costs nothing but the time: the same loop of the same or another node goes on. Moves copy at
//! most [`MOVES_AT_ONCE`] shards of a leader at a time.
//!
//! Two things keep a move from losing what was promised. A leader adds a node only after that node
//! has said, with the map of that epoch or a later one, that it has a replica for it. And a node
//! deletes a replica only when its map says so and the shard's leader, confirmed by a majority, says
//! that the node is not a member. Members that have not heard so may still count on it: should the
//! replica come back, empty, it could give them a majority that lacks what it had acknowledged. So its
//! vote is kept for ever, and how far its log reached until it does again: before that it neither votes
//! nor stands for election.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use aspen_core::defect::{Defect, is_planted};
use aspen_core::{NodeId, Placement, PlacementChange, PlacementError, Refused, Response, ShardId};
use futures::future::{BoxFuture, join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use openraft::ChangeMembers;
use openraft::async_runtime::WatchReceiver;
use tokio::time::{sleep, timeout};

use crate::limits::{
    HANDOVER_WAIT, HOST_WAIT, MOVES_AT_ONCE, PARTICIPATE_AGAIN, PLACE_EVERY, PLACE_IDLE,
    PLACE_LOOKS, PREPARE_WAIT, SERVED_AGAIN, SYSTEM_VOTERS_MAX,
};
use crate::map::{self, Known};
use crate::node::ShardedRaftNode;
use crate::participate::{self, Participated, Participation};
use crate::shard::Shard;
use crate::two_phase;

/// Who shall be a member of a group, and as what.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    voters: BTreeSet<NodeId>,
    learners: BTreeSet<NodeId>,
}

/// Something to do about a shard.
enum Work {
    Open,
    Found(Arc<Shard>),
    Steer(Arc<Shard>),
    Clear,
}

/// Does what is due until the node is gone.
pub async fn carry_out(node: Weak<ShardedRaftNode>) {
    let mut running: FuturesUnordered<BoxFuture<'static, ShardId>> = FuturesUnordered::new();
    let mut busy = BTreeSet::new();
    let Some(mut copies) = node.upgrade().map(|node| node.map_copy().subscribe()) else { return };
    // The epoch at which a look at everything found nothing to do, and looks at the system group
    // alone since.
    let mut idle: Option<(u64, u32)> = None;
    loop {
        let pause = match busy.is_empty() && copies.borrow().placement.is_settled() {
            true => PLACE_IDLE,
            false => PLACE_EVERY,
        };
        tokio::select! {
            biased;
            Some(shard) = running.next() => {
                busy.remove(&shard);
                continue;
            }
            _ = copies.changed() => {}
            () = sleep(pause) => {}
        }
        let Some(node) = node.upgrade() else { return };
        let known = node.map();
        if known.epoch == 0 {
            continue;
        }
        let is_settled = known.placement.is_settled();
        let is_idle = |(epoch, looks): &(u64, u32)| {
            is_settled && *epoch == known.epoch && *looks < PLACE_LOOKS
        };
        let looked = idle.filter(is_idle);
        let of_all = node.router().shards() * u16::from(looked.is_none());
        let mut copying = match looked {
            None => node.shards().filter(|shard| copies_now(&node, shard)).count(),
            Some(_) => 0,
        };
        idle = Some(looked.map_or((known.epoch, 0), |(epoch, looks)| (epoch, looks + 1)));
        for shard in (0..of_all).map(ShardId::new).chain([ShardId::SYSTEM]) {
            if busy.contains(&shard) {
                idle = None;
                continue;
            }
            let Some(work) = due(&node, &known, shard, &mut copying) else { continue };
            idle = None;
            busy.insert(shard);
            let (node, known) = (node.clone(), known.clone());
            running.push(Box::pin(async move {
                work.run(&node, &known, shard).await;
                shard
            }));
        }
    }
}

/// Whether a replica that this node leads is being copied somewhere.
fn copies_now(node: &ShardedRaftNode, shard: &Shard) -> bool {
    let has_learner = || {
        let metrics = shard.raft.server_metrics();
        metrics.borrow_watched().membership_config.membership().learner_ids().next().is_some()
    };
    shard.id != ShardId::SYSTEM && node.leads(shard.id) && has_learner()
}

/// What there is to do about a shard, if anything; `copying` counts the copies that are under way.
fn due(node: &ShardedRaftNode, known: &Known, id: ShardId, copying: &mut usize) -> Option<Work> {
    let is_here = id == ShardId::SYSTEM || known.placement.hosts(node.id(), id);
    let Some(shard) = node.shard(id) else {
        return match node.waiting(id) {
            None => is_here.then_some(Work::Open),
            Some(_) => (!is_here).then_some(Work::Clear),
        };
    };
    if !is_here {
        return Some(Work::Clear);
    }
    if shard.reader.failed().is_some() {
        return None;
    }
    if founder(known, id) == Some(node.id()) && shard.members().is_empty() {
        return Some(Work::Found(shard));
    }
    if !node.leads(id) {
        return None;
    }
    let wanted = wanted(known, &shard);
    let is_steady = is_steady(&shard, &wanted);
    if is_steady && !has_news(known, id, &wanted) {
        return None;
    }
    let copies = !is_steady && id != ShardId::SYSTEM && !copies_now(node, &shard);
    if copies && *copying >= MOVES_AT_ONCE {
        return None;
    }
    *copying += usize::from(copies);
    Some(Work::Steer(shard))
}

/// Who creates the Raft group of a shard that never was. The shards take turns, for who creates a
/// group leads it first.
fn founder(known: &Known, shard: ShardId) -> Option<NodeId> {
    let replicas = known.placement.replicas(shard).filter(|replicas| replicas.changes == 0)?;
    replicas.now.get(usize::from(shard.get()) % replicas.now.len().max(1)).copied()
}

/// Whether the map does not know yet what has happened.
fn has_news(known: &Known, shard: ShardId, wanted: &Wanted) -> bool {
    match known.placement.replicas(shard) {
        Some(replicas) => !replicas.now.iter().eq(&wanted.voters),
        None => known.placement.clone().let_go(),
    }
}

fn wanted(known: &Known, shard: &Shard) -> Wanted {
    let placement = &known.placement;
    if let Some(replicas) = placement.replicas(shard.id) {
        let voters = replicas.target.iter().copied().collect();
        return Wanted { voters, learners: BTreeSet::new() };
    }
    // The system group: everybody, of them a few voters, as far as possible those that are it now.
    let members = shard.members();
    let stays = |id: &NodeId| placement.nodes.get(id).is_some_and(|node| !node.leaves);
    let votes = |id: &NodeId| members.get(id).is_some_and(|(_, votes)| *votes);
    let now = placement.nodes.keys().copied().filter(|id| stays(id) && votes(id));
    let heard = shard.heard_from();
    let others = placement.nodes.keys().copied();
    let others = others.filter(|id| stays(id) && !votes(id) && heard.contains(id));
    let voters: BTreeSet<NodeId> = now.chain(others).take(SYSTEM_VOTERS_MAX).collect();
    let learners = placement.nodes.keys().copied().filter(|id| !voters.contains(id)).collect();
    Wanted { voters, learners }
}

/// Whether the members are those that are wanted, and no change is under way.
fn is_steady(shard: &Shard, wanted: &Wanted) -> bool {
    let metrics = shard.raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let membership = metrics.membership_config.membership();
    let all = wanted.voters.iter().chain(&wanted.learners);
    let all: BTreeSet<u64> = all.map(|id| id.get()).collect();
    membership.get_joint_config().len() == 1
        && membership.voter_ids().eq(wanted.voters.iter().map(|id| id.get()))
        && membership.nodes().map(|(id, _)| *id).eq(all)
}

impl Work {
    async fn run(self, node: &Arc<ShardedRaftNode>, known: &Known, shard: ShardId) {
        match self {
            Work::Open => {
                open(node, shard).await;
            }
            Work::Found(shard) => found(node, known, &shard).await,
            Work::Steer(shard) => {
                if let Err(why) = steer(node, known, &shard).await {
                    tracing::debug!("{}: members not changed yet: {why}", shard.id);
                }
            }
            Work::Clear => clear(node, shard).await,
        }
    }
}

/// Opens the replica of `shard` if the map has one here. Returns whether it runs.
async fn open(node: &Arc<ShardedRaftNode>, shard: ShardId) -> bool {
    let _alone = node.changing(shard).lock().await;
    let is_here = shard == ShardId::SYSTEM || node.map().placement.hosts(node.id(), shard);
    if !is_here || node.is_stopping() || node.waiting(shard).is_some() {
        return false;
    }
    if node.shard(shard).is_some() {
        return true;
    }
    match node.open_replica(shard).await {
        Ok(()) => node.shard(shard).is_some(),
        Err(error) => {
            node.waits(shard, &format!("not there: {error}"));
            false
        }
    }
}

/// As [`open`], for a leader that is about to add this node, by the map of `epoch`.
pub async fn host(node: &Arc<ShardedRaftNode>, shard: ShardId, epoch: u64) -> bool {
    let known = node.map_of(epoch, HOST_WAIT).await;
    known.epoch >= epoch && open(node, shard).await
}

/// Creates the Raft group of a shard that never was.
async fn found(node: &Arc<ShardedRaftNode>, known: &Known, shard: &Shard) {
    let members = known.replicas(shard.id);
    if let Err(error) = node.create_group(shard, members).await {
        tracing::error!("{} is not created: {error}", shard.id);
    }
}

/// As the leader: takes the next steps towards the members that are wanted; says why not all.
async fn steer(node: &Arc<ShardedRaftNode>, known: &Known, shard: &Shard) -> Result<(), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let wanted = wanted(known, shard);
    let (me, members) = (node.id(), shard.members());
    for id in wanted.voters.iter().chain(&wanted.learners) {
        if members.contains_key(id) {
            continue;
        }
        let address = known.placement.address(*id).ok_or("the map has no address")?;
        let is_system = shard.id == ShardId::SYSTEM;
        if !is_system && !shard.net.replica(address).host(known.epoch).await {
            return Err(format!("{id} has no room for it yet"));
        }
        let learner = openraft::BasicNode::new(address);
        let added = shard.raft.add_learner(id.get(), learner, false).await;
        added.map_err(|error| text(&error))?;
    }
    let votes = |id: &NodeId| members.get(id).is_some_and(|(_, votes)| *votes);
    let is_near = |id: &NodeId| *id == me || shard.has_nearly_all(*id);
    let new: BTreeSet<NodeId> = wanted.voters.iter().copied().filter(|id| !votes(id)).collect();
    if let Some(id) = new.iter().find(|id| !is_near(id)) {
        return Err(format!("{id} is catching up"));
    }
    let near = wanted.voters.iter().filter(|id| is_near(id)).count();
    if 2 * near <= wanted.voters.len() {
        return Err(format!("only {near} of {} replicas are up to date", wanted.voters.len()));
    }
    if !wanted.voters.contains(&me) {
        let new: BTreeSet<u64> = new.iter().map(|id| id.get()).collect();
        if !new.is_empty() {
            let added = shard.raft.change_membership(ChangeMembers::AddVoterIds(new), true).await;
            added.map_err(|error| text(&error))?;
        }
        let heard = shard.heard_from();
        let to = wanted.voters.iter().find(|id| heard.contains(id) && is_near(id));
        let to = to.ok_or("nobody can take the lead")?;
        return match shard.give_to(*to, HANDOVER_WAIT).await {
            true => Ok(()),
            false => Err(format!("{to} did not take the lead")),
        };
    }
    let has = |id: &u64| {
        let id = NodeId::new(*id);
        wanted.voters.contains(&id) || wanted.learners.contains(&id)
    };
    if !is_steady(shard, &wanted) {
        let voters: BTreeSet<u64> = wanted.voters.iter().map(|id| id.get()).collect();
        let changed = shard.raft.change_membership(voters, true).await;
        changed.map_err(|error| text(&error))?;
        let extra: BTreeSet<u64> = shard.members().keys().map(|id| id.get()).collect();
        let extra: BTreeSet<u64> = extra.into_iter().filter(|id| !has(id)).collect();
        if !extra.is_empty() {
            if shard.id == ShardId::SYSTEM {
                must_have_heard(known, shard, &extra).await?;
            }
            let removed = shard.raft.change_membership(ChangeMembers::RemoveNodes(extra), false);
            removed.await.map_err(|error| text(&error))?;
        }
    }
    let note = |placement: &mut Placement| {
        Ok(match shard.id {
            ShardId::SYSTEM => placement.let_go(),
            id => placement.arrived(id, &wanted.voters),
        })
    };
    map::update(node, note).await.map(|_| ()).map_err(|error| text(&error))
}

/// As the leader of the system group: a node that is no member hears nothing any more, so those that
/// answer shall have heard before that they leave.
async fn must_have_heard(
    known: &Known,
    system: &Shard,
    leave: &BTreeSet<u64>,
) -> Result<(), String> {
    let (members, heard) = (system.members(), system.heard_from());
    for id in leave.iter().map(|id| NodeId::new(*id)).filter(|id| heard.contains(id)) {
        let Some((address, _)) = members.get(&id) else { continue };
        let map = system.net.replica(address).map().await;
        if map.is_some_and(|map| map.epoch < known.epoch) {
            return Err(format!("{id} has not heard that it leaves"));
        }
    }
    Ok(())
}

/// Deletes the replica of `shard` if the map has none here and the group counts on none here.
async fn clear(node: &Arc<ShardedRaftNode>, shard: ShardId) {
    let _alone = node.changing(shard).lock().await;
    if node.map().placement.hosts(node.id(), shard) {
        return;
    }
    let asked = participate::ask(node, shard, Participation::Members, PREPARE_WAIT).await;
    match asked {
        Some(Participated::Members(members)) if !members.contains(&node.id()) => {}
        _ if is_planted(Defect::DeleteUnasked) => {}
        _ => return sleep(PARTICIPATE_AGAIN).await,
    }
    match node.delete_replica(shard).await {
        Ok(()) => tracing::info!("{shard} has moved away"),
        // The next start tries again.
        Err(error) => node.waits(shard, &format!("moved away, but not deleted: {error}")),
    }
}

/// Changes the map, as the leader of the system group.
pub async fn change(
    node: &Arc<ShardedRaftNode>,
    change: PlacementChange,
) -> Result<Response, Refused> {
    let system = two_phase::led(node, ShardId::SYSTEM)?;
    system.ready(aspen_core::Consistency::Linearizable).await.map_err(crate::requests::refused)?;
    node.look_at_map();
    if node.map().epoch == 0 {
        let reason = "the cluster is being founded".into();
        return Err(Refused::Unavailable { reason });
    }
    let alive = match change {
        PlacementChange::AddNode { .. } => BTreeSet::new(),
        _ => alive(node).await,
    };
    let given = std::sync::Mutex::new(None);
    let make = |placement: &mut Placement| {
        let before = placement.clone();
        let node = placement.change(&change, &alive).map_err(not_done)?;
        *given.lock().expect("no panic under the lock") = node;
        Ok(*placement != before)
    };
    let known = map::update(node, make).await?;
    let node = given.into_inner().expect("no panic under the lock");
    Ok(Response::Placed { epoch: known.epoch, node })
}

/// The nodes that answer now.
async fn alive(node: &ShardedRaftNode) -> BTreeSet<NodeId> {
    let known = node.map();
    let net = node.opening().net(ShardId::SYSTEM);
    let ask = |(id, address): (NodeId, String)| {
        let net = net.clone();
        async move {
            let is_alive = id == node.id() || net.replica(&address).map().await.is_some();
            is_alive.then_some(id)
        }
    };
    let asked = join_all(known.replicas(ShardId::SYSTEM).into_iter().map(ask)).await;
    asked.into_iter().flatten().collect()
}

fn not_done(error: PlacementError) -> Refused {
    match error {
        PlacementError::NoNode { .. } | PlacementError::NoShard { .. } => {
            Refused::NotFound { what: error.to_string() }
        }
        error => Refused::Invalid { reason: error.to_string() },
    }
}

/// Waits until this node knows the map and has every replica that it shall have, each with a leader;
/// at most so long. Returns whether it is so.
pub async fn is_served(node: &ShardedRaftNode, limit: Duration) -> bool {
    let served = async {
        loop {
            let known = node.map();
            let is_led = |shard: ShardId| {
                let leader = node.shard(shard).and_then(|shard| shard.leader());
                leader.is_some() || !known.placement.hosts(node.id(), shard)
            };
            if known.epoch > 0 && node.router().all().all(is_led) {
                return;
            }
            sleep(SERVED_AGAIN).await;
        }
    };
    timeout(limit, served).await.is_ok()
}

/// Writes the map of a new cluster, once.
pub async fn found_map(node: Weak<ShardedRaftNode>, placement: Placement) {
    loop {
        let Some(now) = node.upgrade() else { return };
        let write = |stored: &mut Placement| {
            let is_new = *stored == Placement::default();
            if is_new {
                stored.clone_from(&placement);
            }
            Ok(is_new)
        };
        if map::update(&now, write).await.is_ok() {
            return;
        }
        drop(now);
        sleep(PARTICIPATE_AGAIN).await;
    }
}
