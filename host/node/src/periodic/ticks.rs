//! Proposing the entries for which only the time has come: leases that are over, schedules that are
//! due.
//!
//! Promises that while this node leads and something is due by its clock, entries follow until
//! nothing is; each shard by itself, so that a shard without a majority holds up no other. Only
//! entries end leases and run schedules, and they decide by entry time: a leader whose clock is
//! wrong, or two of them, can at worst propose entries that do nothing.

use std::sync::{Arc, Weak};

use aspen_core::codec::decode;
use aspen_core::ids::{Caller, Timestamp};
use aspen_core::protocol::{Command, Outcome};
use aspen_core::state::{Header, Resident};
use aspen_core::view::View;
use tokio::time::Instant;

use crate::across::{locked_by, unlocked};
use crate::admission::Executor;
use crate::context::{NodeContext, encoded_entry};
use crate::limits::{EXPIRY_CHECK, EXPIRY_CHECK_SHARE, LOCKED_WAIT};
use crate::replica::Replica;
use crate::tasks::ShardJobs;

/// Looks at every shard again and again, until the node is gone.
pub async fn tick(node: Weak<NodeContext>) {
    let mut jobs = ShardJobs::default();
    let mut next = Instant::now() + EXPIRY_CHECK;
    loop {
        tokio::select! {
            biased;
            Some((_, ())) = jobs.next() => continue,
            () = tokio::time::sleep_until(next) => {}
        }
        let Some(node) = node.upgrade() else { return };
        let shards = node.router().all().count() as u32;
        next = Instant::now() + EXPIRY_CHECK.max(EXPIRY_CHECK_SHARE * shards);
        for replica in node.replicas() {
            if is_due(&node, &replica) && !jobs.is_busy(replica.id) {
                let node = Arc::downgrade(&node);
                jobs.start(replica.id, propose_due(node, replica));
            }
        }
    }
}

fn is_due(node: &NodeContext, replica: &Replica) -> bool {
    let due = replica.reader.next_due();
    due.is_some_and(|due| due.get() <= node.clock_ms()) && node.leads(replica.id)
}

/// Proposes entries while they run schedules and more is due. A step that is not done is found
/// again, here or by the next leader.
async fn propose_due(node: Weak<NodeContext>, replica: Arc<Replica>) {
    while let Some(node) = node.upgrade().filter(|node| is_due(node, &replica)) {
        let clock = Timestamp::new(node.clock_ms());
        let due = move |_: &dyn View, resident: &Resident, header: Header| {
            let due = resident.schedules.first_due(header.clock.max(clock));
            Ok(due.map(|(_, schedule)| (schedule.call.clone(), schedule.caller)))
        };
        let Ok(due) = replica.reader.inspect(due).await else { return };
        // A function that takes long waits here as well.
        let admitted = match &due {
            None => Ok(None),
            Some((call, caller)) => {
                node.admission().admit(*caller, Executor::apply(replica.id), call).await
            }
        };
        let Ok(pass) = admitted else { return };
        let entry = encoded_entry(&node, Caller::LOCAL, None, Command::Tick);
        let proposed = replica.propose(entry).await;
        // Others go on while this one waits for a lock.
        drop(pass);
        let Ok(outcome) = proposed else { return };
        if let Some(by) = locked_by(&outcome) {
            unlocked(&node, &replica, by, Instant::now() + LOCKED_WAIT).await;
            continue;
        }
        if !matches!(decode::<Outcome>(&outcome), Ok(outcome) if outcome != Outcome::Ticked) {
            return;
        }
    }
}
