//! Where things run: openraft's runtime, and workers for everything that blocks.
//!
//! A worker reads a bounded channel and does blocking work (log commits, apply), so that async
//! tasks never wait for a disk. In production it is either one named thread, or it takes turns with
//! others on a pool whose threads are bounded by the cores: a node has hundreds of shards, and most
//! of them have nothing to do. In the simulation it is a task, because the simulation has neither
//! threads nor a disk that takes time.

use std::future::Future;
use std::io;

use tokio::sync::oneshot;

/// openraft's runtime: tokio.
#[cfg(not(madsim))]
pub type Runtime = openraft_rt_tokio::TokioRuntime;

/// openraft's runtime: the simulation.
#[cfg(madsim)]
pub type Runtime = crate::sim_runtime::SimRuntime;

/// Stack of the threads that apply, or run beside it, in bytes: functions run on it.
pub const APPLY_STACK_BYTES: usize = 18 << 20;

/// Stack of the threads that write states down: SQLite's, which recurses little.
#[cfg(not(madsim))]
const FLUSH_STACK_BYTES: usize = 2 << 20;

/// Threads that the workers of the whole process share. Those that apply may wait for those that
/// write down, nothing else may wait on either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// Entries are applied.
    Apply,
    /// States are written down.
    Flush,
    /// Functions run beside the log.
    Beside,
}

/// A running worker. Dropping it waits for its end (in production), so whatever makes it end, such
/// as the sender of its channel, must be dropped before.
#[derive(Debug)]
pub struct Worker {
    ended: Option<oneshot::Receiver<()>>,
    #[cfg(not(madsim))]
    runs: Runs,
}

impl Worker {
    /// Waits until the worker has ended, without blocking the task that waits.
    pub async fn join(mut self) {
        if let Some(ended) = self.ended.take() {
            // Nothing is ever sent: the sender is dropped at the worker's end, or by its panic.
            let _: Result<(), _> = ended.await;
        }
    }
}

#[cfg(not(madsim))]
mod real {
    use std::cell::Cell;
    use std::num::NonZero;
    use std::sync::{Arc, Mutex};
    use std::thread;
    use std::thread::ThreadId;

    use super::*;
    use crate::log::lock;
    use crate::threads::Threads;

    thread_local! {
        /// The pool that this thread belongs to.
        static POOL: Cell<Option<Pool>> = const { Cell::new(None) };
    }

    /// Where a worker runs.
    #[derive(Debug)]
    pub enum Runs {
        Alone(ThreadId),
        Among(Pool),
    }

    /// Drives `future` on a thread of its own with a stack of `stack_bytes`.
    pub fn spawn_worker(
        name: &str,
        stack_bytes: usize,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Worker> {
        let (running, ended) = oneshot::channel();
        let thread = thread::Builder::new().name(name.to_string()).stack_size(stack_bytes);
        let thread = thread.spawn(move || {
            futures::executor::block_on(future);
            drop(running);
        })?;
        Ok(Worker { ended: Some(ended), runs: Runs::Alone(thread.thread().id()) })
    }

    impl Pool {
        /// Drives `future` on the threads of the pool.
        pub fn spawn(
            self,
            future: impl Future<Output = ()> + Send + 'static,
        ) -> io::Result<Worker> {
            let (running, ended) = oneshot::channel();
            let mut threads = lock(self.threads());
            let threads = match &mut *threads {
                Some(threads) => threads,
                none => none.insert(self.start()?),
            };
            threads.spawn(async move {
                future.await;
                drop(running);
            });
            Ok(Worker { ended: Some(ended), runs: Runs::Among(self) })
        }

        /// Its threads, once they are needed; they stay until the process ends.
        fn threads(self) -> &'static Mutex<Option<Arc<Threads>>> {
            static APPLY: Mutex<Option<Arc<Threads>>> = Mutex::new(None);
            static FLUSH: Mutex<Option<Arc<Threads>>> = Mutex::new(None);
            static BESIDE: Mutex<Option<Arc<Threads>>> = Mutex::new(None);
            match self {
                Pool::Apply => &APPLY,
                Pool::Flush => &FLUSH,
                Pool::Beside => &BESIDE,
            }
        }

        fn start(self) -> io::Result<Arc<Threads>> {
            let (name, stack_bytes) = match self {
                Pool::Apply => ("aspen-apply", APPLY_STACK_BYTES),
                Pool::Flush => ("aspen-flush", FLUSH_STACK_BYTES),
                Pool::Beside => ("aspen-beside", APPLY_STACK_BYTES),
            };
            // Twice the cores, for some wait for the disk.
            let cores = thread::available_parallelism().map_or(1, NonZero::get);
            let threads = (2 * cores).max(4);
            Threads::start(name, threads, stack_bytes, move || POOL.set(Some(self)))
        }
    }

    impl Drop for Worker {
        fn drop(&mut self) {
            let Some(ended) = self.ended.take() else { return };
            // The last handle may be dropped by the worker itself, with a job that held it.
            let waits_for_itself = match self.runs {
                Runs::Alone(thread) => thread == thread::current().id(),
                Runs::Among(Pool::Apply) => POOL.get().is_some(),
                Runs::Among(pool) => POOL.get() == Some(pool),
            };
            if !waits_for_itself {
                // A panic was already reported by the panic hook and by every unanswered job.
                let _: Result<(), _> = futures::executor::block_on(ended);
            }
        }
    }
}

#[cfg(not(madsim))]
use real::Runs;
#[cfg(not(madsim))]
pub use real::spawn_worker;

/// Drives `future` as a task of the simulated node.
#[cfg(madsim)]
pub fn spawn_worker(
    _name: &str,
    _stack_bytes: usize,
    future: impl Future<Output = ()> + Send + 'static,
) -> io::Result<Worker> {
    let (running, ended) = oneshot::channel();
    tokio::spawn(async move {
        future.await;
        drop(running);
    });
    Ok(Worker { ended: Some(ended) })
}

#[cfg(madsim)]
impl Pool {
    /// Drives `future` as a task of the simulated node.
    pub fn spawn(self, future: impl Future<Output = ()> + Send + 'static) -> io::Result<Worker> {
        spawn_worker("", 0, future)
    }
}
