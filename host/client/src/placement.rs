//! Changing which nodes a cluster has, and where its replicas are.
//!
//! Promises that a change that was answered is part of the cluster's map, in one step: what follows is
//! the cluster's own affair, whether or not anybody waits for it ([`Client::settle`] does). Asking
//! again for what was asked for before does no harm.

use std::time::Duration;

use aspen_core::{ClusterInfo, NodeId, PlacementChange, Request, Response, ShardId};
use aspen_net::PeerAddr;
use snafu::OptionExt;
use tokio::time::sleep;

use crate::client::Client;
use crate::error::*;

/// How often somebody who waits for replicas looks at the map.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Client {
    /// Lets the node at `address` in, and gives the id it has from then on. Shards with too few
    /// replicas get one there.
    pub async fn add_node(&self, address: &PeerAddr) -> Result<NodeId, RequestError> {
        let change = PlacementChange::AddNode { address: address.to_string() };
        self.place(change).await?.context(ProtocolSnafu)
    }

    /// Moves what a node has to others, as far as there are others, and lets it go then.
    pub async fn remove_node(&self, node: NodeId) -> Result<(), RequestError> {
        self.place(PlacementChange::RemoveNode { node }).await.map(|_| ())
    }

    /// Moves a replica of a shard to a node; from the fullest one, if none is named.
    pub async fn move_replica(
        &self,
        shard: ShardId,
        from: Option<NodeId>,
        to: NodeId,
    ) -> Result<(), RequestError> {
        self.place(PlacementChange::Move { shard, from, to }).await.map(|_| ())
    }

    /// Evens out how many replicas each node has. Shards of which some are on their way already are
    /// left alone: ask again once they have arrived.
    pub async fn rebalance(&self) -> Result<(), RequestError> {
        self.place(PlacementChange::Rebalance).await.map(|_| ())
    }

    /// Who leads a shard; none if nobody does at the moment, as far as those know who have a replica.
    pub async fn leader(&self, shard: ShardId) -> Result<Option<NodeId>, RequestError> {
        let at = usize::from(shard.get());
        let info = self.cluster().await?;
        let known = |info: &ClusterInfo| info.leaders.get(at).copied().flatten();
        if let Some(leader) = known(&info) {
            return Ok(Some(leader));
        }
        // The node that was asked has no replica of it.
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

    /// Waits until the map, with every change that this client made, satisfies `is_there`; asks the
    /// nodes in turn. Has no time limit of its own: a copy takes as long as the state is large.
    pub async fn settle(
        &self,
        is_there: impl Fn(&ClusterInfo) -> bool,
    ) -> Result<ClusterInfo, RequestError> {
        loop {
            let info = self.cluster().await?;
            if info.epoch >= self.link().known_epoch().max(1) && is_there(&info) {
                return Ok(info);
            }
            self.link().turn_to_another();
            sleep(LOOK_EVERY).await;
        }
    }
}
