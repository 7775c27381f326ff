//! Asking a replica on another node: one method for each message.
//!
//! Leaves out Raft's own messages (`raft_network.rs`).

use std::sync::Arc;
use std::time::Duration;

use aspen_core::codec::{decode, encode};
use aspen_core::ids::{ComponentHash, ProfileId, ShardId};
use aspen_net::{NetError, PeerAddr, Purpose, Transport};
use serde::de::DeserializeOwned;
use snafu::Snafu;

use super::compile_message::{CompileReply, ComponentSource};
use super::leader_message::{LeaderReply, LeaderRequest};
use super::message::{DigestReply, Envelope, PeerError, PeerMessage, ReadIndex};
use super::placement_map::PlacementMap;
use super::snapshot_message::{SnapshotPart, SnapshotPartRequest};
use crate::limits::{DIGEST_WAIT, HOST_WAIT, MAP_ASK_WAIT, SNAPSHOT_CHUNK_WAIT};

/// Makes connections to the replicas of one shard on other nodes.
#[derive(Clone)]
pub struct ShardNetwork {
    pub transport: Arc<dyn Transport>,
    pub cluster: u128,
    pub shard: ShardId,
}

/// A connection to the replica of one shard on another node, or to that node.
#[derive(Clone)]
pub struct PeerReplica {
    network: ShardNetwork,
    node: Option<PeerAddr>,
}

/// Parses the address of a member.
pub fn parse_address(address: &str) -> Option<PeerAddr> {
    address.parse().ok()
}

impl ShardNetwork {
    /// Returns the replica on the node at this address.
    pub fn peer(&self, address: &str) -> PeerReplica {
        // An address that does not parse was never accepted into a membership by this program.
        PeerReplica { network: self.clone(), node: parse_address(address) }
    }
}

impl PeerReplica {
    /// Asks this replica, as the leader, how far a read has to wait.
    pub async fn read_index(&self, deadline: Duration) -> Option<u64> {
        let asked = self.ask::<ReadIndex>(Purpose::Raft, PeerMessage::ReadIndex, deadline);
        asked.await.ok().and_then(|ReadIndex(index)| index)
    }

    /// Returns the digests of this replica after these entries; `None` without an answer.
    pub async fn digests(&self, at: Vec<u64>) -> Option<DigestReply> {
        self.ask(Purpose::Raft, PeerMessage::Digests(at), DIGEST_WAIT).await.ok()
    }

    /// Returns the placement map that this node knows; `None` without an answer.
    pub async fn map(&self) -> Option<PlacementMap> {
        self.ask(Purpose::Raft, PeerMessage::Map, MAP_ASK_WAIT).await.ok()
    }

    /// Returns the number of shards that this node leads; `None` without an answer.
    pub async fn lead_count(&self) -> Option<usize> {
        let asked = self.ask::<u32>(Purpose::Raft, PeerMessage::LeadCount, MAP_ASK_WAIT).await;
        asked.ok().map(|count| count as usize)
    }

    /// Returns the profiles with which this node can run functions; `None` without an answer.
    pub async fn profiles(&self) -> Option<Vec<ProfileId>> {
        self.ask(Purpose::Raft, PeerMessage::Profiles, MAP_ASK_WAIT).await.ok()
    }

    /// Asks this node to compile a component; `None` without an answer in time.
    pub async fn compile(
        &self,
        component: ComponentHash,
        source: ComponentSource,
        deadline: Duration,
    ) -> Option<CompileReply> {
        let message = PeerMessage::Compile { component, source };
        self.ask(Purpose::Raft, message, deadline).await.ok()
    }

    /// Returns true if this node has a replica of the shard now, by the map of `epoch` or a later
    /// one.
    pub async fn host(&self, epoch: u64) -> bool {
        let message = PeerMessage::Host { epoch };
        self.ask::<bool>(Purpose::Raft, message, 2 * HOST_WAIT).await.unwrap_or(false)
    }

    /// Asks this replica as the leader; `None` without an answer in time.
    pub async fn leader(&self, request: LeaderRequest, deadline: Duration) -> Option<LeaderReply> {
        self.ask(Purpose::Raft, PeerMessage::Leader(request), deadline).await.ok()
    }

    /// Fetches a piece of this replica's snapshot; `None` if there is no snapshot yet.
    pub async fn snapshot_part(
        &self,
        wanted: SnapshotPartRequest,
    ) -> Result<Option<SnapshotPart>, AskError> {
        self.ask(Purpose::Snapshot, PeerMessage::SnapshotPart(wanted), SNAPSHOT_CHUNK_WAIT).await
    }

    /// Sends a message and waits for the answer.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        purpose: Purpose,
        message: PeerMessage,
        deadline: Duration,
    ) -> Result<T, AskError> {
        let ShardNetwork { cluster, shard, .. } = self.network;
        let node = self.node.ok_or(AskError::Address)?;
        let body = encode(&Envelope { cluster, shard, message });
        let reply = self.network.transport.request(&node, purpose, body, deadline).await;
        let reply = reply.map_err(|source| AskError::Net { source })?;
        let answer = decode::<Result<T, PeerError>>(&reply);
        answer.map_err(|_| AskError::Answer)?.map_err(|source| AskError::Peer { source })
    }
}

/// The reason why a question has no answer.
#[derive(Debug, Snafu)]
pub enum AskError {
    #[snafu(display("the member's address is not one"))]
    Address,
    #[snafu(display("{source}"))]
    Net { source: NetError },
    #[snafu(display("the answer was not understood"))]
    Answer,
    #[snafu(display("{source}"))]
    Peer { source: PeerError },
}
