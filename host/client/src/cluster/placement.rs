//! Changes of placement: the nodes of a cluster, and the nodes of each replica.
//!
//! Promises that a change that was answered is part of the placement map, in one step. The cluster then
//! moves replicas in the background; [`Client::settle`] waits for them. The same request again does no
//! harm.

use std::time::Duration;

use aspen_core::ids::{NodeId, ShardId};
use aspen_core::placement::PlacementChange;
use aspen_core::protocol::{ClusterInfo, Request, Response};
use aspen_net::PeerAddr;
use snafu::OptionExt;
use tokio::time::sleep;

use crate::client::Client;
use crate::error::*;

/// Interval at which a client that waits for replicas asks for the map.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Client {
    /// Lets the node at `address` in, and returns its id. Shards with too few replicas get one there.
    pub async fn add_node(&self, address: &PeerAddr) -> Result<NodeId, RequestError> {
        let change = PlacementChange::AddNode { address: address.to_string() };
        self.place(change).await?.context(ProtocolSnafu)
    }

    /// Moves the replicas of a node to other nodes, as far as others can take them, and then removes the
    /// node.
    pub async fn remove_node(&self, node: NodeId) -> Result<(), RequestError> {
        self.place(PlacementChange::RemoveNode { node }).await.map(|_| ())
    }

    /// Moves a replica of a shard to the node `to`; from the fullest node, if `from` is `None`.
    pub async fn move_replica(
        &self,
        shard: ShardId,
        from: Option<NodeId>,
        to: NodeId,
    ) -> Result<(), RequestError> {
        self.place(PlacementChange::Move { shard, from, to }).await.map(|_| ())
    }

    /// Evens out the number of replicas of each node. Leaves alone the shards with a replica under way:
    /// ask again once it arrived.
    pub async fn rebalance(&self) -> Result<(), RequestError> {
        self.place(PlacementChange::Rebalance).await.map(|_| ())
    }

    /// Returns the leader of a shard, as far as the nodes with a replica know it; `None` if no node leads
    /// at the moment.
    pub async fn leader(&self, shard: ShardId) -> Result<Option<NodeId>, RequestError> {
        let at = usize::from(shard.get());
        let info = self.cluster().await?;
        let known = |info: &ClusterInfo| info.leaders.get(at).copied().flatten();
        if let Some(leader) = known(&info) {
            return Ok(Some(leader));
        }
        // The node that answered has no replica of the shard.
        let replicas = info.placement.replicas(shard).map(|it| it.now.clone()).unwrap_or_default();
        for address in replicas.iter().filter_map(|id| info.placement.address(*id)?.parse().ok()) {
            let asked = self.link().ask_node(&address, &Request::Cluster).await;
            if let Ok(Response::Cluster(info)) = asked
                && let Some(leader) = known(&info)
            {
                return Ok(Some(leader));
            }
        }
        Ok(None)
    }

    async fn place(&self, change: PlacementChange) -> Result<Option<NodeId>, RequestError> {
        match self.ask(ShardId::SYSTEM, &Request::Place(change)).await? {
            Response::Placed { epoch, node } => {
                self.link().must_know(epoch);
                Ok(node)
            }
            _ => ProtocolSnafu.fail(),
        }
    }

    /// Waits until the placement map, with every change that this client made, satisfies `is_settled`;
    /// asks the nodes in turn. Has no time limit of its own: the time of a copy grows with the state.
    pub async fn settle(
        &self,
        is_settled: impl Fn(&ClusterInfo) -> bool,
    ) -> Result<ClusterInfo, RequestError> {
        loop {
            let info = self.cluster().await?;
            if info.epoch >= self.link().known_epoch().max(1) && is_settled(&info) {
                return Ok(info);
            }
            self.link().turn_to_another();
            sleep(LOOK_EVERY).await;
        }
    }
}
