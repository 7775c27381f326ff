//! Compiled components in memory, and the thread that compiles ahead.
//!
//! Promises that a component is compiled once, however many ask for it at once, and that at most
//! [`COMPONENTS_READY_MAX`] are kept; the one not used for longest goes first.
//! In the simulation, which has no threads, everything compiles in place.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use aspen_core::{ComponentHash, Fault};
use bytes::Bytes;

use crate::class::Class;
use crate::compile::{Compilers, Prepared};

/// Components kept ready: 256 of 1 MiB of code each are more than a node's usual set. The next call
/// of one that went out loads it from disk in 0.1 ms.
pub const COMPONENTS_READY_MAX: usize = 256;

/// A large component counts as so many: its code takes 50 MiB, and 8 of them fit beside no others.
const LARGE_WEIGHT: usize = 32;

/// Components that wait to be compiled ahead; one more is compiled when it is first called.
const WAITING_MAX: usize = 64;

/// A component that was looked at: ready, or none that can run.
pub(crate) type Looked = Option<Arc<Prepared>>;

/// All components of this process.
pub(crate) struct Cache {
    shared: Arc<Shared>,
    worker: Option<Worker>,
}

struct Worker {
    jobs: SyncSender<(ComponentHash, Bytes)>,
    thread: JoinHandle<()>,
}

struct Shared {
    compilers: Compilers,
    slots: Mutex<Slots>,
    changed: Condvar,
}

#[derive(Default)]
struct Slots {
    slots: BTreeMap<ComponentHash, Slot>,
    /// Counts uses, to know which was used last.
    uses: u64,
}

enum Slot {
    Compiling,
    Looked { looked: Looked, used: u64 },
}

impl Cache {
    /// An empty cache.
    pub(crate) fn new(compilers: Compilers) -> Result<Self, std::io::Error> {
        let slots = Mutex::new(Slots::default());
        let shared = Arc::new(Shared { compilers, slots, changed: Condvar::new() });
        let worker = if cfg!(madsim) { None } else { Some(Worker::start(&shared)?) };
        Ok(Self { shared, worker })
    }

    /// Compiles ahead, on another thread.
    pub(crate) fn prepare(&self, hash: &ComponentHash, bytes: &Bytes) {
        let Some(worker) = &self.worker else {
            // A failure shows again, and is answered, at the first call.
            let _shown_at_the_call = self.get(hash, || Ok(Some(bytes.clone())));
            return;
        };
        // Full, or ended: the first call compiles.
        let _compiled_at_the_call = worker.jobs.try_send((*hash, bytes.clone()));
    }

    /// The component, compiled here if need be; `None` if it is unknown or cannot run.
    pub(crate) fn get(
        &self,
        hash: &ComponentHash,
        bytes: impl FnOnce() -> Result<Option<Bytes>, Fault>,
    ) -> Result<Looked, Fault> {
        self.shared.get(hash, bytes)
    }

    /// Whether the component was compiled in this process, if that is known already.
    pub(crate) fn known(&self, hash: &ComponentHash) -> Option<bool> {
        match self.shared.lock().slots.get(hash) {
            Some(Slot::Looked { looked, .. }) => Some(looked.is_some()),
            Some(Slot::Compiling) | None => None,
        }
    }

    /// The component, if it is compiled and can run.
    pub(crate) fn ready(&self, hash: &ComponentHash) -> Looked {
        match self.shared.lock().slots.get(hash) {
            Some(Slot::Looked { looked, .. }) => looked.clone(),
            Some(Slot::Compiling) | None => None,
        }
    }

    /// The engines and the host functions.
    pub(crate) fn compilers(&self) -> &Compilers {
        &self.shared.compilers
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        if let Some(Worker { jobs, thread }) = self.worker.take() {
            drop(jobs);
            // It panicked: the compilation was done again, and answered, at the first call.
            let _answered_at_the_call = thread.join();
        }
    }
}

impl Worker {
    fn start(shared: &Arc<Shared>) -> Result<Worker, std::io::Error> {
        let (jobs, queue) = sync_channel(WAITING_MAX);
        let shared = shared.clone();
        let thread = thread::Builder::new().name("aspen-compile".into());
        let thread = thread.spawn(move || run(&shared, &queue))?;
        Ok(Worker { jobs, thread })
    }
}

fn run(shared: &Shared, queue: &Receiver<(ComponentHash, Bytes)>) {
    while let Ok((hash, bytes)) = queue.recv() {
        if let Err(error) = shared.get(&hash, || Ok(Some(bytes))) {
            tracing::warn!(component = %hash, %error, "compiling ahead failed");
        }
    }
}

impl Shared {
    fn get(
        &self,
        hash: &ComponentHash,
        bytes: impl FnOnce() -> Result<Option<Bytes>, Fault>,
    ) -> Result<Looked, Fault> {
        if let Some(looked) = self.look(hash) {
            return Ok(looked);
        }
        let claim = Claim { shared: self, hash, looked: None };
        claim.fill(bytes)
    }

    /// What is known, after waiting for a compilation under way; `None` if the caller must compile,
    /// for which the place is now reserved.
    fn look(&self, hash: &ComponentHash) -> Option<Looked> {
        let mut guard = self.lock();
        loop {
            let slots = &mut *guard;
            slots.uses += 1;
            match slots.slots.get_mut(hash) {
                Some(Slot::Looked { looked, used }) => {
                    *used = slots.uses;
                    return Some(looked.clone());
                }
                Some(Slot::Compiling) => {
                    guard = self.changed.wait(guard).unwrap_or_else(PoisonError::into_inner);
                }
                None => {
                    slots.slots.insert(*hash, Slot::Compiling);
                    return None;
                }
            }
        }
    }

    /// The slots are whole between any two statements, so a panic elsewhere does not matter.
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reserved place. Whatever happens, those who wait for it go on when it is dropped.
struct Claim<'a> {
    shared: &'a Shared,
    hash: &'a ComponentHash,
    looked: Option<Looked>,
}

impl Claim<'_> {
    fn fill(
        mut self,
        bytes: impl FnOnce() -> Result<Option<Bytes>, Fault>,
    ) -> Result<Looked, Fault> {
        let Some(bytes) = bytes()? else { return Ok(None) };
        let compiler = self.shared.compilers.of(Class::of(bytes.len()));
        let prepared = compiler.prepare(self.hash, &bytes)?;
        let looked = prepared.map(Arc::new);
        self.looked = Some(looked.clone());
        Ok(looked)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut slots = self.shared.lock();
        slots.slots.remove(self.hash);
        if let Some(looked) = self.looked.take() {
            let used = slots.uses;
            slots.slots.insert(*self.hash, Slot::Looked { looked, used });
            slots.shrink();
        }
        self.shared.changed.notify_all();
    }
}

impl Slot {
    fn weight(&self) -> usize {
        match self {
            Slot::Looked { looked: Some(prepared), .. } if prepared.class == Class::Large => {
                LARGE_WEIGHT
            }
            _ => 1,
        }
    }
}

impl Slots {
    /// Forgets what was not used for longest.
    fn shrink(&mut self) {
        while self.slots.values().map(Slot::weight).sum::<usize>() > COMPONENTS_READY_MAX {
            let used = |(hash, slot): (&ComponentHash, &Slot)| match slot {
                Slot::Compiling => None,
                Slot::Looked { used, .. } => Some((*used, *hash)),
            };
            let Some((_, oldest)) = self.slots.iter().filter_map(used).min() else { return };
            self.slots.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_recently_used_component_goes_first() {
        let mut slots = Slots::default();
        let hash = |number: usize| ComponentHash::of(&number.to_le_bytes());
        for number in 0..=COMPONENTS_READY_MAX {
            let used = if number == 0 { u64::MAX } else { number as u64 };
            slots.slots.insert(hash(number), Slot::Looked { looked: None, used });
        }
        slots.shrink();
        assert_eq!(slots.slots.len(), COMPONENTS_READY_MAX);
        assert!(slots.slots.contains_key(&hash(0)));
        assert!(!slots.slots.contains_key(&hash(1)));
    }
}
