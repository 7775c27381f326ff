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
    found: Mutex<Verification>,
    /// What is hashed, until the worker takes it.
    job: Mutex<Option<Job>>,
    /// Whether somebody may still ask for it.
    is_wanted: AtomicBool,
}

/// A state as of one entry.
struct Job {
    reading: Reading,
    resident: Resident,
    header: Header,
}

/// Those that were asked for last.
#[derive(Default)]
pub struct Verifications(Mutex<VecDeque<Arc<Verified>>>);

impl Verifications {
    /// Notes that the hash as of an entry is being computed; the oldest gives way. The state has so
    /// many keys then.
    pub fn begin(&self, index: LogIndex, of: u64) -> Arc<Verified> {
        let found = Mutex::new(Verification::Running { keys: 0, of });
        let (job, is_wanted) = (Mutex::default(), AtomicBool::new(true));
        let begun = Arc::new(Verified { index, found, job, is_wanted });
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
        let found = all.iter().find(|verified| verified.index == index)?;
        Some(lock(&found.found).clone())
    }

    /// Nobody will ask any more.
    pub fn give_up(&self) {
        lock(&self.0).drain(..).for_each(|one| one.is_wanted.store(false, Ordering::Relaxed));
    }

    /// The oldest that nobody has begun.
    fn next(&self) -> Option<(Arc<Verified>, Job)> {
        let all = lock(&self.0);
        all.iter().find_map(|verified| Some((verified.clone(), lock(&verified.job).take()?)))
    }
}

/// The worker that hashes, once there is something to do: one state after the other.
#[derive(Default)]
pub struct Verifier {
    // In this order they are dropped: without senders the worker ends, then it is waited for.
    wake: Option<mpsc::Sender<()>>,
    worker: Option<Worker>,
}

impl Verifier {
    /// Takes a view of the state as it is now, between two batches, and lets it be hashed. What keeps
    /// it from that is the result.
    pub fn hash(&mut self, shared: &Arc<Shared>, state: &BufferedState, verified: &Verified) {
        let begun = shared.begin(|_| None).map_err(|fault| chain(&fault)).and_then(|reading| {
            let (resident, header) = (state.resident().clone(), state.header());
            *lock(&verified.job) = Some(Job { reading, resident, header });
            self.wake(shared).map_err(|error| format!("starting a worker: {error}"))
        });
        if let Err(reason) = begun {
            *lock(&verified.found) = Verification::Failed { reason };
        }
    }

    fn wake(&mut self, shared: &Arc<Shared>) -> std::io::Result<()> {
        if self.wake.is_none() {
            let (wake, woken) = mpsc::channel(1);
            self.worker = Some(Pool::Beside.spawn(work(shared.clone(), woken))?);
            self.wake = Some(wake);
        }
        // If it is full, the worker has been woken already.
        let _: Option<Result<(), _>> = self.wake.as_ref().map(|wake| wake.try_send(()));
        Ok(())
    }

    /// Ends the worker. What it does is given up before ([`Verifications::give_up`]).
    pub async fn stop(self) {
        let Self { wake, worker } = self;
        drop(wake);
        if let Some(worker) = worker {
            worker.join().await;
        }
    }
}

async fn work(shared: Arc<Shared>, mut woken: mpsc::Receiver<()>) {
    while let Some(()) = woken.recv().await {
        while let Some((verified, job)) = shared.verifications.next() {
            job.run(&shared, &verified);
        }
    }
}

impl Job {
    fn run(self, shared: &Shared, verified: &Verified) {
        let hashed = self.hash(verified);
        // Whoever is told that it is done may close the state next.
        drop(self);
        match hashed {
            Ok(Some(hash)) => *lock(&verified.found) = Verification::Done(hash),
            // Nobody asks for it any more.
            Ok(None) => {}
            Err(fault) => {
                let reason = format!("verifying: {}", chain(&fault));
                shared.fail(&std::io::Error::other(reason.clone()));
                *lock(&verified.found) = Verification::Failed { reason };
            }
        }
    }

    fn hash(&self, verified: &Verified) -> Result<Option<StateHash>, Fault> {
        let Self { reading: Reading { layers, db, .. }, resident, header } = self;
        let of = header.keys;
        let goes_on = |keys| {
            *lock(&verified.found) = Verification::Running { keys, of };
            verified.is_wanted.load(Ordering::Relaxed)
        };
        let view = OverlayView { batch: None, layers, db };
        let hashed = hash_state(&view, resident, header, &goes_on)?;
        if hashed.is_some() {
            let stored = ResidentStore::load(db);
            stored.map_err(|error| Fault::new("reading what lives in memory", error))?;
        }
        Ok(hashed)
    }
}
