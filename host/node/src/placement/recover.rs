//! A replica whose state is lost, until another replica has sent it a snapshot.
//!
//! ```text
//! lost --> ask the other members, one after the other, for a snapshot --> open --> running
//!            \ none has one that reaches as far as the log is deleted: it makes one; ask again
//! ```
//!
//! Promises that the replica keeps its log and its vote, so it breaks no promise that it gave;
//! until it runs it votes for nobody and serves nothing, as if the node was down for this shard
//! alone. The snapshot is at or after the end of the deleted part of the log, so nothing is missing
//! between the two; a log that contradicts the snapshot is cut as Raft itself would cut it
//! (`ShardLog::fit`).

use std::sync::{Arc, Weak};

use aspen_core::ids::ShardId;
use aspen_net::PeerAddr;
use aspen_store::{LogId, SnapshotInbox, StoreError};
use snafu::{IntoError, ResultExt, Snafu, ensure};

use crate::context::NodeContext;
use crate::error::NodeError;
use crate::limits::FETCH_AGAIN;
use crate::peer::{AskError, PeerReplica, SnapshotPart, SnapshotPartRequest, parse_address};

/// The reason why a replica is not there yet.
#[derive(Debug, Snafu)]
enum RecoverError {
    /// The other replica did not answer, or refused.
    #[snafu(display("{source}"))]
    Ask { source: AskError },
    /// The other replica has no snapshot that reaches so far, and makes one.
    #[snafu(display("there is none of entry {at_least} or later yet"))]
    NotYet { at_least: u64 },
    /// The other replica has another snapshot than a moment before.
    #[snafu(display("it was replaced meanwhile"))]
    Replaced,
    /// This node's disk failed.
    #[snafu(display("{source}"))]
    Store { source: StoreError },
    /// The replica does not start with the snapshot.
    #[snafu(display("{source}"))]
    Open { source: NodeError },
}

/// A state that is lost: the replicas to ask for a snapshot, and how far the snapshot must reach.
pub struct LostState {
    /// Addresses of the shard's other members.
    pub members: Vec<String>,
    /// The entry up to which the log is deleted.
    purged: LogId,
}

impl LostState {
    /// Returns the other members that the replica of `shard` can ask; `None` if there are none.
    pub fn of(
        node: &NodeContext,
        shard: ShardId,
        purged: LogId,
    ) -> Result<Option<LostState>, StoreError> {
        let opener = node.opener();
        let marked = aspen_store::recorded_divergence(&opener.dir(shard))?;
        let named = marked.map(|divergence| divergence.members).unwrap_or_default();
        let peers = opener.identity.peers.iter().map(PeerAddr::to_string);
        let own = opener.identity.address.id;
        let is_other = |address: &String| parse_address(address).is_some_and(|peer| peer.id != own);
        let map = node.map();
        let mapped = map.replicas(shard).into_iter().map(|(_, address)| address);
        let members = named.into_iter().chain(mapped).chain(peers);
        let mut members: Vec<String> = members.filter(is_other).collect();
        members.sort();
        members.dedup();
        Ok((!members.is_empty()).then_some(LostState { members, purged }))
    }
}

/// Asks the other members for a snapshot until the replica of `shard` runs.
pub async fn recover(node: Weak<NodeContext>, shard: ShardId, lost: LostState) {
    for turn in 0.. {
        let Some(node) = node.upgrade() else { return };
        if node.waiting(shard).is_none() {
            // It has moved away.
            return;
        }
        let address = &lost.members[turn % lost.members.len()];
        match recover_from(&node, shard, address, lost.purged).await {
            Ok(()) => return,
            Err(error) => {
                let why = format!("waiting for a snapshot from another replica: {error}");
                node.set_waiting(shard, &why);
            }
        }
        drop(node);
        tokio::time::sleep(FETCH_AGAIN).await;
    }
}

async fn recover_from(
    node: &Arc<NodeContext>,
    shard: ShardId,
    address: &str,
    purged: LogId,
) -> Result<(), RecoverError> {
    let opener = node.opener();
    let inbox = SnapshotInbox::open(&opener.dir(shard)).context(StoreSnafu)?;
    fetch(&inbox, &opener.net(shard).peer(address), purged.index).await?;
    let _alone = node.changing(shard).lock().await;
    if node.waiting(shard).is_none() {
        return Ok(());
    }
    match opener.open(shard).await {
        Ok(replica) => {
            tracing::info!("{shard} has a snapshot from {address} and runs");
            node.slot(shard).put(replica);
            Ok(())
        }
        Err(source) => {
            inbox.discard().context(StoreSnafu)?;
            Err(OpenSnafu.into_error(source))
        }
    }
}

/// Fetches the snapshot of another replica, piece by piece.
async fn fetch(
    inbox: &SnapshotInbox,
    from: &PeerReplica,
    at_least: u64,
) -> Result<(), RecoverError> {
    let ask = async |checksum, offset| {
        let part = from.snapshot_part(SnapshotPartRequest { at_least, checksum, offset }).await;
        part.context(AskSnafu)?.ok_or(RecoverError::NotYet { at_least })
    };
    let SnapshotPart { meta, bytes, checksum, mut data } = ask(None, 0).await?;
    let reaches = meta.last_log_id.as_ref().map_or(0, |log_id| log_id.index);
    ensure!(reaches >= at_least, NotYetSnafu { at_least });
    let mut receiver = inbox.receive(bytes, checksum).context(StoreSnafu)?;
    loop {
        receiver.write(receiver.received(), &data).context(StoreSnafu)?;
        receiver.settle().await.context(StoreSnafu)?;
        if receiver.received() >= bytes {
            break;
        }
        let next = ask(Some(checksum), receiver.received()).await?;
        ensure!(next.checksum == checksum && !next.data.is_empty(), ReplacedSnafu);
        data = next.data;
    }
    let file = receiver.finish().await.context(StoreSnafu)?;
    inbox.adopt(meta, file).context(StoreSnafu)
}
