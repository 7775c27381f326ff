//! openraft's runtime in the simulation: madsim's executor, clock and random numbers.
//!
//! Promises that the seed alone decides a run. Where a borrowed part draws random numbers of its own
//! (tokio's watch channel wakes in random order), a part of Aspen replaces it (`sim_watch.rs`).
//! openraft's suite for runtimes passes on it.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use openraft_rt::{AsyncRuntime, OptionalSend};
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::sim_watch::SimWatch;

/// The simulation as a runtime.
pub struct SimRuntime {
    runtime: madsim::runtime::Runtime,
}

impl fmt::Debug for SimRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimRuntime")
    }
}

/// The deadline passed before the end of the future.
#[derive(Debug)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("deadline has elapsed")
    }
}

/// A future with a deadline. madsim has one too, but its type has no name.
pub struct Timeout<F> {
    future: Pin<Box<F>>,
    sleep: Pin<Box<madsim::time::Sleep>>,
}

impl<F: Future> Timeout<F> {
    fn new(future: F, sleep: madsim::time::Sleep) -> Self {
        Self { future: Box::pin(future), sleep: Box::pin(sleep) }
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        self.sleep.as_mut().poll(context).map(|()| Err(Elapsed))
    }
}

impl AsyncRuntime for SimRuntime {
    type JoinError = madsim::task::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = madsim::task::JoinHandle<T>;
    type Sleep = madsim::time::Sleep;
    // madsim answers the system's clock calls with simulated time.
    type Instant = std::time::Instant;
    type TimeoutError = Elapsed;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = Timeout<T>;
    type ThreadLocalRng = SmallRng;
    type Mpsc = openraft_rt_tokio::TokioMpsc;
    type Watch = SimWatch;
    type Oneshot = openraft_rt_tokio::TokioOneshot;
    type Mutex<T: OptionalSend + 'static> = openraft_rt_tokio::TokioMutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        madsim::task::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        madsim::time::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        madsim::time::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(
        duration: Duration,
        future: F,
    ) -> Self::Timeout<R, F> {
        Timeout::new(future, madsim::time::sleep(duration))
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(
        deadline: Self::Instant,
        future: F,
    ) -> Self::Timeout<R, F> {
        Timeout::new(future, madsim::time::sleep_until(deadline))
    }

    fn is_panic(error: &Self::JoinError) -> bool {
        error.is_panic()
    }

    fn thread_rng() -> Self::ThreadLocalRng {
        SmallRng::seed_from_u64(madsim::rand::random())
    }

    fn new(_threads: usize) -> Self {
        let config = madsim::Config::default();
        Self { runtime: madsim::runtime::Runtime::with_seed_and_config(0, config) }
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.runtime.block_on(future)
    }

    /// Does the work at once: the simulation has no other threads, and blocking takes no simulated time.
    fn spawn_blocking<F, T>(work: F) -> impl Future<Output = Result<T, io::Error>> + Send
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        std::future::ready(Ok(work()))
    }
}

/// The delay of a disk: simulated time that passes before each commit of a log.
#[derive(Clone, Debug, Default)]
pub struct Delay(std::sync::Arc<std::sync::atomic::AtomicU64>);

impl Delay {
    /// Sets the delay from now on.
    pub fn set(&self, delay: Duration) {
        self.0.store(delay.as_micros() as u64, std::sync::atomic::Ordering::Relaxed);
    }

    /// Waits for the delay.
    pub async fn pass(&self) {
        let delay = self.0.load(std::sync::atomic::Ordering::Relaxed);
        if delay > 0 {
            madsim::time::sleep(Duration::from_micros(delay)).await;
        }
    }
}
