//! Hashing a shard's whole state as of one entry, while apply goes on.
//!
//! ```text
//! apply      ... entries, Verify | view, copy of the resident parts | entries ...
//! verifier                         ----- reads the whole view and hashes it ----- result
//! ```
//!
//! The resident parts are those that live in memory whole (sessions, leases, tombstones ...).
//! Promises a hash of exactly the state after the entry, read from the file by a connection of its own,
//! so that no page of it is taken from memory; and that a damaged row stops the replica, as if
//! apply had read the row. Apply pays for the copy: some milliseconds, tens if there are as many
//! tombstones as allowed. The file's rows of the resident parts lag behind: only their checksums are
//! compared, and the next start loads their content. Leaves out the comparison of hashes
//! (`aspen-client`).

use std::sync::Arc;

use aspen_core::state::{State, StateHash, Verification, hash_state};
use aspen_core::view::HostError;
use tokio::sync::mpsc;

use crate::buffer::BufferedState;
use crate::error::chain;
use crate::replica::{RequestedVerification, Shared, VerificationTask};
use crate::runtime::{Pool, Worker};
use crate::state::ResidentStore;

/// The worker that hashes one state after the other. It starts with the first one.
#[derive(Default)]
pub struct Verifier {
    // In this order they are dropped: without senders the worker ends, then it is waited for.
    wake: Option<mpsc::Sender<()>>,
    worker: Option<Worker>,
}

impl Verifier {
    /// Takes a view of the state between two batches and starts its hash. A failure to do so is the
    /// result.
    pub fn hash(
        &mut self,
        shared: &Arc<Shared>,
        state: &BufferedState,
        requested: &RequestedVerification,
    ) {
        let begun = shared.begin_read_apart().map_err(|fault| chain(&fault));
        let begun = begun.and_then(|transaction| {
            let (resident, header) = (state.resident().clone(), state.header());
            requested.give(VerificationTask { transaction, resident, header });
            self.wake(shared).map_err(|error| format!("starting a worker: {error}"))
        });
        if let Err(reason) = begun {
            requested.set(Verification::Failed { reason });
        }
    }

    fn wake(&mut self, shared: &Arc<Shared>) -> std::io::Result<()> {
        if self.wake.is_none() {
            let (wake, woken) = mpsc::channel(1);
            self.worker = Some(Pool::Background.spawn(work(shared.clone(), woken))?);
            self.wake = Some(wake);
        }
        // If it is full, the worker has been woken already.
        let _: Option<Result<(), _>> = self.wake.as_ref().map(|wake| wake.try_send(()));
        Ok(())
    }

    /// Ends the worker. The caller gives its work up before (`Verifications::give_up`).
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
        while let Some((requested, task)) = shared.verifications.next() {
            run(task, &shared, &requested);
        }
    }
}

fn run(task: VerificationTask, shared: &Shared, requested: &RequestedVerification) {
    let hashed = hash(&task, requested);
    // A client that learns of the result may close the state next.
    drop(task);
    match hashed {
        Ok(Some(hash)) => requested.set(Verification::Done(hash)),
        // Nobody asks for it any more.
        Ok(None) => {}
        Err(fault) => {
            let reason = format!("verifying: {}", chain(&fault));
            shared.fail(&std::io::Error::other(reason.clone()));
            requested.set(Verification::Failed { reason });
        }
    }
}

/// Hashes a state; returns nothing if no client asks for the result any more.
fn hash(
    task: &VerificationTask,
    requested: &RequestedVerification,
) -> Result<Option<StateHash>, HostError> {
    let VerificationTask { transaction, resident, header } = task;
    let of = header.keys;
    let goes_on = |keys| {
        requested.set(Verification::Running { keys, of });
        requested.is_wanted()
    };
    let hashed = hash_state(&transaction.view(), resident, header, &goes_on)?;
    if hashed.is_some() {
        let stored = ResidentStore::load(transaction.db());
        stored.map_err(|error| HostError::new("reading what lives in memory", error))?;
    }
    Ok(hashed)
}
