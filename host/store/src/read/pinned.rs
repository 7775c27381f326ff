//! A view of one shard's state that does not change while apply goes on.
//!
//! ```text
//! apply     ... batch | looks, pins |          held          | batch ...
//! reader                       view ----------- pages of it ----------------- dropped
//! gate                         closed ---------- dropped
//! ```
//!
//! Promises that every read of a [`PinnedView`] sees the state as of the batch after which it was
//! made, and that while its [`Gate`] exists nothing more is applied on this replica, so the replica
//! acknowledges and shows nothing more. As long as a view lives, it costs the memtables of that
//! moment (at most twice those of a shard), a connection, and a write-ahead log that is not emptied
//! beyond the view. Leaves out the bounds on the number of views and on their life (`aspen-node`).

use std::sync::Mutex;

use aspen_core::defect::{Defect, is_planted};
use aspen_core::state::{Header, Resident, State};
use aspen_core::view::{HostError, View};
use tokio::sync::{mpsc, oneshot};

use super::reader::StateReader;
use crate::limits::PINNED_PAGE_CACHE_KIB;
use crate::replica::{ApplyRequest, HeldInspection, ReadTransaction};
use crate::sync::lock;

/// A view that does not change. A drop frees everything that it holds.
pub struct PinnedView {
    header: Header,
    transaction: Mutex<ReadTransaction>,
}

/// Holds apply back until it is dropped.
#[derive(Debug)]
pub struct Gate(#[expect(dead_code, reason = "its drop is what counts")] oneshot::Sender<()>);

impl PinnedView {
    /// Runs `read` on the view. Blocks for the disk, and for another read of this view.
    pub fn read<R>(
        &self,
        read: impl FnOnce(&dyn View, Header) -> Result<R, HostError>,
    ) -> Result<R, HostError> {
        let transaction = lock(&self.transaction);
        read(&transaction.view(), self.header)
    }
}

impl StateReader {
    /// Returns a view of the state between two batches, and the gate that keeps the next batch from being
    /// applied. Returns the obstacle instead if `refuse` finds one at that moment.
    pub async fn pin<E: Send + 'static>(
        &self,
        refuse: impl FnOnce(&Resident) -> Option<E> + Send + 'static,
    ) -> Result<Result<(PinnedView, Gate), E>, HostError> {
        let stopped = || HostError::new("pinning a view", "the replica has stopped");
        let (done, answer) = oneshot::channel();
        let reader = self.clone();
        let inspection: HeldInspection = Box::new(move |state| {
            let (gate, opened) = oneshot::channel();
            let pinned = match refuse(state.resident()) {
                Some(found) => Ok(Err(found)),
                None => reader.pin_now().map(|view| Ok((view, Gate(gate)))),
            };
            // The caller may have given up waiting: then the gate is dropped here.
            let _ = done.send(pinned);
            (!is_planted(Defect::OpenGate)).then_some(opened)
        });
        let requests: mpsc::Sender<_> = self.requests.upgrade().ok_or_else(stopped)?;
        requests.send(ApplyRequest::Hold(inspection)).await.map_err(|_| stopped())?;
        drop(requests);
        answer.await.map_err(|_| stopped())?
    }

    fn pin_now(&self) -> Result<PinnedView, HostError> {
        let transaction = self.shared.begin_read()?;
        let set = transaction.db().pragma_update(None, "cache_size", -PINNED_PAGE_CACHE_KIB);
        set.map_err(|error| HostError::new("pinning a view", error))?;
        Ok(PinnedView { header: transaction.header(), transaction: Mutex::new(transaction) })
    }
}
