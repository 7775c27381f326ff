//! A worker: one future that does blocking work, on a thread of its own or on those of a pool.
//!
//! A worker reads a bounded channel and does the blocking work (log transactions, apply), so that async
//! tasks never wait for a disk. Promises that [`Worker::join`] returns after the worker's end, also if
//! the worker panicked; and that dropping a worker waits for its end in production.
//!
//! Leaves out the threads of a pool (`pool.rs`).

use std::future::Future;
use std::io;
#[cfg(not(madsim))]
use std::thread;
#[cfg(not(madsim))]
use std::thread::ThreadId;

use tokio::sync::oneshot;

use super::pool::Pool;

/// A running worker. In production a drop waits for the worker's end, so the owner first drops the
/// sender of the worker's channel, or otherwise makes the worker end.
#[derive(Debug)]
pub struct Worker {
    ended: Option<oneshot::Receiver<()>>,
    #[cfg(not(madsim))]
    thread: WorkerThread,
}

/// The thread that runs a worker.
#[cfg(not(madsim))]
#[derive(Debug)]
enum WorkerThread {
    Own(ThreadId),
    OfPool(Pool),
}

impl Worker {
    /// Waits until the worker has ended, without blocking the thread of the task that waits.
    pub async fn join(mut self) {
        if let Some(ended) = self.ended.take() {
            // Nothing is ever sent: the sender is dropped at the worker's end, or by its panic.
            let _: Result<(), _> = ended.await;
        }
    }
}

/// Drives `future` on a thread of its own with a stack of `stack_bytes`.
#[cfg(not(madsim))]
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
    Ok(Worker { ended: Some(ended), thread: WorkerThread::Own(thread.thread().id()) })
}

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

#[cfg(not(madsim))]
impl Pool {
    /// Drives `future` on the threads of the pool.
    pub fn spawn(self, future: impl Future<Output = ()> + Send + 'static) -> io::Result<Worker> {
        let (running, ended) = oneshot::channel();
        self.drive(async move {
            future.await;
            drop(running);
        })?;
        Ok(Worker { ended: Some(ended), thread: WorkerThread::OfPool(self) })
    }
}

#[cfg(madsim)]
impl Pool {
    /// Drives `future` as a task of the simulated node.
    pub fn spawn(self, future: impl Future<Output = ()> + Send + 'static) -> io::Result<Worker> {
        spawn_worker("", 0, future)
    }
}

#[cfg(not(madsim))]
impl Drop for Worker {
    fn drop(&mut self) {
        let Some(ended) = self.ended.take() else { return };
        // The worker itself may drop the last handle, with a request that held the handle.
        let waits_for_itself = match self.thread {
            WorkerThread::Own(thread) => thread == thread::current().id(),
            WorkerThread::OfPool(Pool::Apply) => Pool::current().is_some(),
            WorkerThread::OfPool(pool) => Pool::current() == Some(pool),
        };
        if !waits_for_itself {
            // A panic was already reported by the panic hook and by every unanswered request.
            let _: Result<(), _> = futures::executor::block_on(ended);
        }
    }
}
