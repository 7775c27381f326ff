//! A few threads that many workers share: each worker is a future, which runs on any of them.
//!
//! Promises that workers run in the order in which they were woken, that waking a worker wakes one thread
//! at most, the one that went to sleep last, and that a worker's panic ends that worker alone. A
//! thread of tokio that found work wakes a second one to look for more, which costs an embedded node
//! more than the wake-up itself.
//!
//! Leaves out timers, sockets and stealing: a worker waits for channels, and there are few threads.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};

use async_task::Runnable;

use crate::sync::lock;

/// The threads, and the workers that wait for one.
#[derive(Debug, Default)]
pub struct Threads(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Workers that were woken, the first one first.
    woken: VecDeque<Runnable>,
    /// Threads with nothing to do, the last one last.
    asleep: Vec<Thread>,
}

impl Threads {
    /// Starts threads of this name; each calls `begin` first. They stay until the process ends.
    pub fn start(
        name: &str,
        threads: usize,
        stack_bytes: usize,
        begin: impl Fn() + Clone + Send + 'static,
    ) -> io::Result<Arc<Threads>> {
        let shared = Arc::new(Threads::default());
        for _ in 0..threads {
            let (shared, begin) = (shared.clone(), begin.clone());
            let thread = thread::Builder::new().name(name.to_string()).stack_size(stack_bytes);
            thread.spawn(move || {
                begin();
                shared.work()
            })?;
        }
        Ok(shared)
    }

    /// Runs a worker on the threads.
    pub fn spawn(self: &Arc<Self>, worker: impl Future<Output = ()> + Send + 'static) {
        let threads = self.clone();
        let (runnable, task) = async_task::spawn(worker, move |runnable| threads.wake(runnable));
        task.detach();
        runnable.schedule();
    }

    fn wake(&self, runnable: Runnable) {
        let mut state = lock(&self.0);
        state.woken.push_back(runnable);
        let thread = state.asleep.pop();
        drop(state);
        if let Some(thread) = thread {
            thread.unpark();
        }
    }

    fn work(&self) {
        let this = thread::current();
        loop {
            let mut state = lock(&self.0);
            // A thread may also wake by itself.
            state.asleep.retain(|thread| thread.id() != this.id());
            let Some(runnable) = state.woken.pop_front() else {
                state.asleep.push(this.clone());
                drop(state);
                thread::park();
                continue;
            };
            drop(state);
            // The task that waits for the worker sees its end. Nothing of it is used after a panic.
            let _ = catch_unwind(AssertUnwindSafe(|| runnable.run()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn storage_threads_run_workers_side_by_side_and_survive_a_panic() {
        let threads = Threads::start("test", 2, 1 << 20, || ()).unwrap();
        threads.spawn(async { panic!("on purpose") });
        threads.spawn(async { panic!("on purpose") });
        // Each of the two waits for the other, so both threads are still there.
        let ((to_a, at_a), (to_b, at_b)) = (mpsc::channel(), mpsc::channel());
        let (done, ended) = mpsc::channel();
        let done_too = done.clone();
        threads.spawn(async move {
            to_b.send(()).unwrap();
            done.send(at_a.recv_timeout(LONG).is_ok()).unwrap();
        });
        threads.spawn(async move {
            to_a.send(()).unwrap();
            done_too.send(at_b.recv_timeout(LONG).is_ok()).unwrap();
        });
        assert_eq!((ended.recv_timeout(LONG), ended.recv_timeout(LONG)), (Ok(true), Ok(true)));
    }

    #[test]
    fn storage_threads_run_each_of_many_workers_as_often_as_it_is_woken() {
        const WORKERS: usize = 100;
        const ROUNDS: usize = 200;
        let threads = Threads::start("test", 4, 1 << 20, || ()).unwrap();
        let (done, ended) = mpsc::channel();
        for _ in 0..WORKERS {
            let done = done.clone();
            let (mut first, second) =
                (tokio::sync::mpsc::channel(1), tokio::sync::mpsc::channel(1));
            let (to_second, mut at_second) = second;
            let to_first = first.0.clone();
            threads.spawn(async move {
                for round in 0..ROUNDS {
                    to_second.send(round).await.unwrap();
                    assert_eq!(first.1.recv().await, Some(round));
                }
                done.send(()).unwrap();
            });
            threads.spawn(async move {
                while let Some(round) = at_second.recv().await {
                    to_first.send(round).await.unwrap();
                }
            });
        }
        for _ in 0..WORKERS {
            ended.recv_timeout(LONG).unwrap();
        }
    }

    #[test]
    fn storage_threads_drop_a_worker_that_panics() {
        let threads = Threads::start("test", 1, 1 << 20, || ()).unwrap();
        let (held, dropped) = oneshot::channel::<()>();
        threads.spawn(async move {
            let _held = held;
            panic!("on purpose");
        });
        assert!(futures::executor::block_on(dropped).is_err());
    }
}
