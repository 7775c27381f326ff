//! Running functions in the background: off the async threads, with the stack that functions need,
//! and outside of apply.
//!
//! Promises that such functions hold up only each other, and that heavy ones pass admission
//! control.

use std::time::Instant;

use aspen_core::function::Call;
use aspen_core::ids::{Caller, Fuel, ShardId};
use aspen_core::protocol::ErrorReply;
use aspen_store::Pool;
use tokio::sync::oneshot;

use crate::admission::Executor;
use crate::context::NodeContext;

/// Runs `work` on a thread with a stack for functions; in the simulation as a task. The work is
/// `call`, for a key of `shard`, and gives its result and the fuel that it used.
pub async fn run_in_background<T: Send + 'static>(
    node: &NodeContext,
    caller: Caller,
    shard: ShardId,
    call: &Call,
    work: impl FnOnce() -> (T, Option<Fuel>) + Send + 'static,
) -> Result<T, ErrorReply> {
    let failed = |reason: String| ErrorReply::Failed { reason };
    let admission = node.admission();
    let executor = Executor::background(shard);
    let pass = admission.admit(caller, executor, call).await?;
    let (admission, call) = (admission.clone(), call.clone());
    let (sender, done) = oneshot::channel();
    let job = async move {
        let begun = Instant::now();
        let (result, fuel) = work();
        admission.note_run(executor, &call, begun.elapsed(), fuel);
        drop(pass);
        // The receiver may have gone.
        let _: Result<(), T> = sender.send(result);
    };
    let worker = Pool::Background.spawn(job);
    let worker = worker.map_err(|error| failed(format!("starting a thread: {error}")))?;
    let done = done.await;
    worker.join().await;
    done.map_err(|_| failed("running a function panicked".into()))
}
