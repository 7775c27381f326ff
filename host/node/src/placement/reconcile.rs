//! Making the replicas agree with the placement map, on every node, all the time.
//!
//! ```text
//! map says                                    who does it          how
//! a replica shall be here, none is            this node            opens an empty one
//! a founding replica, first in turn           this node            creates the Raft group
//! the members differ from the target          the shard's leader   learners, catch up, joint change
//! the leader itself leaves                    the shard's leader   gives the lead away before
//! no replica shall be here, one is            this node            asks the leader, then deletes it
//! a node leaves and has no replica            the system leader    lets it go
//! ```
//!
//! Each step is small, begins from the present state and may be done again, so a crash at any point
//! costs only time: the same loop of the same or another node goes on. Moves copy at most
//! [`MOVES_AT_ONCE`] shards of a leader at a time.
//!
//! Two rules keep a move from breaking the promises of a replica. A leader adds a node only after
//! that node has said, with the map of that epoch or a later one, that it has a replica for it. And
//! a node deletes a replica only when its map says so and the shard's leader, confirmed by a
//! majority, says that the node is not a member. Members that have not heard so may still count on
//! the replica: should the replica come back, empty, it could give them a majority that lacks
//! entries which the replica had acknowledged. So the replica's vote is kept for ever, and so is
//! how far its log reached until it reaches as far again: before that the replica neither votes nor
//! stands for election.

use std::sync::{Arc, Weak};

use aspen_core::ids::ShardId;
use tokio::time::sleep;

use crate::context::NodeContext;
use crate::limits::{MOVES_AT_ONCE, PLACE_EVERY, PLACE_IDLE, PLACE_LOOKS};
use crate::peer::PlacementMap;
use crate::placement::founding::create_group;
use crate::placement::host::{clear, open};
use crate::placement::steer::steer;
use crate::placement::wanted::{WantedMembers, founder, is_copied};
use crate::replica::Replica;
use crate::tasks::ShardJobs;

/// The next step about a shard.
enum Step {
    /// Open the replica.
    Open,
    /// Create the Raft group.
    Found(Arc<Replica>),
    /// Change the members.
    Steer(Arc<Replica>),
    /// Delete the replica.
    Clear,
}

/// Does the due steps until the node is gone.
///
/// A move, from the request to the end:
///
/// ```text
/// aspen cluster move 3 --to 4 --> leader of the system group: allowed?
///                                 map: s3 n1 n2 n3 -> n1 n2 n4, copied to every node
/// leader of s3   asks n4, with that epoch: room for s3?  --> n4 opens an empty replica
///                adds n4 as learner; log or snapshot     --> n4 catches up
///                joint change to n1 n2 n4; a leader that leaves hands the lead over first
///                map: s3 is at n1 n2 n4
/// n3             map: no replica of s3 here; asks the leader of s3, which asks its majority:
///                is n3 a member? No: n3 stops the replica, deletes its log but not its promises,
///                then its state
/// ```
///
/// Members change by Raft's joint consensus alone, after the new members have caught up and while a
/// majority of the members-to-be is up to date. A node that shall be added does not act on an older
/// map after it was asked. Only one node, in turn by shard, of a shard's founding replicas creates the
/// Raft group (`founder`), and only while these are still the founding replicas.
///
/// A node is removed by moving its replicas to the emptiest other nodes that answer. If no other node
/// is left, the replicas are dropped. Without replicas the node leaves the map and then the system
/// group; a node that answers hears of it before it leaves. A node that was away or cut off at that
/// moment keeps an old map for ever, so a client that waits for a change (`Client::settle`) asks the
/// nodes in turn.
///
/// `Defect::DeleteUnasked` attacks the rule that no node deletes because of the map alone,
/// `Defect::ForgetPromise` the promises that are kept.
pub async fn carry_out(node: Weak<NodeContext>) {
    let mut jobs = ShardJobs::default();
    let Some(mut maps) = node.upgrade().map(|node| node.map_changes()) else { return };
    // The epoch at which a look at everything found nothing to do, and looks at the system group
    // alone since.
    let mut idle: Option<(u64, u32)> = None;
    loop {
        let pause = match jobs.is_empty() && maps.borrow().placement.is_settled() {
            true => PLACE_IDLE,
            false => PLACE_EVERY,
        };
        tokio::select! {
            biased;
            Some((_, ())) = jobs.next() => continue,
            _ = maps.changed() => {}
            () = sleep(pause) => {}
        }
        let Some(node) = node.upgrade() else { return };
        let map = node.map();
        if map.epoch == 0 {
            continue;
        }
        let is_settled = map.placement.is_settled();
        let is_idle =
            |(epoch, looks): &(u64, u32)| is_settled && *epoch == map.epoch && *looks < PLACE_LOOKS;
        let looked = idle.filter(is_idle);
        let of_all = node.router().shards() * u16::from(looked.is_none());
        let mut copying = match looked {
            None => node.replicas().filter(|replica| is_copied(&node, replica)).count(),
            Some(_) => 0,
        };
        idle = Some(looked.map_or((map.epoch, 0), |(epoch, looks)| (epoch, looks + 1)));
        for shard in (0..of_all).map(ShardId::new).chain([ShardId::SYSTEM]) {
            if jobs.is_busy(shard) {
                idle = None;
                continue;
            }
            let Some(step) = due(&node, &map, shard, &mut copying) else { continue };
            idle = None;
            let (node, map) = (node.clone(), map.clone());
            jobs.start(shard, async move { step.run(&node, &map, shard).await });
        }
    }
}

/// Returns the next step about a shard, if any; `copying` counts the copies that are under way.
fn due(
    node: &NodeContext,
    map: &PlacementMap,
    shard: ShardId,
    copying: &mut usize,
) -> Option<Step> {
    let is_here = shard == ShardId::SYSTEM || map.placement.hosts(node.id(), shard);
    let Some(replica) = node.replica(shard) else {
        return match node.waiting(shard) {
            None => is_here.then_some(Step::Open),
            Some(_) => (!is_here).then_some(Step::Clear),
        };
    };
    if !is_here {
        return Some(Step::Clear);
    }
    if replica.reader.failed().is_some() {
        return None;
    }
    if founder(map, shard) == Some(node.id()) && replica.members().is_empty() {
        return Some(Step::Found(replica));
    }
    if !node.leads(shard) {
        return None;
    }
    let wanted = WantedMembers::of(map, &replica);
    let is_steady = wanted.are_reached(&replica);
    if is_steady && !wanted.are_news(map, shard) {
        return None;
    }
    let copies = !is_steady && shard != ShardId::SYSTEM && !is_copied(node, &replica);
    if copies && *copying >= MOVES_AT_ONCE {
        return None;
    }
    *copying += usize::from(copies);
    Some(Step::Steer(replica))
}

impl Step {
    async fn run(self, node: &Arc<NodeContext>, map: &PlacementMap, shard: ShardId) {
        match self {
            Step::Open => {
                open(node, shard).await;
            }
            Step::Found(replica) => {
                if let Err(error) = create_group(node, &replica, map.replicas(shard)).await {
                    tracing::error!("{shard} is not created: {error}");
                }
            }
            Step::Steer(replica) => {
                if let Err(why) = steer(node, map, &replica).await {
                    tracing::debug!("{shard}: members not changed yet: {why}");
                }
            }
            Step::Clear => clear(node, shard).await,
        }
    }
}
