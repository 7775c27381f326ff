//! Compiled components in memory, and the thread that compiles ahead.
//!
//! Promises that a component is compiled once, however many calls ask for it at once, and that at most
//! [`COMPONENTS_READY_MAX`] are kept; the least recently used one goes first.
//! The simulation has no threads: there every component is compiled in place.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use aspen_core::ids::ComponentHash;
use aspen_core::view::HostError;
use bytes::Bytes;

use super::compiler::{Compilers, ReadyComponent};
use crate::profile::class::Class;

/// Components kept ready: 256 of 1 MiB of code each are more than a node's usual set. The next call
/// of a component that left the cache loads it from disk in 0.1 ms.
pub const COMPONENTS_READY_MAX: usize = 256;

/// The weight of a large component, where a small one has 1: its code takes 50 MiB, and 8 of them fill
/// the cache.
const LARGE_WEIGHT: usize = 32;

/// Components that wait to be compiled ahead; one more is compiled at its first call.
const WAITING_MAX: usize = 64;

/// The result of compiling a component: ready, or `None` if it cannot run.
pub(crate) type CompileResult = Option<Arc<ReadyComponent>>;

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
    /// The number of uses so far: it tells which component was used last.
    uses: u64,
}

enum Slot {
    Compiling,
    Done { compiled: CompileResult, used: u64 },
}

impl Cache {
    /// An empty cache, and the thread that compiles ahead.
    pub(crate) fn new(compilers: Compilers) -> Result<Self, std::io::Error> {
        let slots = Mutex::new(Slots::default());
        let shared = Arc::new(Shared { compilers, slots, changed: Condvar::new() });
        let worker = if cfg!(madsim) { None } else { Some(Worker::start(&shared)?) };
        Ok(Self { shared, worker })
    }

    /// Compiles ahead, on another thread.
    pub(crate) fn prepare(&self, hash: &ComponentHash, bytes: &Bytes) {
        let Some(worker) = &self.worker else {
            // The first call meets the same failure, and answers it.
            let _met_at_the_call = self.get(hash, || Ok(Some(bytes.clone())));
            return;
        };
        // The queue is full, or the thread has ended: the first call compiles.
        let _compiled_at_the_call = worker.jobs.try_send((*hash, bytes.clone()));
    }

    /// Returns the component, and compiles it if nobody has; `None` if it is unknown or cannot run.
    pub(crate) fn get(
        &self,
        hash: &ComponentHash,
        bytes: impl FnOnce() -> Result<Option<Bytes>, HostError>,
    ) -> Result<CompileResult, HostError> {
        self.shared.get(hash, bytes)
    }

    /// Returns the result of compiling the component, if this process has compiled it.
    pub(crate) fn peek(&self, hash: &ComponentHash) -> Option<CompileResult> {
        match self.shared.lock().slots.get(hash) {
            Some(Slot::Done { compiled, .. }) => Some(compiled.clone()),
            Some(Slot::Compiling) | None => None,
        }
    }

    /// Returns the compilers of both classes.
    pub(crate) fn compilers(&self) -> &Compilers {
        &self.shared.compilers
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        if let Some(Worker { jobs, thread }) = self.worker.take() {
            drop(jobs);
            // If the thread panicked, the first call compiled again, and answered.
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
        bytes: impl FnOnce() -> Result<Option<Bytes>, HostError>,
    ) -> Result<CompileResult, HostError> {
        if let Some(compiled) = self.wait(hash) {
            return Ok(compiled);
        }
        let claim = Claim { shared: self, hash, compiled: None };
        claim.fill(bytes)
    }

    /// Waits for a compilation under way and returns its result; `None` if the caller must compile: then
    /// the slot is reserved for the caller.
    fn wait(&self, hash: &ComponentHash) -> Option<CompileResult> {
        let mut guard = self.lock();
        loop {
            let slots = &mut *guard;
            slots.uses += 1;
            match slots.slots.get_mut(hash) {
                Some(Slot::Done { compiled, used }) => {
                    *used = slots.uses;
                    return Some(compiled.clone());
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

    /// Locks the slots. They are whole between any two statements, so a panic elsewhere does no harm.
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A reserved slot. When the claim is dropped, those who wait for the slot go on, also after a panic.
struct Claim<'a> {
    shared: &'a Shared,
    hash: &'a ComponentHash,
    compiled: Option<CompileResult>,
}

impl Claim<'_> {
    fn fill(
        mut self,
        bytes: impl FnOnce() -> Result<Option<Bytes>, HostError>,
    ) -> Result<CompileResult, HostError> {
        let Some(bytes) = bytes()? else { return Ok(None) };
        let compiler = self.shared.compilers.of(Class::of(bytes.len()));
        let compiled = compiler.make_ready(self.hash, &bytes)?.map(Arc::new);
        self.compiled = Some(compiled.clone());
        Ok(compiled)
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut slots = self.shared.lock();
        slots.slots.remove(self.hash);
        if let Some(compiled) = self.compiled.take() {
            let used = slots.uses;
            slots.slots.insert(*self.hash, Slot::Done { compiled, used });
            slots.shrink();
        }
        self.shared.changed.notify_all();
    }
}

impl Slot {
    fn weight(&self) -> usize {
        match self {
            Slot::Done { compiled: Some(ready), .. } if ready.class == Class::Large => LARGE_WEIGHT,
            _ => 1,
        }
    }
}

impl Slots {
    /// Forgets the least recently used components until the rest fits.
    fn shrink(&mut self) {
        while self.slots.values().map(Slot::weight).sum::<usize>() > COMPONENTS_READY_MAX {
            let used = |(hash, slot): (&ComponentHash, &Slot)| match slot {
                Slot::Compiling => None,
                Slot::Done { used, .. } => Some((*used, *hash)),
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
            slots.slots.insert(hash(number), Slot::Done { compiled: None, used });
        }
        slots.shrink();
        assert_eq!(slots.slots.len(), COMPONENTS_READY_MAX);
        assert!(slots.slots.contains_key(&hash(0)));
        assert!(!slots.slots.contains_key(&hash(1)));
    }
}
