//! Changing the members of a cluster.

use aspen_core::{NodeId, Request, Response, ShardId};
use aspen_net::PeerAddr;

use crate::client::Client;
use crate::error::*;

impl Client {
    /// Adds a node to the cluster, without a vote, and gives the id it has from then on.
    pub async fn add_node(&self, address: &PeerAddr) -> Result<NodeId, RequestError> {
        let request = Request::AddNode { address: address.to_string() };
        let shard = ShardId::new(0);
        match self.ask(shard, &request).await? {
            Response::NodeAdded { node } => Ok(node),
            _ => ProtocolSnafu.fail(),
        }
    }

    /// Gives an added node its vote, once it has caught up.
    pub async fn promote_node(&self, node: NodeId) -> Result<(), RequestError> {
        let request = Request::PromoteNode { node };
        let shard = ShardId::new(0);
        match self.ask(shard, &request).await? {
            Response::NodeAdded { .. } => Ok(()),
            _ => ProtocolSnafu.fail(),
        }
    }

    /// Removes a node from the cluster.
    pub async fn remove_node(&self, node: NodeId) -> Result<(), RequestError> {
        let request = Request::RemoveNode { node };
        let shard = ShardId::new(0);
        match self.ask(shard, &request).await? {
            Response::NodeRemoved => Ok(()),
            _ => ProtocolSnafu.fail(),
        }
    }
}
