//! Raft's messages, going out: openraft's network traits over a [`PeerReplica`].
//!
//! One message holds a bounded number of bytes; the entries that do not fit go with the next one.
//! Snapshots travel on a stream of their own, at a bounded rate.

use std::time::Duration;

use aspen_net::{NetError, Purpose};
use aspen_store::{LogId, RaftEntry, Snapshot, SnapshotFile, TypeConfig, Vote};
use openraft::EntryPayload;
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, v2::RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use tokio::time::{Instant, sleep_until};

use super::client::{AskError, PeerReplica, ShardNetwork};
use super::message::PeerMessage;
use super::snapshot_message::{SnapshotChunk, SnapshotProgress};
use crate::limits::{
    APPEND_BYTES_MAX, SNAPSHOT_BYTES_PER_SECOND, SNAPSHOT_CHUNK_BYTES, SNAPSHOT_CHUNK_WAIT,
};

impl RaftNetworkFactory<TypeConfig> for ShardNetwork {
    type Network = PeerReplica;

    async fn new_client(&mut self, _id: u64, node: &openraft::BasicNode) -> PeerReplica {
        self.peer(&node.addr)
    }
}

impl From<AskError> for RPCError<TypeConfig> {
    fn from(error: AskError) -> Self {
        match &error {
            // Worth another try at once: the peer is there.
            AskError::Net {
                source: NetError::Deadline { .. } | NetError::ConnectionLost { .. },
            } => RPCError::Network(NetworkError::new(&error)),
            _ => RPCError::Unreachable(Unreachable::new(&error)),
        }
    }
}

/// Returns how many of the entries go into one message, at least one.
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

impl RaftNetworkV2<TypeConfig> for PeerReplica {
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
        let message = PeerMessage::Append(request);
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
        Ok(self.ask(Purpose::Raft, PeerMessage::Vote(request), option.hard_ttl()).await?)
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        Ok(self.ask(Purpose::Raft, PeerMessage::PreVote(request), option.hard_ttl()).await?)
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let message = PeerMessage::TransferLeader(request);
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
                let message = PeerMessage::Snapshot(chunk);
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

/// Returns how long sending `bytes` of a snapshot shall take.
fn snapshot_time(bytes: u64) -> Duration {
    Duration::from_micros(bytes * 1_000_000 / SNAPSHOT_BYTES_PER_SECOND)
}
