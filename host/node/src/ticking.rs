//! Proposes what nobody asked for but time: leases that are over, schedules that are due.
//!
//! Promises that where this node leads and something is due by its clock, entries follow until nothing
//! is; each shard by itself, so that one without a majority holds up no other. Only entries end leases
//! and run schedules, and they decide by entry time: a leader whose clock is wrong, or two of them, can
//! at worst propose entries that do nothing.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use aspen_core::{Caller, Command, Header, Outcome, Resident, ShardId, Timestamp, View, decode};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::Instant;

use crate::limits::{EXPIRY_CHECK, EXPIRY_CHECK_SHARE, LOCKED_WAIT};
use crate::node::ShardedRaftNode;
use crate::requests::entry;
use crate::shard::Shard;
use crate::turns::Place;
use crate::two_phase::{locked_by, unlocked};

/// Looks at every shard again and again, as long as the node is there.
pub async fn tick(node: Weak<ShardedRaftNode>) {
    let mut ticking: BTreeSet<ShardId> = BTreeSet::new();
    let mut running = FuturesUnordered::new();
    let mut next = Instant::now() + EXPIRY_CHECK;
    loop {
        tokio::select! {
            biased;
            Some(shard) = running.next() => {
                ticking.remove(&shard);
                continue;
            }
            () = tokio::time::sleep_until(next) => {}
        }
        let Some(node) = node.upgrade() else { return };
        let shards = node.router().all().count() as u32;
        next = Instant::now() + EXPIRY_CHECK.max(EXPIRY_CHECK_SHARE * shards);
        for shard in node.shards() {
            if is_due(&node, &shard) && ticking.insert(shard.id) {
                let node = Arc::downgrade(&node);
                running.push(async move {
                    let id = shard.id;
                    work_off(node, shard).await;
                    id
                });
            }
        }
    }
}

fn is_due(node: &ShardedRaftNode, shard: &Shard) -> bool {
    let due = shard.reader.next_due();
    due.is_some_and(|due| due.get() <= node.clock_ms()) && node.leads(shard.id)
}

/// Proposes entries while they run schedules and more is due. If something is not done, it is found
/// again, here or by the next leader.
async fn work_off(node: Weak<ShardedRaftNode>, shard: Arc<Shard>) {
    while let Some(node) = node.upgrade().filter(|node| is_due(node, &shard)) {
        let clock = Timestamp::new(node.clock_ms());
        let due = move |_: &dyn View, resident: &Resident, header: Header| {
            let due = resident.schedules.first_due(header.clock.max(clock));
            Ok(due.map(|(_, schedule)| (schedule.call.clone(), schedule.caller)))
        };
        let Ok(due) = shard.reader.inspect(due).await else { return };
        // A function that takes long waits for its turn here as well.
        let turn = match &due {
            None => Ok(None),
            Some((call, caller)) => {
                node.fairness().turn(*caller, Place::apply(shard.id), call).await
            }
        };
        let Ok(inside) = turn else { return };
        let proposed = shard.propose(entry(&node, Caller::LOCAL, None, Command::Tick)).await;
        // Others go on while this one waits for a lock.
        drop(inside);
        let Ok(outcome) = proposed else { return };
        if let Some(by) = locked_by(&outcome) {
            unlocked(&node, &shard, by, Instant::now() + LOCKED_WAIT).await;
            continue;
        }
        if !matches!(decode::<Outcome>(&outcome), Ok(outcome) if outcome != Outcome::Ticked) {
            return;
        }
    }
}
