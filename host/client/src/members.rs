//! Changing the members of a cluster: every shard's, one after the other.
//!
//! Promises that a change that was interrupted is finished by asking for it again. Shard 0 comes
//! first when a node is added, for it gives the id, and last when one is removed, for it says who is
//! let in.

use aspen_core::{NodeId, Refused, Request, Response, ShardId};
use aspen_net::PeerAddr;

use crate::client::Client;
use crate::error::*;

impl Client {
    /// Adds a node to the cluster, without a vote, and gives the id it has from then on.
    pub async fn add_node(&self, address: &PeerAddr) -> Result<NodeId, RequestError> {
        let mut given = None;
        for shard in self.router().all() {
            let address = address.to_string();
            match self.ask(shard, &Request::AddNode { shard, node: given, address }).await? {
                Response::NodeAdded { node } => given = Some(node),
                _ => return ProtocolSnafu.fail(),
            }
        }
        given.map_or_else(|| ProtocolSnafu.fail(), Ok)
    }

    /// Gives an added node its vote, once it has caught up.
    pub async fn promote_node(&self, node: NodeId) -> Result<(), RequestError> {
        for shard in self.router().all() {
            match self.ask(shard, &Request::PromoteNode { shard, node }).await? {
                Response::NodeAdded { .. } => {}
                _ => return ProtocolSnafu.fail(),
            }
        }
        Ok(())
    }

    /// Removes a node from the cluster.
    pub async fn remove_node(&self, node: NodeId) -> Result<(), RequestError> {
        let shards: Vec<ShardId> = self.router().all().collect();
        for shard in shards.into_iter().rev() {
            match self.ask(shard, &Request::RemoveNode { shard, node }).await {
                Ok(Response::NodeRemoved) => {}
                Ok(_) => return ProtocolSnafu.fail(),
                // Gone from here already, by a removal that was interrupted.
                Err(RequestError::Refused { refused: Refused::NotFound { .. } })
                    if shard != ShardId::new(0) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
