//! Functions that run beside the log: off the async threads, with the stack they need, and outside of
//! apply, so that they hold nobody up but each other; those that take long wait for their turn.

use std::time::Instant;

use aspen_core::{Call, Caller, Fuel, Refused, ShardId};
use aspen_store::Pool;
use tokio::sync::oneshot;

use crate::node::ShardedRaftNode;
use crate::turns::Place;

/// Runs `work`, which is `call` for a key of `shard` and says what fuel that used, on a thread with a stack
/// for functions; in the simulation as a task.
pub async fn on_a_stack<T: Send + 'static>(
    node: &ShardedRaftNode,
    caller: Caller,
    shard: ShardId,
    call: &Call,
    work: impl FnOnce() -> (T, Option<Fuel>) + Send + 'static,
) -> Result<T, Refused> {
    let failed = |reason: String| Refused::Failed { reason };
    let fairness = node.fairness();
    let place = Place::beside(shard);
    let pass = fairness.turn(caller, place, call).await?;
    let (fairness, call) = (fairness.clone(), call.clone());
    let (sender, done) = oneshot::channel();
    let job = async move {
        let begun = Instant::now();
        let (result, fuel) = work();
        fairness.ran(place, &call, begun.elapsed(), fuel);
        drop(pass);
        // Whoever asked may have gone.
        let _: Result<(), T> = sender.send(result);
    };
    let worker = Pool::Background.spawn(job);
    let worker = worker.map_err(|error| failed(format!("starting a thread: {error}")))?;
    let done = done.await;
    worker.join().await;
    done.map_err(|_| failed("running a function panicked".into()))
}
