//! A view of several shards that is of one moment.
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
//! Why it is one moment of the strict serial order, T:
//!
//! 1. **What was acknowledged before T is in the view.** Who acknowledges is the leader, after
//!    applying. At T the leader of each shard is the node that pinned: it led in the same term when
//!    it pinned and, by a heartbeat round that began after T, when it confirmed, so nobody else
//!    acknowledged anything in between, and everything of earlier leaders was applied before it
//!    pinned. It has itself applied nothing since it pinned: a gate that was opened before
//!    its time fails the confirmation.
//! 2. **What began after T is not**: the view was pinned before.
//! 3. **A transaction across shards is in it whole or not at all.** A shard is pinned only when no
//!    transaction holds keys of the range there for writing. One that is decided at T was prepared on
//!    every shard before, so on every shard it is finished, for otherwise it would hold its keys; one
//!    that is finished anywhere was decided before, and that is in the view by 1. Of one that is
//!    not decided at T no shard shows anything.
//!
//! Nothing of it is in a log. The hold sees to it that the third step finds no locks under load; who
//! does not respect it makes the view be tried again, never wrong. A range on one shard needs no
//! gate: its view is a linearizable read that stays. Leaves out the steps at each leader (`views.rs`).

use std::sync::Arc;
use std::time::Duration;

use aspen_core::{KeyRange, Refused, Response, ShardId, TxnId, ViewId, ViewInfo};
use futures::future::join_all;
use tokio::time::Instant;

use crate::limits::{ACROSS_WAIT, LOCKED_WAIT, VIEW_STEP_WAIT};
use crate::node::ShardedRaftNode;
use crate::participate::{Participated, Participation, ask};
use crate::requests::{refused, wait_for};
use crate::shard::Shard;
use crate::two_phase::led;
use crate::views::{self, ViewAnswer, ViewStep};

/// Opens a view for reading `range`; `shard` is the one it lies on, or shard 0.
pub async fn open(
    node: &Arc<ShardedRaftNode>,
    shard: ShardId,
    range: KeyRange,
) -> Result<Response, Refused> {
    let home = led(node, shard)?;
    let view = match node.router().range_shard(&range) {
        Some(only) if only == shard => alone(node, &home, range).await?,
        None if shard == ShardId::new(0) => together(node, &home, &range).await?,
        _ => {
            let reason = format!("a view of that range is not opened by {shard}");
            return Err(Refused::Invalid { reason });
        }
    };
    Ok(Response::View(view))
}

fn new_id() -> ViewId {
    ViewId::new(rand::random())
}

fn too_many() -> Refused {
    Refused::Unavailable { reason: "too many consistent scans are under way".into() }
}

/// A view of one shard.
async fn alone(node: &ShardedRaftNode, home: &Shard, range: KeyRange) -> Result<ViewInfo, Refused> {
    let (view, until) = (new_id(), Instant::now() + LOCKED_WAIT);
    loop {
        match views::pin(home, view, range.clone(), false).await.map_err(refused)? {
            ViewAnswer::Locked(by) => wait_for(node, home, by, until).await?,
            ViewAnswer::Full => return Err(too_many()),
            ViewAnswer::Done | ViewAnswer::Lost => {
                return Ok(ViewInfo { view, parts: vec![(home.id, home.own_address())] });
            }
        }
    }
}

const LEAD_CHANGES: &str = "the lead of a shard changes";

/// Why a view of all shards did not come about.
enum Stop {
    Locked(ShardId, TxnId),
    Full,
    Again(&'static str),
    Silent(Vec<ShardId>),
}

/// A view of all shards.
async fn together(
    node: &ShardedRaftNode,
    home: &Shard,
    range: &KeyRange,
) -> Result<ViewInfo, Refused> {
    let until = Instant::now() + ACROSS_WAIT;
    let unavailable = |reason: String| Refused::Unavailable { reason };
    let turn = tokio::time::timeout(ACROSS_WAIT, home.views.opening.lock()).await;
    let Ok(_turn) = turn else { return Err(unavailable("others open views".into())) };
    let mut pause = Duration::from_millis(5);
    loop {
        let view = new_id();
        let stop = match attempt(node, view, range).await {
            Ok(parts) => return Ok(ViewInfo { view, parts }),
            Err(stop) => stop,
        };
        // Who does not hear it finds out by the clock.
        let _: Result<_, Stop> = all(node, ViewStep::Close(view)).await;
        let reason = match stop {
            Stop::Full => return Err(too_many()),
            Stop::Silent(shards) => {
                return Err(unavailable(format!("{} does not answer", views::names(&shards))));
            }
            Stop::Again(why) => why.to_string(),
            Stop::Locked(shard, by) => {
                let unlock = Participation::View(ViewStep::Unlock(by));
                // Whether it is over now shows the next attempt.
                let _: Option<Participated> = ask(node, shard, unlock, VIEW_STEP_WAIT).await;
                format!("transaction {by} is under way on {shard}")
            }
        };
        if Instant::now() >= until {
            return Err(unavailable(reason));
        }
        // Another node that takes itself for the leader may be in the way: chance lets one pass.
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.0..1.0))).await;
        pause = (2 * pause).min(Duration::from_millis(200));
    }
}

async fn attempt(
    node: &ShardedRaftNode,
    view: ViewId,
    range: &KeyRange,
) -> Result<Vec<(ShardId, String)>, Stop> {
    all(node, ViewStep::Hold(view)).await?;
    let parts = all(node, ViewStep::Pin(view, range.clone())).await?;
    let confirmed = all(node, ViewStep::Confirm(view)).await?;
    if confirmed == parts { Ok(parts) } else { Err(Stop::Again(LEAD_CHANGES)) }
}

/// Does a step on all shards; which node did it on each.
async fn all(node: &ShardedRaftNode, step: ViewStep) -> Result<Vec<(ShardId, String)>, Stop> {
    let one = async |shard| {
        let step = Participation::View(step.clone());
        (shard, ask(node, shard, step, VIEW_STEP_WAIT).await)
    };
    let answers = join_all(node.router().all().map(one)).await;
    let (mut parts, mut silent, mut stop) = (vec![], vec![], None);
    for (shard, answer) in answers {
        match answer {
            Some(Participated::View { answer: ViewAnswer::Done, by }) => parts.push((shard, by)),
            Some(Participated::View { answer, .. }) => {
                stop = Some(match answer {
                    ViewAnswer::Locked(by) => Stop::Locked(shard, by),
                    ViewAnswer::Full => Stop::Full,
                    _ => Stop::Again(LEAD_CHANGES),
                });
            }
            _ => silent.push(shard),
        }
    }
    match stop {
        Some(stop) => Err(stop),
        None if !silent.is_empty() => Err(Stop::Silent(silent)),
        None => Ok(parts),
    }
}
