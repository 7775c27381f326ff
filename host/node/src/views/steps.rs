//! The steps towards a view of several shards, as the leader of one shard takes them.
//!
//! ```text
//! Hold      no transaction across shards begins here; those that had begun come to their end
//! Pin       leads? then a view of the applied state, and a gate: nothing more is applied meanwhile
//! Confirm   every shard is pinned: the gate opens. Leads still, in the same term? then it is a view
//! Close     forget the view, however far it came
//! ```
//!
//! Promises of a confirmed view: the view has every write that was acknowledged before the pinning
//! began and none that began after the last shard was pinned (`open.rs` says why). Leaves out the
//! bounds on views (`replica/open_views.rs`).

use aspen_core::ids::ViewId;
use aspen_core::key::KeyRange;
use tokio::time::Instant;

use crate::across::unlocked;
use crate::context::NodeContext;
use crate::limits::{HOLD_MAX, HOLD_PATIENCE, LOCKED_WAIT};
use crate::peer::{ViewReply, ViewStep};
use crate::replica::{Replica, ReplicaError};

/// Takes a step as the leader of `home`.
pub async fn take_step(
    node: &NodeContext,
    home: &Replica,
    step: ViewStep,
) -> Result<ViewReply, ReplicaError> {
    match step {
        ViewStep::Hold(view) => {
            let now = Instant::now();
            let hold = node.attempts().hold(home.id, view, now + HOLD_MAX, now + HOLD_PATIENCE);
            hold.await;
            Ok(ViewReply::Done)
        }
        ViewStep::Pin(view, range) => pin(home, view, range, true).await,
        ViewStep::Confirm(view) => {
            let confirmed = confirm(home, view).await;
            node.attempts().release(home.id, view);
            if !matches!(confirmed, Ok(ViewReply::Done)) {
                home.views.close(view);
            }
            confirmed
        }
        ViewStep::Close(view) => {
            close(node, home, view);
            Ok(ViewReply::Done)
        }
        ViewStep::Unlock(txn) => {
            unlocked(node, home, txn, Instant::now() + LOCKED_WAIT / 4).await;
            Ok(ViewReply::Done)
        }
    }
}

/// Forgets a view on one shard, and ends the hold for the view.
pub fn close(node: &NodeContext, home: &Replica, view: ViewId) {
    node.attempts().release(home.id, view);
    home.views.close(view);
}

/// Closes this node's part of a view, on all shards.
pub fn close_all(node: &NodeContext, view: ViewId) {
    for replica in node.replicas() {
        close(node, &replica, view);
    }
}

/// Pins a view of the applied state, as the leader. If `is_gated`, nothing more is applied until
/// the view is confirmed; otherwise the view can be read at once.
pub async fn pin(
    home: &Replica,
    view: ViewId,
    range: KeyRange,
    is_gated: bool,
) -> Result<ViewReply, ReplicaError> {
    if home.views.is_pinned(view) {
        return Ok(ViewReply::Done);
    }
    if !home.views.has_room() {
        return Ok(ViewReply::Full);
    }
    let pinned_at = home.leads_and_has_all().await?;
    let pinned = home.reader.pin(move |resident| resident.locks.writer_in(&range)).await;
    match pinned? {
        Err(by) => Ok(ViewReply::Locked(by)),
        Ok((pinned, gate)) => {
            home.views.insert(view, pinned, is_gated.then_some(gate), pinned_at);
            Ok(ViewReply::Done)
        }
    }
}

async fn confirm(home: &Replica, view: ViewId) -> Result<ViewReply, ReplicaError> {
    let Some(pinned_at) = home.views.open_gate(view) else { return Ok(ViewReply::Lost) };
    // Another leader in between could have shown writes that this replica had not applied.
    let confirmed_at = home.leads().await?;
    let is_same_lead = confirmed_at.leader_id == pinned_at.leader_id;
    Ok(if is_same_lead { ViewReply::Done } else { ViewReply::Lost })
}
