//! The cluster itself: its nodes, its placement map, the profiles of its functions, and its verification.

mod placement;
mod profile;
mod verify;

use aspen_core::protocol::{ClusterInfo, NodeStatus, Request, Response};
use aspen_net::PeerAddr;

use crate::client::Client;
use crate::error::*;

pub use profile::Profiles;
pub use verify::{ReplicaVerification, ShardVerification, VerificationError, VerifyProgress};

impl Client {
    /// Returns the nodes of the cluster, the placement map and the leaders.
    pub async fn cluster(&self) -> Result<ClusterInfo, RequestError> {
        self.link().cluster().await
    }

    /// Returns the status of every node; `Err` for nodes that do not answer.
    pub async fn status(&self) -> Vec<(PeerAddr, Result<NodeStatus, RequestError>)> {
        let ask = async |node: PeerAddr| {
            let status = match self.link().ask_node(&node, &Request::Status).await {
                Ok(Response::Status(status)) => Ok(status),
                Ok(_) => ProtocolSnafu.fail(),
                Err(error) => Err(error),
            };
            (node, status)
        };
        let mut all = vec![];
        for node in self.link().nodes() {
            all.push(ask(node).await);
        }
        all
    }
}
