//! Hashing a shard's whole state as of one entry, while apply goes on.
//!
//! ```text
//! apply      ... entries, Verify | view, copy of what lives in memory | entries ...
//! verifier                         ----- reads the view, all of it, and hashes ----- result
//! ```
//!
//! Promises a hash of exactly what is there after the entry, read from the file by a connection of its
//! own, so that no page of it is taken from memory; and that a row that is damaged stops the replica,
//! as if apply had read it. Costs apply the copy: some milliseconds, tens where the tombstones are all
//! taken. Of what lives in memory the rows in the file lag behind: their checksums are compared, their
//! content is what the next start loads. Leaves out who compares the hashes (`aspen-client`).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use aspen_core::limits::VERIFICATIONS_MAX;
use aspen_core::{Fault, Header, LogIndex, Resident, State, StateHash, Verification, hash_state};
use tokio::sync::mpsc;

use crate::buffer::BufferedState;
use crate::error::chain;
use crate::log::lock;
use crate::overlay::OverlayView;
use crate::reader::{Reading, Shared};
use crate::resident_store::ResidentStore;
use crate::runtime::{Pool, Worker};

/// One hash that was asked for.
pub struct Verified {
    index: LogIndex,
    state: Mutex<Verification>,
    /// Whether somebody may still ask for it.
    is_wanted: AtomicBool,
}

/// Those that were asked for last.
#[derive(Default)]
pub struct Verifications(Mutex<VecDeque<Arc<Verified>>>);

impl Verifications {
    /// Notes that the hash as of an entry is being computed; the oldest gives way. The state has so
    /// many keys then.
    pub fn begin(&self, index: LogIndex, of: u64) -> Arc<Verified> {
        let state = Mutex::new(Verification::Running { keys: 0, of });
        let begun = Arc::new(Verified { index, state, is_wanted: AtomicBool::new(true) });
        let mut all = lock(&self.0);
        all.push_back(begun.clone());
        if all.len() > VERIFICATIONS_MAX
            && let Some(oldest) = all.pop_front()
        {
            oldest.is_wanted.store(false, Ordering::Relaxed);
        }
        begun
    }

    /// How far that of an entry is.
    pub fn find(&self, index: LogIndex) -> Option<Verification> {
        let all = lock(&self.0);
        let found = all.iter().rev().find(|verified| verified.index == index)?;
        Some(lock(&found.state).clone())
    }

    /// Nobody will ask any more.
    pub fn give_up(&self) {
        lock(&self.0).drain(..).for_each(|one| one.is_wanted.store(false, Ordering::Relaxed));
    }
}

/// A state as of one entry, to be hashed.
struct Job {
    verified: Arc<Verified>,
    shared: Arc<Shared>,
    reading: Reading,
    resident: Resident,
    header: Header,
}

/// The worker that hashes, once there is something to do: one state after the other.
#[derive(Default)]
pub struct Verifier {
    // In this order they are dropped: without senders the worker ends, then it is waited for.
    jobs: Option<mpsc::Sender<Job>>,
    worker: Option<Worker>,
}

impl Verifier {
    /// Takes a view of the state as it is now, between two batches, and lets it be hashed. What keeps
    /// it from that is the result.
    pub fn hash(&mut self, shared: &Arc<Shared>, state: &BufferedState, verified: Arc<Verified>) {
        let begun = shared.begin(|_| None).map_err(|fault| chain(&fault)).and_then(|reading| {
            let (shared, resident) = (shared.clone(), state.resident().clone());
            let header = state.header();
            let job = Job { verified: verified.clone(), shared, reading, resident, header };
            let jobs = self.jobs().map_err(|error| format!("starting a worker: {error}"))?;
            // As many as are wanted fit, and those that are not end at once.
            jobs.try_send(job).map_err(|_| "others are not done yet".to_string())
        });
        if let Err(reason) = begun {
            *lock(&verified.state) = Verification::Failed { reason };
        }
    }

    fn jobs(&mut self) -> std::io::Result<&mpsc::Sender<Job>> {
        if self.jobs.is_none() {
            let (jobs, receiver) = mpsc::channel(2 * VERIFICATIONS_MAX);
            self.worker = Some(Pool::Beside.spawn(work(receiver))?);
            self.jobs = Some(jobs);
        }
        Ok(self.jobs.as_ref().expect("it was made just now"))
    }

    /// Ends the worker. What it does is given up before ([`Verifications::give_up`]).
    pub async fn stop(self) {
        let Self { jobs, worker } = self;
        drop(jobs);
        if let Some(worker) = worker {
            worker.join().await;
        }
    }
}

async fn work(mut jobs: mpsc::Receiver<Job>) {
    while let Some(job) = jobs.recv().await {
        job.run();
    }
}

impl Job {
    fn run(self) {
        let hashed = self.hash();
        let mut state = lock(&self.verified.state);
        match hashed {
            Ok(Some(hash)) => *state = Verification::Done(hash),
            // Nobody asks for it any more.
            Ok(None) => {}
            Err(fault) => {
                let reason = format!("verifying: {}", chain(&fault));
                *state = Verification::Failed { reason: reason.clone() };
                self.shared.fail(&std::io::Error::other(reason));
            }
        }
    }

    fn hash(&self) -> Result<Option<StateHash>, Fault> {
        let Self { verified, reading, resident, header, .. } = self;
        let of = header.keys;
        let goes_on = |keys| {
            *lock(&verified.state) = Verification::Running { keys, of };
            verified.is_wanted.load(Ordering::Relaxed)
        };
        let Reading { layers, db, .. } = reading;
        let view = OverlayView { batch: None, layers, db };
        let hashed = hash_state(&view, resident, header, &goes_on)?;
        if hashed.is_some() {
            let stored = ResidentStore::load(db);
            stored.map_err(|error| Fault::new("reading what lives in memory", error))?;
        }
        Ok(hashed)
    }
}
