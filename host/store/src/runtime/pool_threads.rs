//! The threads of each pool.
//!
//! For all shards of the process, workers that apply share [`POOL_THREADS_PER_CORE`] threads per core,
//! workers that flush as many others, and functions in the background as many again. A worker has at most
//! one batch of a shard at a time and then gives its thread back. Only apply may wait for a flush, so
//! workers cannot wait for each other in a circle.
//!
//! Promises that a pool starts its threads once, when they are first needed; they stay until the process
//! ends. Leaves out how a thread runs many workers (`threads.rs`) and how a worker ends (`worker.rs`).

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::thread;

use super::pool::Pool;
use super::threads::Threads;
use crate::limits::{
    APPLY_STACK_BYTES, FLUSH_STACK_BYTES, POOL_THREADS_MIN, POOL_THREADS_PER_CORE,
};
use crate::sync::lock;

thread_local! {
    /// The pool that this thread belongs to.
    static POOL: Cell<Option<Pool>> = const { Cell::new(None) };
}

impl Pool {
    /// Returns the pool of the thread that calls.
    pub fn current() -> Option<Pool> {
        POOL.get()
    }

    /// Drives `future` to its end on the threads of the pool.
    pub fn drive(self, future: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let mut threads = lock(self.threads());
        let threads = match &mut *threads {
            Some(threads) => threads,
            none => none.insert(self.start()?),
        };
        threads.spawn(future);
        Ok(())
    }

    /// Returns the pool's threads, which exist once they were needed.
    fn threads(self) -> &'static Mutex<Option<Arc<Threads>>> {
        static APPLY: Mutex<Option<Arc<Threads>>> = Mutex::new(None);
        static FLUSH: Mutex<Option<Arc<Threads>>> = Mutex::new(None);
        static BACKGROUND: Mutex<Option<Arc<Threads>>> = Mutex::new(None);
        match self {
            Pool::Apply => &APPLY,
            Pool::Flush => &FLUSH,
            Pool::Background => &BACKGROUND,
        }
    }

    fn start(self) -> io::Result<Arc<Threads>> {
        let (name, stack_bytes) = match self {
            Pool::Apply => ("aspen-apply", APPLY_STACK_BYTES),
            Pool::Flush => ("aspen-flush", FLUSH_STACK_BYTES),
            Pool::Background => ("aspen-backg", APPLY_STACK_BYTES),
        };
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = (POOL_THREADS_PER_CORE * cores).max(POOL_THREADS_MIN);
        Threads::start(name, threads, stack_bytes, move || POOL.set(Some(self)))
    }
}
