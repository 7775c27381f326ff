//! Opening a view of several shards that is of one moment.
//!
//! ```text
//!             s1      s2      s3
//! Hold all     .       .       .      no new transactions across shards; the others end
//! Pin all      |-------------------   gate closed: nothing more is applied, or answered
//!              |       |-----------
//!              |       |       |---
//!                                  T  all gates are closed here: the moment of the view
//! Confirm all  .       .       .      gates open; each leader shows that it led at T
//! ```
//!
//! Why the view is of one moment of the strict serial order, T:
//!
//! 1. **A write that was acknowledged before T is in the view.** The leader acknowledges, after
//!    applying. At T the leader of each shard is the node that pinned: that node led in the same
//!    term when it pinned and, by a heartbeat round that began after T, when it confirmed. So no
//!    other node acknowledged anything in between, and everything of earlier leaders was applied
//!    before the node pinned. The node itself has applied nothing since it pinned: a gate that was
//!    opened before its time fails the confirmation.
//! 2. **A write that began after T is not in the view**: the view was pinned before.
//! 3. **A transaction across shards is in the view whole or not at all.** A shard is pinned only
//!    when no transaction holds keys of the range there for writing. A transaction that is decided
//!    at T was prepared on every shard before, so on every shard it is finished, for otherwise it
//!    would hold its keys; a transaction that is finished anywhere was decided before, and is in
//!    the view by 1. Of a transaction that is not decided at T no shard shows anything.
//!
//! Nothing of a view is in a log. The hold sees to it that the third step finds no locks under
//! load; a node that does not respect the hold makes the view be tried again, never wrong. A range
//! on one shard needs no gate: its view is a linearizable read that stays. Leaves out the steps at
//! each leader (`steps.rs`).

use std::time::Duration;

use aspen_core::ids::{ShardId, TxnId, ViewId};
use aspen_core::key::KeyRange;
use aspen_core::protocol::{ErrorReply, Response, ViewInfo};
use aspen_net::Backoff;
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use crate::across::wait_for;
use crate::ask::ask;
use crate::context::{NodeContext, led};
use crate::limits::{ACROSS_WAIT, LOCKED_WAIT, VIEW_STEP_WAIT};
use crate::peer::{LeaderReply, LeaderRequest, ViewReply, ViewStep};
use crate::replica::Replica;
use crate::views::steps::pin;

/// Opens a view for reading `range`; `shard` is the one on which the range lies, or shard 0.
///
/// The other choice was locks of a two-phase read. They would put every scan into every log, twice,
/// and need the check of the range in apply, which is bounded to 10,000 keys.
pub async fn open(
    node: &NodeContext,
    shard: ShardId,
    range: KeyRange,
) -> Result<Response, ErrorReply> {
    let home = led(node, shard)?;
    let view = match node.router().range_shard(&range) {
        Some(only) if only == shard => alone(node, &home, range).await?,
        None if shard == ShardId::new(0) => together(node, &home, &range).await?,
        _ => {
            let reason = format!("a view of that range is not opened by {shard}");
            return Err(ErrorReply::Invalid { reason });
        }
    };
    Ok(Response::View(view))
}

fn new_id() -> ViewId {
    ViewId::new(rand::random())
}

fn too_many() -> ErrorReply {
    ErrorReply::Unavailable { reason: "too many consistent scans are under way".into() }
}

/// Opens a view of one shard.
async fn alone(
    node: &NodeContext,
    home: &Replica,
    range: KeyRange,
) -> Result<ViewInfo, ErrorReply> {
    let (view, until) = (new_id(), Instant::now() + LOCKED_WAIT);
    loop {
        match pin(home, view, range.clone(), false).await? {
            ViewReply::Locked(by) => wait_for(node, home, by, until).await?,
            ViewReply::Full => return Err(too_many()),
            ViewReply::Done | ViewReply::Lost => {
                return Ok(ViewInfo { view, parts: vec![(home.id, home.own_address())] });
            }
        }
    }
}

const LEAD_CHANGES: &str = "the lead of a shard changes";

/// The reason why a view of all shards did not come about.
enum ViewFailure {
    /// This transaction holds keys of the range on that shard.
    Locked(ShardId, TxnId),
    /// Too many views are open on a shard.
    Full,
    /// Another try may do, for that reason.
    Again(&'static str),
    /// These shards do not answer.
    Silent(Vec<ShardId>),
}

/// Opens a view of all shards.
async fn together(
    node: &NodeContext,
    home: &Replica,
    range: &KeyRange,
) -> Result<ViewInfo, ErrorReply> {
    let until = Instant::now() + ACROSS_WAIT;
    let unavailable = |reason: String| ErrorReply::Unavailable { reason };
    let alone = tokio::time::timeout(ACROSS_WAIT, home.views.opening.lock()).await;
    let Ok(_alone) = alone else { return Err(unavailable("others open views".into())) };
    let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(200));
    loop {
        let view = new_id();
        let failure = match attempt(node, view, range).await {
            Ok(parts) => return Ok(ViewInfo { view, parts }),
            Err(failure) => failure,
        };
        // A leader that does not hear this finds out by the clock.
        let _: Result<_, ViewFailure> = all(node, ViewStep::Close(view)).await;
        let reason = match failure {
            ViewFailure::Full => return Err(too_many()),
            ViewFailure::Silent(shards) => {
                return Err(unavailable(format!("{} does not answer", names(&shards))));
            }
            ViewFailure::Again(why) => why.to_string(),
            ViewFailure::Locked(shard, by) => {
                let unlock = LeaderRequest::View(ViewStep::Unlock(by));
                // The next attempt shows if the transaction is over now.
                let _: Option<LeaderReply> = ask(node, shard, unlock, VIEW_STEP_WAIT).await;
                format!("transaction {by} is under way on {shard}")
            }
        };
        if Instant::now() >= until {
            return Err(unavailable(reason));
        }
        // Another node that takes itself for the leader may be in the way: chance lets one pass.
        sleep(backoff.pause().mul_f64(rand::random_range(0.0..1.0))).await;
    }
}

async fn attempt(
    node: &NodeContext,
    view: ViewId,
    range: &KeyRange,
) -> Result<Vec<(ShardId, String)>, ViewFailure> {
    all(node, ViewStep::Hold(view)).await?;
    let parts = all(node, ViewStep::Pin(view, range.clone())).await?;
    let confirmed = all(node, ViewStep::Confirm(view)).await?;
    if confirmed == parts { Ok(parts) } else { Err(ViewFailure::Again(LEAD_CHANGES)) }
}

/// Takes a step on all shards; returns the address of the node that took it on each.
async fn all(node: &NodeContext, step: ViewStep) -> Result<Vec<(ShardId, String)>, ViewFailure> {
    let one = async |shard| {
        let step = LeaderRequest::View(step.clone());
        (shard, ask(node, shard, step, VIEW_STEP_WAIT).await)
    };
    let answers = join_all(node.router().all().map(one)).await;
    let (mut parts, mut silent, mut failure) = (vec![], vec![], None);
    for (shard, answer) in answers {
        match answer {
            Some(LeaderReply::View { answer: ViewReply::Done, by }) => parts.push((shard, by)),
            Some(LeaderReply::View { answer, .. }) => {
                failure = Some(match answer {
                    ViewReply::Locked(by) => ViewFailure::Locked(shard, by),
                    ViewReply::Full => ViewFailure::Full,
                    _ => ViewFailure::Again(LEAD_CHANGES),
                });
            }
            _ => silent.push(shard),
        }
    }
    match failure {
        Some(failure) => Err(failure),
        None if !silent.is_empty() => Err(ViewFailure::Silent(silent)),
        None => Ok(parts),
    }
}

/// Lists the shards' names, for an error.
fn names(shards: &[ShardId]) -> String {
    shards.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
