//! Changing the members of a group towards the members that the placement map wants, as the leader.
//!
//! Promises that a member is added only once its node says that it has a replica, that new voters
//! have nearly all of the log before they vote, and that the leader hands the lead over before it
//! leaves. Each call takes the next steps and says why not all are taken; `reconcile.rs` calls
//! again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aspen_core::ids::{NodeId, ShardId};
use aspen_core::placement::Placement;
use openraft::ChangeMembers;

use crate::context::NodeContext;
use crate::limits::HANDOVER_WAIT;
use crate::peer::PlacementMap;
use crate::placement::map::update;
use crate::placement::wanted::WantedMembers;
use crate::replica::Replica;

/// Takes the next steps towards the wanted members; says why not all are taken.
pub async fn steer(
    node: &Arc<NodeContext>,
    map: &PlacementMap,
    replica: &Replica,
) -> Result<(), String> {
    let wanted = WantedMembers::of(map, replica);
    let (me, members) = (node.id(), replica.members());
    add_learners(map, replica, &wanted, &members).await?;
    let votes = |id: &NodeId| members.get(id).is_some_and(|(_, votes)| *votes);
    let is_near = |id: &NodeId| *id == me || replica.has_nearly_all(*id);
    let new: BTreeSet<NodeId> = wanted.voters.iter().copied().filter(|id| !votes(id)).collect();
    if let Some(id) = new.iter().find(|id| !is_near(id)) {
        return Err(format!("{id} is catching up"));
    }
    let near = wanted.voters.iter().filter(|id| is_near(id)).count();
    if 2 * near <= wanted.voters.len() {
        return Err(format!("only {near} of {} replicas are up to date", wanted.voters.len()));
    }
    if !wanted.voters.contains(&me) {
        return give_lead_away(replica, &wanted, new, is_near).await;
    }
    if !wanted.are_reached(replica) {
        replace_members(map, replica, &wanted).await?;
    }
    let note = |placement: &mut Placement| {
        Ok(match replica.id {
            ShardId::SYSTEM => placement.let_go(),
            id => placement.arrived(id, &wanted.voters),
        })
    };
    update(node, note).await.map(|_| ()).map_err(|error| error.to_string())
}

/// Adds the wanted members that are none yet as learners.
async fn add_learners(
    map: &PlacementMap,
    replica: &Replica,
    wanted: &WantedMembers,
    members: &BTreeMap<NodeId, (String, bool)>,
) -> Result<(), String> {
    for id in wanted.voters.iter().chain(&wanted.learners) {
        if members.contains_key(id) {
            continue;
        }
        let address = map.placement.address(*id).ok_or("the map has no address")?;
        let is_system = replica.id == ShardId::SYSTEM;
        if !is_system && !replica.net.peer(address).host(map.epoch).await {
            return Err(format!("{id} has no room for it yet"));
        }
        let learner = openraft::BasicNode::new(address);
        let added = replica.raft.add_learner(id.get(), learner, false).await;
        added.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Makes the `new` voters vote, then gives the lead to a voter that stays.
async fn give_lead_away(
    replica: &Replica,
    wanted: &WantedMembers,
    new: BTreeSet<NodeId>,
    is_near: impl Fn(&NodeId) -> bool,
) -> Result<(), String> {
    let new: BTreeSet<u64> = new.iter().map(|id| id.get()).collect();
    if !new.is_empty() {
        let added = replica.raft.change_membership(ChangeMembers::AddVoterIds(new), true).await;
        added.map_err(|error| error.to_string())?;
    }
    let heard = replica.heard_from();
    let to = wanted.voters.iter().find(|id| heard.contains(id) && is_near(id));
    let to = to.ok_or("nobody can take the lead")?;
    match replica.give_to(*to, HANDOVER_WAIT).await {
        true => Ok(()),
        false => Err(format!("{to} did not take the lead")),
    }
}

/// Makes the wanted voters the only voters, then removes the members that are not wanted.
async fn replace_members(
    map: &PlacementMap,
    replica: &Replica,
    wanted: &WantedMembers,
) -> Result<(), String> {
    let voters: BTreeSet<u64> = wanted.voters.iter().map(|id| id.get()).collect();
    let changed = replica.raft.change_membership(voters, true).await;
    changed.map_err(|error| error.to_string())?;
    let members = replica.members();
    let extra = members.keys().filter(|id| !wanted.contains(**id)).map(|id| id.get());
    let extra: BTreeSet<u64> = extra.collect();
    if !extra.is_empty() {
        if replica.id == ShardId::SYSTEM {
            must_have_heard(map, replica, &extra).await?;
        }
        let removed = replica.raft.change_membership(ChangeMembers::RemoveNodes(extra), false);
        removed.await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// As the leader of the system group: a node that is no member hears nothing any more, so the
/// leaving nodes that answer shall have heard before that they leave.
async fn must_have_heard(
    map: &PlacementMap,
    system: &Replica,
    leave: &BTreeSet<u64>,
) -> Result<(), String> {
    let (members, heard) = (system.members(), system.heard_from());
    for id in leave.iter().map(|id| NodeId::new(*id)).filter(|id| heard.contains(id)) {
        let Some((address, _)) = members.get(&id) else { continue };
        let theirs = system.net.peer(address).map().await;
        if theirs.is_some_and(|theirs| theirs.epoch < map.epoch) {
            return Err(format!("{id} has not heard that it leaves"));
        }
    }
    Ok(())
}
