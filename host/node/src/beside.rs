//! Functions that run beside the log: off the async threads, with the stack they need, and outside of
//! apply, so that they hold nobody up but each other.

use aspen_core::Refused;
use aspen_store::Pool;
use tokio::sync::oneshot;

/// Runs `work` on a thread with a stack for functions; in the simulation as a task.
pub async fn on_a_stack<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refused> {
    let failed = |reason: String| Refused::Failed { reason };
    let (sender, done) = oneshot::channel();
    let job = async move {
        // Whoever asked may have gone.
        let _: Result<(), T> = sender.send(work());
    };
    let worker = Pool::Beside.spawn(job);
    let worker = worker.map_err(|error| failed(format!("starting a thread: {error}")))?;
    let done = done.await;
    worker.join().await;
    done.map_err(|_| failed("running a function panicked".into()))
}
