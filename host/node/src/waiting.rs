//! A replica whose state is lost, until another replica has sent it a snapshot.
//!
//! ```text
//! lost --> ask the other members, one after the other, for a snapshot --> open --> running
//!            \ none has one that reaches as far as the log is deleted: it makes one; ask again
//! ```
//!
//! The replica keeps its log and its vote, so it breaks no promise that it gave; until it runs it
//! votes for nobody and serves nothing, as if the node was down for this shard alone.

use std::sync::{Arc, Weak};

use aspen_core::{LogIndex, ShardId, ShardStatus};
use aspen_net::PeerAddr;
use aspen_store::{LogId, SnapshotInbox, StoreError};
use snafu::{IntoError, ResultExt, Snafu, ensure};

use crate::error::NodeError;
use crate::limits::FETCH_AGAIN;
use crate::node::ShardedRaftNode;
use crate::raft_net::{Failure, Replica, SnapshotPart, SnapshotWanted};
use crate::shard::parse_address;

/// Why a replica is not there yet.
#[derive(Debug, Snafu)]
pub enum WaitError {
    /// The other one did not answer, or not this.
    #[snafu(display("{source}"))]
    Ask { source: Failure },
    /// It has none that reaches so far, and makes one.
    #[snafu(display("there is none of entry {at_least} or later yet"))]
    NotYet { at_least: u64 },
    /// It has another one than a moment before.
    #[snafu(display("it was replaced meanwhile"))]
    Replaced,
    /// This node's disk.
    #[snafu(display("{source}"))]
    Store { source: StoreError },
    /// The replica does not start with it.
    #[snafu(display("{source}"))]
    Open { source: NodeError },
}

/// Whom to ask, and for what.
pub struct Lost {
    /// Addresses of the shard's other members.
    pub members: Vec<String>,
    /// Up to where the log is deleted.
    pub purged: LogId,
}

impl Lost {
    /// Whom the replica of `shard` can ask, if there is anybody.
    pub fn of(
        node: &ShardedRaftNode,
        shard: ShardId,
        purged: LogId,
    ) -> Result<Option<Lost>, StoreError> {
        let opening = node.opening();
        let marked = aspen_store::recorded_divergence(&opening.dir(shard))?;
        let named = marked.map(|divergence| divergence.members).unwrap_or_default();
        let peers = opening.identity.peers.iter().map(PeerAddr::to_string);
        let own = opening.identity.address.id;
        let is_other = |address: &String| parse_address(address).is_some_and(|peer| peer.id != own);
        let map = node.map();
        let mapped = map.replicas(shard).into_iter().map(|(_, address)| address);
        let members = named.into_iter().chain(mapped).chain(peers);
        let mut members: Vec<String> = members.filter(is_other).collect();
        members.sort();
        members.dedup();
        Ok((!members.is_empty()).then_some(Lost { members, purged }))
    }
}

/// How a replica that waits is.
pub fn status(shard: ShardId, reason: String) -> ShardStatus {
    ShardStatus {
        shard,
        term: 0,
        leader: None,
        first: LogIndex::default(),
        last: LogIndex::default(),
        applied: LogIndex::default(),
        snapshot: LogIndex::default(),
        revision: Default::default(),
        digest: Default::default(),
        keys: 0,
        failed: Some(reason),
        warning: None,
        replicas: vec![],
        bytes: 0,
        rate: 0,
        receiving: None,
        profile: Default::default(),
    }
}

/// Asks until the replica of `shard` runs.
pub async fn wait(node: Weak<ShardedRaftNode>, shard: ShardId, lost: Lost) {
    for turn in 0.. {
        let Some(node) = node.upgrade() else { return };
        if node.waiting(shard).is_none() {
            // It has moved away.
            return;
        }
        let address = &lost.members[turn % lost.members.len()];
        match recover(&node, shard, address, lost.purged).await {
            Ok(()) => return,
            Err(error) => {
                let why = format!("waiting for a snapshot from another replica: {error}");
                node.waits(shard, &why);
            }
        }
        drop(node);
        tokio::time::sleep(FETCH_AGAIN).await;
    }
}

async fn recover(
    node: &Arc<ShardedRaftNode>,
    shard: ShardId,
    address: &str,
    purged: LogId,
) -> Result<(), WaitError> {
    let opening = node.opening();
    let inbox = SnapshotInbox::open(&opening.dir(shard)).context(StoreSnafu)?;
    fetch(&inbox, &opening.net(shard).replica(address), purged.index).await?;
    let _alone = node.changing(shard).lock().await;
    if node.waiting(shard).is_none() {
        return Ok(());
    }
    match opening.open(shard).await {
        Ok(replica) => {
            tracing::info!("{shard} has a snapshot from {address} and runs");
            node.runs(replica);
            Ok(())
        }
        Err(source) => {
            inbox.discard().context(StoreSnafu)?;
            Err(OpenSnafu.into_error(source))
        }
    }
}

/// Fetches the snapshot of another replica, piece by piece.
async fn fetch(inbox: &SnapshotInbox, from: &Replica, at_least: u64) -> Result<(), WaitError> {
    let ask = async |checksum, offset| {
        let part = from.snapshot_part(SnapshotWanted { at_least, checksum, offset }).await;
        part.context(AskSnafu)?.ok_or(WaitError::NotYet { at_least })
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
