//! Raft's messages, going out: openraft's network traits over [`Transport`].
//!
//! Every message carries the cluster and the shard, so that a node of another cluster or a wrong
//! route is answered with an error and never reaches a log. One message holds a bounded number of
//! bytes; what does not fit goes with the next one. Snapshots travel on their own stream.

use std::sync::Arc;
use std::time::Duration;

use aspen_core::{ComponentHash, Digest, Placement, ProfileId, ShardId, decode, encode};
use aspen_net::{NetError, PeerAddr, Purpose, Transport};
use aspen_store::{LogId, RaftEntry, Snapshot, SnapshotFile, SnapshotMeta, TypeConfig, Vote};
use bytes::Bytes;
use openraft::EntryPayload;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, v2::RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use snafu::Snafu;
use tokio::time::{Instant, sleep_until};

use crate::compile_ahead::{Answer, Source};
use crate::limits::{
    APPEND_BYTES_MAX, DIGEST_WAIT, HOST_WAIT, MAP_ASK_WAIT, SNAPSHOT_BYTES_PER_SECOND,
    SNAPSHOT_CHUNK_BYTES, SNAPSHOT_CHUNK_WAIT,
};
use crate::map::Known;
use crate::participate::{Participated, Participation};

/// A message to one shard's replica on another node.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope {
    pub cluster: u128,
    pub shard: ShardId,
    pub message: RaftMessage,
}

/// The messages. Answers are `Result<T, Problem>` with the T of each.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub enum RaftMessage {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    TransferLeader(TransferLeaderRequest<TypeConfig>),
    Snapshot(SnapshotChunk),
    /// Asks the leader how far a read has to wait: the answer is a [`ReadIndex`].
    ReadIndex,
    /// Asks for the digests after some entries: the answer is [`Digests`].
    Digests(Vec<u64>),
    /// Asks for a piece of a snapshot: the answer is a [`SnapshotPart`], `None` if there is none yet.
    SnapshotPart(SnapshotWanted),
    /// Asks for the map, of the node: the answer is a [`MapCopy`].
    Map,
    /// Asks how many shards the node leads: the answer is a number.
    Leads,
    /// Asks with which profiles the node can run functions.
    Profiles,
    /// Says that the node shall have a replica by the map of this epoch, and asks whether it has.
    Host {
        epoch: u64,
    },
    /// A step of a transaction across shards: the answer is a [`Participated`].
    Participate(Participation),
    /// Asks that the node compiles a component: the answer is an [`Answer`].
    Compile {
        component: ComponentHash,
        source: Source,
    },
}

/// A node's copy of the map.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MapCopy {
    pub epoch: u64,
    pub placement: Placement,
}

/// What a replica has of the digests asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// The first and the last entry whose digests it keeps.
    pub window: Option<(u64, u64)>,
    /// In the order asked for.
    pub at: Vec<Option<Digest>>,
}

/// Which piece of which snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SnapshotWanted {
    /// It must reach at least to this entry.
    pub at_least: u64,
    /// That of the snapshot of which there are pieces already.
    pub checksum: Option<[u8; 32]>,
    pub offset: u64,
}

/// A piece of a snapshot that was asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct SnapshotPart {
    pub meta: SnapshotMeta,
    /// Size of the whole.
    pub bytes: u64,
    /// SHA-256 of the whole.
    pub checksum: [u8; 32],
    pub data: Bytes,
}

/// The index that a linearizable read must have applied; `None`: the node asked does not lead, or
/// no majority says that it does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ReadIndex(pub Option<u64>);

/// One piece of a snapshot.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct SnapshotChunk {
    pub vote: Vote,
    pub meta: SnapshotMeta,
    /// Size of the whole.
    pub bytes: u64,
    /// SHA-256 of the whole.
    pub checksum: [u8; 32],
    pub offset: u64,
    pub data: Bytes,
}

/// What a replica answers to a piece: the next offset, or after the last the vote.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub enum SnapshotProgress {
    More,
    Installed(SnapshotResponse<TypeConfig>),
}

/// Why a replica did not take a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, Snafu)]
pub enum Problem {
    #[snafu(display("the node belongs to cluster {cluster:032x}"))]
    OtherCluster { cluster: u128 },
    #[snafu(display("the node has no replica of {shard}"))]
    NoShard { shard: ShardId },
    #[snafu(display("the message was not understood: {reason}"))]
    Malformed { reason: String },
    #[snafu(display("the replica has stopped: {reason}"))]
    Stopped { reason: String },
    #[snafu(display("the replica was moved away and back, and has not yet all that it had"))]
    Promised,
}

/// Makes connections to the replicas of one shard on other nodes.
#[derive(Clone)]
pub struct RaftNet {
    pub transport: Arc<dyn Transport>,
    pub cluster: u128,
    pub shard: ShardId,
}

/// To one replica.
#[derive(Clone)]
pub struct Replica {
    transport: Arc<dyn Transport>,
    cluster: u128,
    shard: ShardId,
    node: Option<PeerAddr>,
}

impl RaftNet {
    /// To the replica on the node at this address.
    pub fn replica(&self, address: &str) -> Replica {
        // An address that does not parse was never accepted into a membership by this program.
        let node = address.parse().ok();
        let RaftNet { transport, cluster, shard } = self;
        Replica { transport: transport.clone(), cluster: *cluster, shard: *shard, node }
    }
}

impl RaftNetworkFactory<TypeConfig> for RaftNet {
    type Network = Replica;

    async fn new_client(&mut self, _id: u64, node: &openraft::BasicNode) -> Replica {
        self.replica(&node.addr)
    }
}

impl Replica {
    /// Asks this replica, as the leader, how far a read has to wait.
    pub async fn read_index(&self, deadline: Duration) -> Option<u64> {
        let asked = self.ask::<ReadIndex>(Purpose::Raft, RaftMessage::ReadIndex, deadline);
        asked.await.ok().and_then(|ReadIndex(index)| index)
    }

    /// The digests of this replica after these entries, unless it does not answer.
    pub async fn digests(&self, at: Vec<u64>) -> Option<Digests> {
        self.ask(Purpose::Raft, RaftMessage::Digests(at), DIGEST_WAIT).await.ok()
    }

    /// The map that this node knows, unless it does not answer.
    pub async fn map(&self) -> Option<Known> {
        let asked = self.ask::<MapCopy>(Purpose::Raft, RaftMessage::Map, MAP_ASK_WAIT).await;
        asked.ok().map(|MapCopy { epoch, placement }| Known { epoch, placement })
    }

    /// How many shards this node leads, unless it does not answer.
    pub async fn leads(&self) -> Option<usize> {
        let asked = self.ask::<u32>(Purpose::Raft, RaftMessage::Leads, MAP_ASK_WAIT).await;
        asked.ok().map(|leads| leads as usize)
    }

    /// With which profiles this node can run functions, unless it does not answer.
    pub async fn profiles(&self) -> Option<Vec<ProfileId>> {
        self.ask(Purpose::Raft, RaftMessage::Profiles, MAP_ASK_WAIT).await.ok()
    }

    /// Asks this node to compile a component, unless it does not answer in time.
    pub async fn compile(
        &self,
        component: ComponentHash,
        source: Source,
        deadline: Duration,
    ) -> Option<Answer> {
        let message = RaftMessage::Compile { component, source };
        self.ask(Purpose::Raft, message, deadline).await.ok()
    }

    /// Whether this node has a replica of the shard now, by the map of `epoch` or a later one.
    pub async fn host(&self, epoch: u64) -> bool {
        let message = RaftMessage::Host { epoch };
        self.ask::<bool>(Purpose::Raft, message, 2 * HOST_WAIT).await.unwrap_or(false)
    }

    /// Asks this replica, as the leader, to take part in a transaction across shards.
    pub async fn participate(
        &self,
        what: Participation,
        deadline: Duration,
    ) -> Option<Participated> {
        self.ask(Purpose::Raft, RaftMessage::Participate(what), deadline).await.ok()
    }

    /// A piece of this replica's snapshot.
    pub async fn snapshot_part(
        &self,
        wanted: SnapshotWanted,
    ) -> Result<Option<SnapshotPart>, Failure> {
        self.ask(Purpose::Snapshot, RaftMessage::SnapshotPart(wanted), SNAPSHOT_CHUNK_WAIT).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        purpose: Purpose,
        message: RaftMessage,
        deadline: Duration,
    ) -> Result<T, Failure> {
        let Replica { cluster, shard, .. } = *self;
        let node = self.node.ok_or(Failure::Address)?;
        let body = encode(&Envelope { cluster, shard, message });
        let reply = self.transport.request(&node, purpose, body, deadline).await;
        let reply = reply.map_err(|source| Failure::Net { source })?;
        let answer = decode::<Result<T, Problem>>(&reply);
        answer.map_err(|_| Failure::Answer)?.map_err(|problem| Failure::Problem { problem })
    }
}

/// Why a replica did not answer.
#[derive(Debug, Snafu)]
pub enum Failure {
    #[snafu(display("the member's address is not one"))]
    Address,
    #[snafu(display("{source}"))]
    Net { source: NetError },
    #[snafu(display("the answer was not understood"))]
    Answer,
    #[snafu(display("{problem}"))]
    Problem { problem: Problem },
}

impl From<Failure> for RPCError<TypeConfig> {
    fn from(failure: Failure) -> Self {
        match &failure {
            // Worth another try at once: the peer is there.
            Failure::Net {
                source: NetError::Deadline { .. } | NetError::ConnectionLost { .. },
            } => RPCError::Network(NetworkError::new(&failure)),
            _ => RPCError::Unreachable(Unreachable::new(&failure)),
        }
    }
}

/// How many of the entries go into one message, at least one.
fn fitting(entries: &[RaftEntry]) -> usize {
    let mut bytes = 0;
    let fits = |entry: &&RaftEntry| {
        bytes += match &entry.payload {
            EntryPayload::Normal(proposal) => proposal.0.len(),
            EntryPayload::Blank | EntryPayload::Membership(_) => 0,
        };
        bytes <= APPEND_BYTES_MAX
    };
    entries.iter().take_while(fits).count().max(entries.len().min(1))
}

fn unreachable<E: std::error::Error + 'static>(error: E) -> StreamingError<TypeConfig> {
    StreamingError::Unreachable(Unreachable::new(&error))
}

impl RaftNetworkV2<TypeConfig> for Replica {
    type SnapshotData = SnapshotFile;

    async fn append_entries(
        &mut self,
        mut request: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let whole = request.entries.len();
        request.entries.truncate(fitting(&request.entries));
        let last: Option<LogId> = request.entries.last().map(|entry| entry.log_id);
        let partial = request.entries.len() < whole;
        let message = RaftMessage::Append(request);
        let answer = self.ask(Purpose::Raft, message, option.hard_ttl()).await?;
        Ok(match answer {
            AppendEntriesResponse::Success if partial => {
                AppendEntriesResponse::PartialSuccess(last)
            }
            answer => answer,
        })
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Ok(self.ask(Purpose::Raft, RaftMessage::Vote(request), option.hard_ttl()).await?)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Ok(self.ask(Purpose::Raft, RaftMessage::PreVote(request), option.hard_ttl()).await?)
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let message = RaftMessage::TransferLeader(request);
        Ok(self.ask(Purpose::Raft, message, option.hard_ttl()).await?)
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let send = async {
            let Snapshot { meta, snapshot: file } = snapshot;
            let (begun, mut offset) = (Instant::now(), 0);
            loop {
                sleep_until(begun + snapshot_time(offset)).await;
                let data = file.read_chunk(offset, SNAPSHOT_CHUNK_BYTES);
                let data = data.map_err(unreachable)?;
                let sent = data.len() as u64;
                let (vote, meta) = (vote, meta.clone());
                let (bytes, checksum) = (file.bytes, file.checksum);
                let chunk = SnapshotChunk { vote, meta, bytes, checksum, offset, data };
                let message = RaftMessage::Snapshot(chunk);
                let answer = self.ask(Purpose::Snapshot, message, SNAPSHOT_CHUNK_WAIT).await;
                match answer.map_err(unreachable)? {
                    SnapshotProgress::Installed(response) => return Ok(response),
                    SnapshotProgress::More => offset += sent,
                }
            }
        };
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = send => sent,
        }
    }
}

/// How long sending so many bytes of a snapshot shall take.
fn snapshot_time(bytes: u64) -> Duration {
    Duration::from_micros(bytes * 1_000_000 / SNAPSHOT_BYTES_PER_SECOND)
}
