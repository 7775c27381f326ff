//! This node's copy of the placement map, and the one way to change the map.
//!
//! The map is a value in the system group's state, under [`PLACEMENT_KEY`]. Every node has a
//! replica of that group, as a voter or a learner, so every node has a copy, a moment old. A change
//! is a transaction of the system group that expects the epoch from which the change was made: two
//! changes at once never overwrite each other, the later one is made again from the result of the
//! other.
//!
//! Promises that the copy's epoch only rises, and that a change that was reported is committed.
//! Leaves out the rules of changes (`aspen_core::placement::Placement`) and the moves that follow
//! (`reconcile.rs`).

use std::sync::{Arc, Weak};

use aspen_core::codec::{decode, encode};
use aspen_core::ids::{ShardId, Version};
use aspen_core::key::{Key, Value};
use aspen_core::placement::{PLACEMENT_KEY, Placement};
use aspen_core::protocol::{Command, ErrorReply, Outcome};
use aspen_core::transaction::{Expectation, Read, Transact, WriteOp};
use aspen_core::view::HostError;
use aspen_store::StateReader;
use openraft::async_runtime::WatchReceiver;
use tokio::time::{Instant, sleep};

use crate::ask::ask;
use crate::context::NodeContext;
use crate::limits::{MAP_AGAIN, MAP_WAIT};
use crate::peer::{LeaderReply, LeaderRequest, PlacementMap};

fn key() -> Key {
    Key::try_from(PLACEMENT_KEY).expect("it is a key")
}

/// Returns the map as the state of the system group has it.
fn stored(reader: &StateReader) -> Result<PlacementMap, HostError> {
    let record = reader.read(|view, _| view.get(&key()))?;
    let Some(record) = record else { return Ok(PlacementMap::default()) };
    let placement = decode(record.value.as_bytes());
    let placement = placement.map_err(|error| HostError::new("reading the map", error))?;
    Ok(PlacementMap { epoch: record.version.get(), placement })
}

/// Keeps the copy, and the members that may talk to this node, equal to the system group's state.
pub async fn follow(node: Weak<NodeContext>) {
    loop {
        let Some(now) = node.upgrade() else { return };
        let Some(system) = now.replica(ShardId::SYSTEM) else {
            // The replica waits for a snapshot.
            drop(now);
            sleep(MAP_AGAIN).await;
            continue;
        };
        let mut metrics = system.raft.metrics();
        drop((now, system));
        loop {
            // Marks the present value as seen: a change after this wakes the next wait.
            drop(metrics.borrow_watched());
            let Some(now) = node.upgrade() else { return };
            look_at_map(&now);
            drop(now);
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Takes over the map that the state has, if it is newer than the copy.
pub fn look_at_map(node: &NodeContext) {
    let Some(system) = node.replica(ShardId::SYSTEM) else { return };
    match stored(&system.reader) {
        Ok(map) if map.epoch > node.map().epoch => node.set_map(map),
        Ok(_) => {}
        Err(fault) => tracing::error!("the map cannot be read: {fault}"),
    }
}

/// Changes the map until the change is committed, or `change` refuses or finds nothing to do;
/// returns the epoch and the map after it. `change` may run more than once, each time on a newer
/// map.
pub async fn update(
    node: &NodeContext,
    change: impl Fn(&mut Placement) -> Result<bool, ErrorReply>,
) -> Result<Arc<PlacementMap>, ErrorReply> {
    let until = Instant::now() + MAP_WAIT;
    let mut epoch = 0;
    loop {
        look_at_map(node);
        let map = node.map_of(epoch, MAP_AGAIN).await;
        let mut next = map.placement.clone();
        if !change(&mut next)? {
            return Ok(map);
        }
        let propose = LeaderRequest::Propose(replacement(map.epoch, &next)?);
        let left = until.saturating_duration_since(Instant::now());
        let outcome = match ask(node, ShardId::SYSTEM, propose, left).await {
            Some(LeaderReply::Outcome(outcome)) => decode(&outcome).ok(),
            _ => None,
        };
        match outcome {
            Some(Outcome::Committed { .. }) => {
                let epoch = map.epoch + 1;
                return Ok(Arc::new(PlacementMap { epoch, placement: next }));
            }
            // Another change was faster, perhaps this very one.
            Some(Outcome::Conflict { .. }) => epoch = map.epoch + 1,
            _ => {}
        }
        if Instant::now() >= until || node.is_stopping() {
            let reason = "the system group does not answer".into();
            return Err(ErrorReply::Unavailable { reason });
        }
    }
}

/// Returns the transaction that replaces the map of `epoch` by `next`.
fn replacement(epoch: u64, next: &Placement) -> Result<Command, ErrorReply> {
    let value = Value::new(encode(next)).map_err(|error| ErrorReply::Invalid {
        reason: format!("the map is too large: {error}"),
    })?;
    let expected = match epoch {
        0 => Expectation::Absent,
        epoch => Expectation::Version(Version::new(epoch)),
    };
    let reads = vec![Read::Key { key: key(), expected }];
    let transact = Transact { reads, ..Transact::writes([WriteOp::set(key(), value)]) };
    Ok(Command::Transact(transact))
}
