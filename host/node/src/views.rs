//! Views that stay open on this node, one shard each: for scans that are consistent across shards.
//!
//! ```text
//! Hold      no transaction across shards begins here; those that had begun come to their end
//! Pin       leads? then a view of what is applied, and a gate: nothing more is applied meanwhile
//! Confirm   every shard is pinned: the gate opens. Leads still, in the same term? then it is a view
//! Close     forget it, whatever was reached
//! ```
//!
//! Promises of a view that is confirmed: it has every write that was acknowledged before the pinning
//! began and none that began after the last shard was pinned (`open_view.rs` says why). Promises
//! that a gate is open again soon after [`GATE_MAX`] whatever happens to who asked, and that views are
//! bounded in number and time. A view is nothing but a way to read: it is not replicated, and ends
//! with the node or when its state is closed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use aspen_core::{KeyRange, ShardId, TxnId, ViewId};
use aspen_store::{Gate, LogId, PinnedView};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::limits::{
    GATE_MAX, HOLD_MAX, HOLD_PATIENCE, LOCKED_WAIT, VIEW_AGE_MAX, VIEW_IDLE_MAX, VIEW_UNREAD_MAX,
    VIEWS_MAX,
};
use crate::node::ShardedRaftNode;
use crate::shard::{NotDone, Shard};
use crate::two_phase;

/// A step towards a view, for the leader of a shard.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ViewStep {
    /// Begin no transaction across shards, and end those that have begun.
    Hold(ViewId),
    /// Pin a view for reading this range, and apply nothing more.
    Pin(ViewId, KeyRange),
    /// All shards have pinned theirs.
    Confirm(ViewId),
    /// It will not be, or is not needed any more.
    Close(ViewId),
    /// Wait until a transaction is over.
    Unlock(TxnId),
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ViewAnswer {
    /// The step is done.
    Done,
    /// This transaction holds keys of the range.
    Locked(TxnId),
    /// Too many views are open.
    Full,
    /// The lead, or the gate, did not last.
    Lost,
}

/// The views of one shard that this node holds.
#[derive(Default)]
pub struct Views {
    inner: Mutex<Inner>,
    /// Held by whoever opens a view of all shards with this one first: two of them at once would
    /// wait for each other's gates.
    pub opening: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Inner {
    parts: BTreeMap<ViewId, Part>,
    is_closed: bool,
}

struct Part {
    view: Arc<PinnedView>,
    /// Until it is confirmed.
    gate: Option<Gate>,
    /// The last entry that had to be applied for it: of the term in which it was pinned.
    pinned_at: LogId,
    opened: Instant,
    /// When it was read last.
    used: Option<Instant>,
}

impl Part {
    fn is_over(&self, now: Instant) -> bool {
        let allowed = match self.used {
            _ if self.gate.is_some() => GATE_MAX,
            Some(used) => (used - self.opened + VIEW_IDLE_MAX).min(VIEW_AGE_MAX),
            None => VIEW_UNREAD_MAX,
        };
        now >= self.opened + allowed
    }
}

impl Views {
    /// The part of a view that this node holds of the shard.
    pub fn find(&self, view: ViewId) -> Option<Arc<PinnedView>> {
        let mut inner = self.inner();
        let part = inner.parts.get_mut(&view).filter(|part| part.gate.is_none())?;
        part.used = Some(Instant::now());
        Some(part.view.clone())
    }

    /// Whether one more fits.
    pub fn has_room(&self) -> bool {
        self.inner().parts.len() < VIEWS_MAX
    }

    /// Forgets a view.
    pub fn close(&self, view: ViewId) {
        let part = self.inner().parts.remove(&view);
        // Outside of the lock: it closes a file.
        drop(part);
    }

    /// Forgets what is over.
    pub fn expire(&self) {
        let now = Instant::now();
        let mut inner = self.inner();
        if inner.parts.is_empty() {
            return;
        }
        let over = inner.parts.iter().filter(|(_, part)| part.is_over(now)).map(|(view, _)| *view);
        let over: Vec<ViewId> = over.collect();
        let over: Vec<Part> = over.iter().filter_map(|view| inner.parts.remove(view)).collect();
        drop(inner);
        drop(over);
    }

    /// Forgets all of them and takes no more: the state is about to be closed.
    pub fn end(&self) {
        let parts = {
            let mut inner = self.inner();
            inner.is_closed = true;
            std::mem::take(&mut inner.parts)
        };
        drop(parts);
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.inner().parts.len()
    }

    /// Keeps a view. A step that comes twice pins twice: what was there first stays, for others may
    /// have gone on from it.
    fn insert(&self, id: ViewId, view: PinnedView, gate: Option<Gate>, pinned_at: LogId) {
        let (opened, used, view) = (Instant::now(), None, Arc::new(view));
        let mut inner = self.inner();
        if !inner.is_closed {
            inner.parts.entry(id).or_insert(Part { view, gate, pinned_at, opened, used });
        }
    }

    /// Whether a view is pinned and waits for its confirmation.
    fn is_pinned(&self, view: ViewId) -> bool {
        self.inner().parts.get(&view).is_some_and(|part| part.gate.is_some())
    }

    /// Opens the gate of a view; where it was pinned, if the gate was closed until now.
    fn open_gate(&self, view: ViewId) -> Option<LogId> {
        let mut inner = self.inner();
        let part = inner.parts.get_mut(&view)?;
        part.gate.take().map(|_| part.pinned_at)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic under the lock")
    }
}

/// Does a step as the leader of `home`.
pub async fn serve(
    node: &ShardedRaftNode,
    home: &Shard,
    step: ViewStep,
) -> Result<ViewAnswer, NotDone> {
    match step {
        ViewStep::Hold(view) => {
            let now = Instant::now();
            let hold = node.driving().hold(home.id, view, now + HOLD_MAX, now + HOLD_PATIENCE);
            hold.await;
            Ok(ViewAnswer::Done)
        }
        ViewStep::Pin(view, range) => pin(home, view, range, true).await,
        ViewStep::Confirm(view) => {
            let confirmed = confirm(home, view).await;
            node.driving().release(home.id, view);
            if !matches!(confirmed, Ok(ViewAnswer::Done)) {
                home.views.close(view);
            }
            confirmed
        }
        ViewStep::Close(view) => {
            close(node, home, view);
            Ok(ViewAnswer::Done)
        }
        ViewStep::Unlock(txn) => {
            two_phase::unlocked(node, home, txn, Instant::now() + LOCKED_WAIT / 4).await;
            Ok(ViewAnswer::Done)
        }
    }
}

/// Forgets a view on one shard, and what was held for it.
pub fn close(node: &ShardedRaftNode, home: &Shard, view: ViewId) {
    node.driving().release(home.id, view);
    home.views.close(view);
}

/// Closes what this node holds of a view, of all shards.
pub fn close_all(node: &ShardedRaftNode, view: ViewId) {
    for shard in node.shards() {
        close(node, &shard, view);
    }
}

/// Pins a view of what is applied, as the leader; if `is_gated`, nothing more is applied until it is
/// confirmed. Without it is a view at once.
pub async fn pin(
    home: &Shard,
    view: ViewId,
    range: KeyRange,
    is_gated: bool,
) -> Result<ViewAnswer, NotDone> {
    if home.views.is_pinned(view) {
        return Ok(ViewAnswer::Done);
    }
    if !home.views.has_room() {
        return Ok(ViewAnswer::Full);
    }
    let pinned_at = home.leads_and_has_all().await?;
    let pinned = home.reader.pin(move |resident| resident.locks.writer_in(&range)).await;
    match pinned.map_err(|fault| NotDone::Stopped(fault.to_string()))? {
        Err(by) => Ok(ViewAnswer::Locked(by)),
        Ok((pinned, gate)) => {
            home.views.insert(view, pinned, is_gated.then_some(gate), pinned_at);
            Ok(ViewAnswer::Done)
        }
    }
}

async fn confirm(home: &Shard, view: ViewId) -> Result<ViewAnswer, NotDone> {
    let Some(pinned_at) = home.views.open_gate(view) else { return Ok(ViewAnswer::Lost) };
    // Another leader in between would have shown what this replica had not applied.
    let confirmed_at = home.leads().await?;
    let is_same_lead = confirmed_at.leader_id == pinned_at.leader_id;
    Ok(if is_same_lead { ViewAnswer::Done } else { ViewAnswer::Lost })
}

/// The shards' names, for an error.
pub fn names(shards: &[ShardId]) -> String {
    shards.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
