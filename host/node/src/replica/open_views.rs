//! The open views of one replica: for scans that are consistent across shards.
//!
//! Promises that views are bounded in number and time, and that a gate is open again soon after
//! [`GATE_MAX`], whatever happens to the node that asked. A view is only a way to read: no view is
//! replicated, and all views end with the node or when the state is closed. Leaves out how a view
//! comes about (`views/open.rs`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use aspen_core::ids::ViewId;
use aspen_store::{Gate, LogId, PinnedView};
use tokio::time::Instant;

use crate::limits::{GATE_MAX, VIEW_AGE_MAX, VIEW_IDLE_MAX, VIEW_UNREAD_MAX, VIEWS_MAX};

/// The views of one shard that this node holds.
#[derive(Default)]
pub struct OpenViews {
    inner: Mutex<Inner>,
    /// Held while a view of all shards is opened from this replica: two of them at once would wait
    /// for each other's gates.
    pub opening: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Inner {
    views: BTreeMap<ViewId, ShardView>,
    is_closed: bool,
}

/// One shard's part of a view.
struct ShardView {
    view: Arc<PinnedView>,
    /// Keeps the replica from applying, until the view is confirmed.
    gate: Option<Gate>,
    /// The last entry that had to be applied for the view: of the term in which it was pinned.
    pinned_at: LogId,
    opened: Instant,
    /// The time when the view was read last.
    used: Option<Instant>,
}

impl ShardView {
    fn is_over(&self, now: Instant) -> bool {
        let allowed = match self.used {
            _ if self.gate.is_some() => GATE_MAX,
            Some(used) => (used - self.opened + VIEW_IDLE_MAX).min(VIEW_AGE_MAX),
            None => VIEW_UNREAD_MAX,
        };
        now >= self.opened + allowed
    }
}

impl OpenViews {
    /// Returns this shard's part of a view, once it is confirmed, and notes that it is read.
    pub fn find(&self, view: ViewId) -> Option<Arc<PinnedView>> {
        let mut inner = self.inner();
        let open = inner.views.get_mut(&view).filter(|open| open.gate.is_none())?;
        open.used = Some(Instant::now());
        Some(open.view.clone())
    }

    /// Returns true if there is room for one more view.
    pub fn has_room(&self) -> bool {
        self.inner().views.len() < VIEWS_MAX
    }

    /// Forgets a view.
    pub fn close(&self, view: ViewId) {
        let open = self.inner().views.remove(&view);
        // Outside of the lock: it closes a file.
        drop(open);
    }

    /// Forgets the views that are over.
    pub fn expire(&self) {
        let now = Instant::now();
        let mut inner = self.inner();
        if inner.views.is_empty() {
            return;
        }
        let over = inner.views.iter().filter(|(_, open)| open.is_over(now)).map(|(view, _)| *view);
        let over: Vec<ViewId> = over.collect();
        let over: Vec<_> = over.iter().filter_map(|view| inner.views.remove(view)).collect();
        drop(inner);
        drop(over);
    }

    /// Forgets all views and takes no more: the state is about to be closed.
    pub fn end(&self) {
        let views = {
            let mut inner = self.inner();
            inner.is_closed = true;
            std::mem::take(&mut inner.views)
        };
        drop(views);
    }

    /// Returns how many views are open.
    pub fn count(&self) -> usize {
        self.inner().views.len()
    }

    /// Keeps a view. A step that comes twice pins twice: the first view stays, for others may have
    /// gone on from it.
    pub fn insert(&self, id: ViewId, view: PinnedView, gate: Option<Gate>, pinned_at: LogId) {
        let (opened, used, view) = (Instant::now(), None, Arc::new(view));
        let mut inner = self.inner();
        if !inner.is_closed {
            inner.views.entry(id).or_insert(ShardView { view, gate, pinned_at, opened, used });
        }
    }

    /// Returns true if a view is pinned and waits for its confirmation.
    pub fn is_pinned(&self, view: ViewId) -> bool {
        self.inner().views.get(&view).is_some_and(|open| open.gate.is_some())
    }

    /// Opens the gate of a view; returns where the view was pinned, if the gate was closed until
    /// now.
    pub fn open_gate(&self, view: ViewId) -> Option<LogId> {
        let mut inner = self.inner();
        let open = inner.views.get_mut(&view)?;
        open.gate.take().map(|_| open.pinned_at)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic under the lock")
    }
}
