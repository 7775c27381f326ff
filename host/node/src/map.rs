//! This node's copy of the map, and the one way to change the map.
//!
//! The map is a value in the system group's state, under [`PLACEMENT_KEY`]. Every node has a replica
//! of that group, as a voter or a learner, so every node has a copy, a moment old. A change is a
//! transaction of the system group that expects the epoch it was made from: two changes at once
//! never overwrite each other, the later one is made again from what the other left.
//!
//! Promises that the copy's epoch only rises, and that a change that was reported is committed.
//! Leaves out what a change may be (`aspen_core::Placement`) and what follows (`placement.rs`).

use std::sync::{Arc, Weak};
use std::time::Duration;

use aspen_core::{
    Command, Expectation, Fault, Key, NodeId, Outcome, PLACEMENT_KEY, Placement, Read, Refused,
    ShardId, Transact, Value, Version, WriteOp, decode, encode,
};
use aspen_store::StateReader;
use openraft::async_runtime::WatchReceiver;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::access::Members;
use crate::limits::{MAP_AGAIN, MAP_WAIT};
use crate::node::ShardedRaftNode;
use crate::participate::{self, Participated, Participation};

/// A map and its epoch: the version of its key. Epoch 0: there is none yet.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The epoch.
    pub epoch: u64,
    /// The map.
    pub placement: Placement,
}

impl Known {
    /// Ids and addresses of the nodes that have a replica of `shard`.
    pub fn replicas(&self, shard: ShardId) -> Vec<(NodeId, String)> {
        let now: Vec<NodeId> = match shard {
            ShardId::SYSTEM => self.placement.nodes.keys().copied().collect(),
            shard => self.placement.replicas(shard).map(|it| it.now.clone()).unwrap_or_default(),
        };
        let address = |id: NodeId| Some((id, self.placement.address(id)?.to_string()));
        now.into_iter().filter_map(address).collect()
    }
}

/// The copy, as whoever waits for a change sees it.
pub type Copy = watch::Sender<Arc<Known>>;

fn key() -> Key {
    Key::try_from(PLACEMENT_KEY).expect("it is a key")
}

/// The map as the state of the system group has it.
pub fn stored(reader: &StateReader) -> Result<Known, Fault> {
    let record = reader.read(|view, _| view.get(&key()))?;
    let Some(record) = record else { return Ok(Known::default()) };
    let placement = decode(record.value.as_bytes());
    let placement = placement.map_err(|error| Fault::new("reading the map", error))?;
    Ok(Known { epoch: record.version.get(), placement })
}

/// Keeps the copy, and who may talk to this node, equal to what the system group's state says.
pub async fn follow(node: Weak<ShardedRaftNode>) {
    loop {
        let Some(now) = node.upgrade() else { return };
        let Some(system) = now.shard(ShardId::SYSTEM) else {
            // It waits for a snapshot.
            drop(now);
            sleep(MAP_AGAIN).await;
            continue;
        };
        let mut metrics = system.raft.metrics();
        drop((now, system));
        loop {
            // Marks what is there as seen: a change after this wakes the next wait.
            drop(metrics.borrow_watched());
            let Some(now) = node.upgrade() else { return };
            now.look_at_map();
            drop(now);
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }
}

impl ShardedRaftNode {
    /// The map, as this node knows it.
    pub fn map(&self) -> Arc<Known> {
        self.map_copy().borrow().clone()
    }

    /// Takes over what the state says.
    pub(crate) fn look_at_map(&self) {
        let Some(system) = self.shard(ShardId::SYSTEM) else { return };
        match stored(&system.reader) {
            Ok(known) if known.epoch > self.map().epoch => {
                self.access().set_members(Members::from(&known));
                self.map_copy().send_replace(Arc::new(known));
            }
            Ok(_) => {}
            Err(fault) => tracing::error!("the map cannot be read: {fault}"),
        }
    }

    /// Waits until this node, which was a member, is none any more.
    pub async fn removed(&self) {
        let mut copies = self.map_copy().subscribe();
        let is_member = |known: &Arc<Known>| known.placement.nodes.contains_key(&self.id());
        // Neither fails while the node is there.
        let _ = copies.wait_for(is_member).await;
        let _ = copies.wait_for(|known| !is_member(known)).await;
    }

    /// Waits until the copy is of `epoch` or later, at most so long.
    pub(crate) async fn map_of(&self, epoch: u64, limit: Duration) -> Arc<Known> {
        let mut copies = self.map_copy().subscribe();
        // Whether it came or not, the caller looks at what there is.
        let _ = timeout(limit, copies.wait_for(|known| known.epoch >= epoch)).await;
        self.map()
    }
}

/// Changes the map until the change is committed, or `change` refuses or finds nothing to do; the
/// epoch and the map after it. `change` may run more than once, each time on a newer map.
pub async fn update(
    node: &ShardedRaftNode,
    change: impl Fn(&mut Placement) -> Result<bool, Refused>,
) -> Result<Arc<Known>, Refused> {
    let until = Instant::now() + MAP_WAIT;
    let mut epoch = 0;
    loop {
        node.look_at_map();
        let known = node.map_of(epoch, MAP_AGAIN).await;
        let mut next = known.placement.clone();
        if !change(&mut next)? {
            return Ok(known);
        }
        let value = Value::new(encode(&next)).map_err(|error| Refused::Invalid {
            reason: format!("the map is too large: {error}"),
        })?;
        let expected = match known.epoch {
            0 => Expectation::Absent,
            epoch => Expectation::Version(Version::new(epoch)),
        };
        let reads = vec![Read::Key { key: key(), expected }];
        let transact = Transact { reads, ..Transact::writes([WriteOp::set(key(), value)]) };
        let propose = Participation::Propose(Command::Transact(transact));
        let left = until.saturating_duration_since(Instant::now());
        let asked = participate::ask(node, ShardId::SYSTEM, propose, left).await;
        let outcome = match asked {
            Some(Participated::Outcome(outcome)) => decode(&outcome).ok(),
            _ => None,
        };
        match outcome {
            Some(Outcome::Committed { .. }) => {
                let epoch = known.epoch + 1;
                return Ok(Arc::new(Known { epoch, placement: next }));
            }
            // Somebody was faster, perhaps this very change.
            Some(Outcome::Conflict { .. }) => epoch = known.epoch + 1,
            _ => {}
        }
        if Instant::now() >= until || node.is_stopping() {
            let reason = "the system group does not answer".into();
            return Err(Refused::Unavailable { reason });
        }
    }
}
