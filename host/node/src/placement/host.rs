//! Opening and deleting the replicas of this node.
//!
//! Promises that one task at a time opens or deletes a shard's replica, and that a replica is
//! deleted only when the group does not count on it (`reconcile.rs` says why).

use std::sync::Arc;

use aspen_core::defect::{Defect, is_planted};
use aspen_core::ids::ShardId;
use aspen_store::StoreError;
use tokio::time::sleep;

use crate::ask::ask;
use crate::context::{Members, NodeContext};
use crate::error::NodeError;
use crate::limits::{ASK_AGAIN, HOST_WAIT, PREPARE_WAIT};
use crate::peer::{LeaderReply, LeaderRequest, parse_address};
use crate::placement::recover::{LostState, recover};

/// Opens the replica of `shard` if the map has one here. Returns true if it runs.
pub async fn open(node: &Arc<NodeContext>, shard: ShardId) -> bool {
    let _alone = node.changing(shard).lock().await;
    let is_here = shard == ShardId::SYSTEM || node.map().placement.hosts(node.id(), shard);
    if !is_here || node.is_stopping() || node.waiting(shard).is_some() {
        return false;
    }
    if node.replica(shard).is_some() {
        return true;
    }
    match open_replica(node, shard).await {
        Ok(()) => node.replica(shard).is_some(),
        Err(error) => {
            node.set_waiting(shard, &format!("not there: {error}"));
            false
        }
    }
}

/// As [`open`], for a leader that is about to add this node, by the map of `epoch`.
pub async fn host(node: &Arc<NodeContext>, shard: ShardId, epoch: u64) -> bool {
    let map = node.map_of(epoch, HOST_WAIT).await;
    map.epoch >= epoch && open(node, shard).await
}

/// Opens the replica of `shard`. If its state is lost and others have it, the replica waits for
/// them.
pub async fn open_replica(node: &Arc<NodeContext>, shard: ShardId) -> Result<(), NodeError> {
    match node.opener().open(shard).await {
        Ok(replica) => node.slot(shard).put(replica),
        Err(error) => wait_for_state(node, shard, error)?,
    }
    Ok(())
}

/// Lets the replica of `shard` wait for other replicas, if its state is lost and others have it.
fn wait_for_state(
    node: &Arc<NodeContext>,
    shard: ShardId,
    error: NodeError,
) -> Result<(), NodeError> {
    let NodeError::Store { source: StoreError::StateLost { purged, .. } } = error else {
        return Err(error);
    };
    let Some(lost) = LostState::of(node, shard, purged)? else { return Err(error) };
    node.set_waiting(shard, "waiting for a snapshot from another replica");
    if shard == ShardId::SYSTEM {
        let members = lost.members.iter().filter_map(|address| parse_address(address));
        let members = members.chain([node.opener().identity.address]);
        node.access().set_members(Members::at(members));
    }
    let weak = Arc::downgrade(node);
    node.tasks().spawn(recover(weak, shard, lost));
    Ok(())
}

/// Deletes the replica of `shard` if the map has none here and the group counts on none here.
pub async fn clear(node: &NodeContext, shard: ShardId) {
    let _alone = node.changing(shard).lock().await;
    if node.map().placement.hosts(node.id(), shard) {
        return;
    }
    let asked = ask(node, shard, LeaderRequest::Members, PREPARE_WAIT).await;
    match asked {
        Some(LeaderReply::Members(members)) if !members.contains(&node.id()) => {}
        _ if is_planted(Defect::DeleteUnasked) => {}
        _ => return sleep(ASK_AGAIN).await,
    }
    match delete_replica(node, shard).await {
        Ok(()) => tracing::info!("{shard} has moved away"),
        // The next start tries again.
        Err(error) => {
            node.set_waiting(shard, &format!("moved away, but not deleted: {error}"));
        }
    }
}

/// Deletes the replica of `shard`, all but its vote. The replica must be no member of its group.
async fn delete_replica(node: &NodeContext, shard: ShardId) -> Result<(), NodeError> {
    let slot = node.slot(shard);
    if let Some(replica) = slot.take() {
        replica.close().await;
    }
    let deleted = node.opener().delete(shard).await;
    slot.set_waiting(None);
    deleted
}
