//! A view of one shard's state that stays as it is while apply goes on.
//!
//! ```text
//! apply     ... batch | looks, pins |          held          | batch ...
//! reader                       view ----------- pages of it ----------------- dropped
//! gate                         closed ---------- dropped
//! ```
//!
//! Promises that every read of a [`PinnedView`] sees the state as of the batch after which it was
//! made, and that while its [`Gate`] is there nothing more is applied on this replica, so nothing
//! more is acknowledged or shown by it. Costs, as long as it lives: the layers in memory of that
//! moment (at most twice what a shard buffers), a connection, and a write-ahead log that is not
//! emptied beyond it. Leaves out who bounds how many there are and how long (`aspen-node`).

use std::sync::Mutex;

use aspen_core::defect::{Defect, is_planted};
use aspen_core::{Fault, Header, Resident, State, View};
use tokio::sync::{mpsc, oneshot};

use crate::apply_worker::Job;
use crate::buffer::BufferedState;
use crate::log::lock;
use crate::overlay::OverlayView;
use crate::reader::{Reading, StateReader};

/// Page cache of a pinned connection, in KiB: it goes through the file once.
const PAGE_CACHE_KIB: i32 = 256;

/// A view that stays. Dropped, it lets go of everything.
pub struct PinnedView {
    header: Header,
    reading: Mutex<Reading>,
}

/// Holds apply back until it is dropped.
#[derive(Debug)]
pub struct Gate(#[expect(dead_code, reason = "its drop is what counts")] oneshot::Sender<()>);

/// A look at the state between two batches; what it gives is waited for before the next one.
pub type Look = Box<dyn FnOnce(&BufferedState) -> Option<oneshot::Receiver<()>> + Send>;

impl PinnedView {
    /// Runs `read` on the view. Blocks for the disk, and for another read of this view.
    pub fn read<R>(
        &self,
        read: impl FnOnce(&dyn View, Header) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let reading = lock(&self.reading);
        let Reading { layers, db, .. } = &*reading;
        read(&OverlayView { batch: None, layers, db }, self.header)
    }
}

impl StateReader {
    /// A view of the state as it is between two batches, unless `refuse` finds something in the way
    /// there; and the gate that keeps the next batch from being applied.
    pub async fn pin<E: Send + 'static>(
        &self,
        refuse: impl FnOnce(&Resident) -> Option<E> + Send + 'static,
    ) -> Result<Result<(PinnedView, Gate), E>, Fault> {
        let stopped = || Fault::new("pinning a view", "the replica has stopped");
        let (done, answer) = oneshot::channel();
        let reader = self.clone();
        let look: Look = Box::new(move |state| {
            let (gate, opened) = oneshot::channel();
            let pinned = match refuse(state.resident()) {
                Some(found) => Ok(Err(found)),
                None => reader.pin_now().map(|view| Ok((view, Gate(gate)))),
            };
            // Whoever asked may have given up waiting: then the gate is dropped here.
            let _ = done.send(pinned);
            (!is_planted(Defect::OpenGate)).then_some(opened)
        });
        let jobs: mpsc::Sender<Job> = self.jobs.upgrade().ok_or_else(stopped)?;
        jobs.send(Job::Hold(look)).await.map_err(|_| stopped())?;
        drop(jobs);
        answer.await.map_err(|_| stopped())?
    }

    fn pin_now(&self) -> Result<PinnedView, Fault> {
        let reading = self.begin()?;
        let set = reading.db.pragma_update(None, "cache_size", -PAGE_CACHE_KIB);
        set.map_err(|error| Fault::new("pinning a view", error))?;
        Ok(PinnedView { header: reading.header, reading: Mutex::new(reading) })
    }
}
