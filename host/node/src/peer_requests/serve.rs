//! One match over the messages of other nodes: decoded, checked for cluster and shard, handed to
//! the replica.
//!
//! Promises that a message of another cluster, or about a replica that is not here, reaches no
//! replica.

use std::sync::Arc;

use aspen_core::codec::{decode, encode};
use bytes::Bytes;
use openraft::raft::AppendEntriesResponse;
use serde::Serialize;

use crate::context::NodeContext;
use crate::functions;
use crate::limits::DIGESTS_ASKED_MAX;
use crate::peer::{DigestReply, Envelope, PeerError, PeerMessage, ReadIndex};
use crate::placement;
use crate::replica::Replica;

/// Answers one message.
pub async fn serve(node: &Arc<NodeContext>, body: Bytes) -> Bytes {
    let envelope = match decode::<Envelope>(&body) {
        Ok(envelope) => envelope,
        Err(error) => return refuse(PeerError::Malformed { reason: error.to_string() }),
    };
    drop(body);
    let Envelope { cluster, shard, message } = envelope;
    if cluster != node.cluster() {
        return refuse(PeerError::OtherCluster { cluster: node.cluster() });
    }
    // These are about the node, or about a replica that need not be here.
    match message {
        PeerMessage::Map => return reply(&*node.map()),
        PeerMessage::LeadCount => return reply(node.lead_count() as u32),
        PeerMessage::Profiles => return reply(node.functions().profiles()),
        PeerMessage::Host { epoch } => {
            return reply(Box::pin(placement::host(node, shard, epoch)).await);
        }
        _ => {}
    }
    match node.replica(shard) {
        Some(replica) => answer(node, &replica, message).await,
        None => refuse(PeerError::NoShard { shard }),
    }
}

/// Answers a message about a replica that is here.
async fn answer(node: &NodeContext, replica: &Replica, message: PeerMessage) -> Bytes {
    let raft = &replica.raft;
    match message {
        PeerMessage::Append(request) => {
            let appended = raft.append_entries(request).await;
            if !matches!(appended, Err(_) | Ok(AppendEntriesResponse::HigherVote(_))) {
                replica.note_leader();
            }
            reply_or_stopped(appended)
        }
        PeerMessage::Vote(_) | PeerMessage::PreVote(_) | PeerMessage::TransferLeader(_)
            if replica.log.promised().is_some() =>
        {
            refuse(PeerError::Promised)
        }
        PeerMessage::Vote(request) => reply_or_stopped(raft.vote(request).await),
        PeerMessage::PreVote(request) => reply_or_stopped(raft.pre_vote(request).await),
        PeerMessage::TransferLeader(request) => {
            reply_or_stopped(raft.handle_transfer_leader(request).await)
        }
        PeerMessage::ReadIndex => reply(ReadIndex(replica.read_index().await.ok())),
        PeerMessage::Digests(at) => digests(replica, at),
        PeerMessage::Compile { component, source } => {
            reply(Box::pin(functions::compile(node, replica, component, source)).await)
        }
        PeerMessage::Leader(request) => reply(node.serve_leader(replica.id, request).await),
        PeerMessage::SnapshotPart(wanted) => reply_or_stopped(replica.snapshot_part(wanted).await),
        PeerMessage::Snapshot(chunk) => reply_or_stopped(replica.receive(chunk).await),
        // Answered by `serve`.
        PeerMessage::Map
        | PeerMessage::LeadCount
        | PeerMessage::Profiles
        | PeerMessage::Host { .. } => refuse(PeerError::NoShard { shard: replica.id }),
    }
}

fn digests(replica: &Replica, mut at: Vec<u64>) -> Bytes {
    // A replica that was found to be wrong has none to tell.
    if let Some(reason) = replica.reader.failed() {
        return refuse(PeerError::Stopped { reason });
    }
    at.truncate(DIGESTS_ASKED_MAX);
    let window = replica.reader.digest_window();
    reply(DigestReply { window, at: replica.reader.digests(&at) })
}

fn reply<T: Serialize>(answer: T) -> Bytes {
    encode(&Ok::<_, PeerError>(answer))
}

fn refuse(error: PeerError) -> Bytes {
    encode(&Err::<(), PeerError>(error))
}

fn reply_or_stopped<T: Serialize, E: std::fmt::Display>(result: Result<T, E>) -> Bytes {
    encode(&result.map_err(|error| PeerError::Stopped { reason: error.to_string() }))
}
