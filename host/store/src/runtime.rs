//! Where things run: openraft's runtime, and workers for everything that blocks.
//!
//! A worker reads a bounded channel and does blocking work (log commits, apply), so that async
//! tasks never wait for a disk. In production it is one named thread; in the simulation it is a
//! task, because the simulation has neither threads nor a disk that takes time.

use std::future::Future;
use std::io;

use tokio::sync::oneshot;

/// openraft's runtime: tokio.
#[cfg(not(madsim))]
pub type Runtime = openraft_rt_tokio::TokioRuntime;

/// openraft's runtime: the simulation.
#[cfg(madsim)]
pub type Runtime = crate::sim_runtime::SimRuntime;

/// A running worker. Dropping it waits for its end (in production), so whatever makes it end, such
/// as the sender of its channel, must be dropped before.
#[derive(Debug)]
pub struct Worker {
    ended: Option<oneshot::Receiver<()>>,
    #[cfg(not(madsim))]
    thread: Option<std::thread::JoinHandle<()>>,
}

/// Drives `future` on a thread of its own with a stack of `stack_bytes`.
#[cfg(not(madsim))]
pub fn spawn_worker(
    name: &str,
    stack_bytes: usize,
    future: impl Future<Output = ()> + Send + 'static,
) -> io::Result<Worker> {
    let (running, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_string()).stack_size(stack_bytes);
    let thread = thread.spawn(move || {
        futures::executor::block_on(future);
        drop(running);
    })?;
    Ok(Worker { ended: Some(ended), thread: Some(thread) })
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
impl Drop for Worker {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // The last handle may be dropped by the worker itself, with a job that held it.
        if thread.thread().id() != std::thread::current().id() {
            // A panic was already reported by the panic hook and by every unanswered job.
            let _: std::thread::Result<()> = thread.join();
        }
    }
}
