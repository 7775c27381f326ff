//! Changes of the placement map that an operator asks for.
//!
//! Promises that a change which was reported is committed. Leaves out the rules of changes
//! (`aspen_core::placement::Placement`) and the moves that follow (`reconcile.rs`).

use std::collections::BTreeSet;
use std::sync::Mutex;

use aspen_core::ids::{NodeId, ShardId};
use aspen_core::placement::{Placement, PlacementChange, PlacementError};
use aspen_core::protocol::{ErrorReply, Response};
use futures::future::join_all;

use crate::context::{NodeContext, led_and_ready};
use crate::placement::map::{look_at_map, update};

/// Changes the map, as the leader of the system group.
pub async fn change(node: &NodeContext, change: PlacementChange) -> Result<Response, ErrorReply> {
    led_and_ready(node, ShardId::SYSTEM).await?;
    look_at_map(node);
    if node.map().epoch == 0 {
        let reason = "the cluster is being founded".into();
        return Err(ErrorReply::Unavailable { reason });
    }
    let alive = match change {
        PlacementChange::AddNode { .. } => BTreeSet::new(),
        _ => alive(node).await,
    };
    let given = Mutex::new(None);
    let make = |placement: &mut Placement| {
        let before = placement.clone();
        let node = placement.change(&change, &alive).map_err(refusal)?;
        *given.lock().expect("no panic under the lock") = node;
        Ok(*placement != before)
    };
    let map = update(node, make).await?;
    let node = given.into_inner().expect("no panic under the lock");
    Ok(Response::Placed { epoch: map.epoch, node })
}

/// Returns the nodes that answer now.
async fn alive(node: &NodeContext) -> BTreeSet<NodeId> {
    let map = node.map();
    let net = node.opener().net(ShardId::SYSTEM);
    let ask = |(id, address): (NodeId, String)| {
        let net = net.clone();
        async move {
            let is_alive = id == node.id() || net.peer(&address).map().await.is_some();
            is_alive.then_some(id)
        }
    };
    let asked = join_all(map.replicas(ShardId::SYSTEM).into_iter().map(ask)).await;
    asked.into_iter().flatten().collect()
}

fn refusal(error: PlacementError) -> ErrorReply {
    match error {
        PlacementError::NoNode { .. } | PlacementError::NoShard { .. } => {
            ErrorReply::NotFound { what: error.to_string() }
        }
        error => ErrorReply::Invalid { reason: error.to_string() },
    }
}
