//! Raft's messages, coming in: decoded, checked for cluster and shard, handed to the replica.
//!
//! A snapshot arrives in pieces, in order, into a temporary file; a piece that does not fit starts
//! nothing, and a new first piece starts over. Only a whole file with the right checksum is
//! installed (by `aspen-store`).

use std::sync::Arc;

use aspen_core::{decode, encode};
use aspen_store::{Snapshot, SnapshotReceiver, StateReader};
use bytes::Bytes;
use openraft::LogIdOptionExt;
use openraft::raft::AppendEntriesResponse;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::compile_ahead;
use crate::limits::{DIGESTS_ASKED_MAX, OUTGOING_KEEP, SNAPSHOT_CHUNK_BYTES};
use crate::node::ShardedRaftNode;
use crate::participate;
use crate::placement;
use crate::raft_net::{
    Digests, Envelope, MapCopy, Problem, RaftMessage, ReadIndex, SnapshotChunk, SnapshotPart,
    SnapshotProgress, SnapshotWanted,
};
use crate::shard::Shard;

/// The snapshot that one shard is receiving, if any.
#[derive(Default)]
pub struct Incoming(Mutex<Option<SnapshotReceiver>>);

impl Incoming {
    /// Bytes of it that are here, and bytes in all; nothing while a piece is being written.
    pub fn progress(&self) -> Option<(u64, u64)> {
        let slot = self.0.try_lock().ok()?;
        slot.as_ref().map(|receiver| (receiver.received(), receiver.bytes()))
    }
}

/// The snapshot that another replica fetches from this one, if any, and when it last did.
#[derive(Default)]
pub struct Outgoing(Mutex<Option<(Instant, Snapshot)>>);

impl Outgoing {
    /// Lets go of a snapshot that nobody fetched for long. One that is being read is in use.
    pub fn expire(&self) {
        let Ok(mut slot) = self.0.try_lock() else { return };
        if slot.as_ref().is_some_and(|(used, _)| used.elapsed() > OUTGOING_KEEP) {
            *slot = None;
        }
    }
}

/// Answers one message.
pub async fn serve(node: &Arc<ShardedRaftNode>, body: Bytes) -> Bytes {
    let envelope = match decode::<Envelope>(&body) {
        Ok(envelope) => envelope,
        Err(error) => return refuse(Problem::Malformed { reason: error.to_string() }),
    };
    drop(body);
    if envelope.cluster != node.cluster() {
        return refuse(Problem::OtherCluster { cluster: node.cluster() });
    }
    match envelope.message {
        RaftMessage::Map => {
            let known = node.map();
            let (epoch, placement) = (known.epoch, known.placement.clone());
            return encode(&Ok::<_, Problem>(MapCopy { epoch, placement }));
        }
        RaftMessage::Leads => return encode(&Ok::<_, Problem>(node.leads_count() as u32)),
        RaftMessage::Profiles => return encode(&Ok::<_, Problem>(node.functions().profiles())),
        RaftMessage::Host { epoch } => {
            let is_here = Box::pin(placement::host(node, envelope.shard, epoch)).await;
            return encode(&Ok::<_, Problem>(is_here));
        }
        _ => {}
    }
    let Some(shard) = node.shard(envelope.shard) else {
        return refuse(Problem::NoShard { shard: envelope.shard });
    };
    let shard = &*shard;
    let raft = &shard.raft;
    match envelope.message {
        RaftMessage::Append(request) => {
            let appended = raft.append_entries(request).await;
            if !matches!(appended, Err(_) | Ok(AppendEntriesResponse::HigherVote(_))) {
                shard.hears();
            }
            answer(appended)
        }
        RaftMessage::Vote(_) | RaftMessage::PreVote(_) | RaftMessage::TransferLeader(_)
            if shard.log.promised().is_some() =>
        {
            refuse(Problem::Promised)
        }
        RaftMessage::Vote(request) => answer(raft.vote(request).await),
        RaftMessage::PreVote(request) => answer(raft.pre_vote(request).await),
        RaftMessage::TransferLeader(request) => answer(raft.handle_transfer_leader(request).await),
        RaftMessage::ReadIndex => {
            let index = shard.read_index().await.ok();
            encode(&Ok::<_, Problem>(ReadIndex(index)))
        }
        RaftMessage::Digests(mut at) => {
            // Not those of a replica that was found to be wrong.
            if let Some(reason) = shard.reader.failed() {
                return refuse(Problem::Stopped { reason });
            }
            at.truncate(DIGESTS_ASKED_MAX);
            let window = shard.reader.digest_window();
            encode(&Ok::<_, Problem>(Digests { window, at: shard.reader.digests(&at) }))
        }
        // Answered above: they are not about a replica that is here.
        RaftMessage::Map
        | RaftMessage::Leads
        | RaftMessage::Profiles
        | RaftMessage::Host { .. } => refuse(Problem::NoShard { shard: envelope.shard }),
        RaftMessage::Compile { component, source } => {
            let answer = Box::pin(compile_ahead::serve(node, shard, component, source)).await;
            encode(&Ok::<_, Problem>(answer))
        }
        RaftMessage::Participate(what) => {
            let answer = Box::pin(participate::serve(node, envelope.shard, what)).await;
            encode(&Ok::<_, Problem>(answer))
        }
        RaftMessage::SnapshotPart(wanted) => match send(shard, wanted).await {
            Ok(part) => encode(&Ok::<_, Problem>(part)),
            Err(reason) => refuse(Problem::Stopped { reason }),
        },
        RaftMessage::Snapshot(chunk) => match receive(shard, &shard.incoming, chunk).await {
            Ok(progress) => encode(&Ok::<_, Problem>(progress)),
            Err(reason) => refuse(Problem::Stopped { reason }),
        },
    }
}

fn refuse(problem: Problem) -> Bytes {
    encode(&Err::<(), Problem>(problem))
}

fn answer<T: Serialize, E: std::error::Error>(result: Result<T, E>) -> Bytes {
    encode(&result.map_err(|error| Problem::Stopped { reason: error.to_string() }))
}

async fn receive(
    shard: &Shard,
    incoming: &Incoming,
    chunk: SnapshotChunk,
) -> Result<SnapshotProgress, String> {
    let SnapshotChunk { vote, meta, bytes, checksum, offset, data } = chunk;
    let mut slot = incoming.0.lock().await;
    if offset == 0 {
        *slot = None;
        *slot = Some(start(&shard.reader, bytes, checksum)?);
    }
    let receiver = slot.as_mut().ok_or("no snapshot is being received")?;
    let written = receiver.write(offset, &data);
    let written = match written {
        Ok(()) => receiver.settle().await,
        refused => refused,
    };
    if let Err(error) = written {
        *slot = None;
        return Err(error.to_string());
    }
    if offset + (data.len() as u64) < bytes {
        return Ok(SnapshotProgress::More);
    }
    let receiver = slot.take().ok_or("no snapshot is being received")?;
    let snapshot = receiver.finish().await.map_err(|error| error.to_string())?;
    let installed = shard.raft.install_full_snapshot(vote, Snapshot { meta, snapshot }).await;
    installed.map(SnapshotProgress::Installed).map_err(|error| error.to_string())
}

fn start(reader: &StateReader, bytes: u64, checksum: [u8; 32]) -> Result<SnapshotReceiver, String> {
    reader.receive_snapshot(bytes, checksum).map_err(|error| error.to_string())
}

/// A piece of this replica's snapshot. If it does not reach far enough, a new one is made: the other
/// replica asks again.
async fn send(shard: &Shard, wanted: SnapshotWanted) -> Result<Option<SnapshotPart>, String> {
    let SnapshotWanted { at_least, checksum, offset } = wanted;
    let mut slot = shard.outgoing.0.lock().await;
    let held = slot.take().map(|(_, snapshot)| snapshot);
    let held = held.filter(|held| checksum == Some(held.snapshot.checksum));
    let snapshot = match held {
        Some(held) => held,
        None => {
            let current = shard.raft.get_snapshot().await.map_err(|error| error.to_string())?;
            let reaches = |it: &Snapshot| it.meta.last_log_id.index() >= Some(at_least);
            let Some(current) = current.filter(reaches) else {
                shard.reader.want_snapshot();
                let asked = shard.raft.trigger().snapshot().await;
                return asked.map(|()| None).map_err(|error| error.to_string());
            };
            current
        }
    };
    let Snapshot { meta, snapshot: file } = &snapshot;
    let data = file.read_chunk(offset, SNAPSHOT_CHUNK_BYTES).map_err(|error| error.to_string())?;
    let (meta, bytes, checksum) = (meta.clone(), file.bytes, file.checksum);
    if offset + (data.len() as u64) < bytes {
        *slot = Some((Instant::now(), snapshot));
    }
    Ok(Some(SnapshotPart { meta, bytes, checksum, data }))
}
