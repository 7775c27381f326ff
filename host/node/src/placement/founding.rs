//! Creating the cluster and its Raft groups.
//!
//! Promises that creating a cluster or a group twice changes nothing, so a crash in between costs
//! only time. Leaves out which node creates the group of a shard (`wanted.rs`).

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use aspen_core::ids::{NodeId, ShardId};
use aspen_core::placement::Placement;
use aspen_store::Raft;
use openraft::async_runtime::WatchReceiver;
use snafu::ResultExt;
use tokio::time::{sleep, timeout};

use crate::context::NodeContext;
use crate::error::{NodeError, RaftSnafu};
use crate::limits::{ASK_AGAIN, SERVED_AGAIN};
use crate::placement::map::update;
use crate::replica::Replica;

/// Creates the Raft group of a replica's shard, unless the group exists.
pub async fn create_group(
    node: &NodeContext,
    replica: &Replica,
    members: Vec<(NodeId, String)>,
) -> Result<(), NodeError> {
    let what = "the cluster cannot be created";
    let started = replica.raft.is_initialized().await;
    if started.boxed().context(RaftSnafu { what })? {
        return Ok(());
    }
    let member = |(id, address): (NodeId, String)| (id.get(), openraft::BasicNode::new(address));
    let members: BTreeMap<u64, openraft::BasicNode> = members.into_iter().map(member).collect();
    replica.raft.initialize(members).await.boxed().context(RaftSnafu { what })?;
    node.tasks().spawn(repeat_first_election(replica.raft.clone()));
    Ok(())
}

/// Elects until there is a leader. openraft (0.10.0-alpha.37) holds the first election at once and
/// counts itself as leader from then on, so should all votes get lost it would wait for ever.
async fn repeat_first_election(raft: Raft) {
    let patience = Duration::from_millis(raft.config().election_timeout_max);
    loop {
        sleep(patience).await;
        let has_leader = raft.metrics().borrow_watched().current_leader.is_some();
        // It fails only when the group has stopped.
        if has_leader || raft.trigger().elect(false).await.is_err() {
            return;
        }
    }
}

/// Writes the map of a new cluster, once.
pub async fn found_map(node: Weak<NodeContext>, placement: Placement) {
    loop {
        let Some(now) = node.upgrade() else { return };
        let write = |stored: &mut Placement| {
            let is_new = *stored == Placement::default();
            if is_new {
                stored.clone_from(&placement);
            }
            Ok(is_new)
        };
        if update(&now, write).await.is_ok() {
            return;
        }
        drop(now);
        sleep(ASK_AGAIN).await;
    }
}

/// Waits, at most for `limit`, until this node knows the map and has every replica that it shall
/// have, each with a leader. Returns true if that came to be.
pub async fn is_served(node: &NodeContext, limit: Duration) -> bool {
    let served = async {
        loop {
            let map = node.map();
            let is_led = |shard: ShardId| {
                let leader = node.replica(shard).and_then(|replica| replica.leader());
                leader.is_some() || !map.placement.hosts(node.id(), shard)
            };
            if map.epoch > 0 && node.router().all().all(is_led) {
                return;
            }
            sleep(SERVED_AGAIN).await;
        }
    };
    timeout(limit, served).await.is_ok()
}
