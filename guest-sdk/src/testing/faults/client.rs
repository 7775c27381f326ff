//! [`Client`]: a client whose requests meet faults.

use std::cell::RefCell;
use std::fmt::Debug;
use std::future::poll_fn;
use std::mem;
use std::rc::Rc;
use std::task::Poll;

use super::world::{Fault, World};

/// Attempts at a request. The last meets no fault.
const ATTEMPTS_MAX: u32 = 6;

/// The reason why a client has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError<E> {
    /// The function returned its error; it wrote nothing.
    Aborted(E),
    /// No answer came in time: the call was applied, or will be later, or never.
    Unknown,
}

/// A client of the shard, which makes calls.
#[derive(Clone)]
pub struct Client {
    world: Rc<RefCell<World>>,
    id: u8,
}

impl Client {
    pub(super) fn new(world: Rc<RefCell<World>>, id: u8) -> Self {
        Self { world, id }
    }

    /// Calls a function as a client of the cluster does. The function may run several times, so it takes its
    /// arguments anew each time; it is applied at most once.
    pub async fn call<T, E>(
        &self,
        function: impl Fn() -> Result<T, E> + 'static,
    ) -> Result<T, CallError<E>>
    where
        T: Debug + 'static,
        E: Debug + 'static,
    {
        let function = Rc::new(function);
        // The outcome that the shard remembers of this request.
        let mut applied = None;
        let mut attempt = 0;
        loop {
            attempt += 1;
            turn().await;
            if let Some(answer) = self.ask(attempt, &function, &mut applied) {
                turn().await;
                return answer;
            }
        }
    }

    /// Asks once. Returns `None` if no answer comes and the client asks again.
    fn ask<T: Debug + 'static, E: Debug + 'static>(
        &self,
        attempt: u32,
        function: &Rc<impl Fn() -> Result<T, E> + 'static>,
        applied: &mut Option<Result<T, E>>,
    ) -> Option<Result<T, CallError<E>>> {
        let mut world = self.world.borrow_mut();
        let fault = if attempt < ATTEMPTS_MAX { world.draw_fault() } else { Fault::None };
        match fault {
            Fault::RequestLost => world.say(self.id, "request lost"),
            Fault::Crash if applied.is_none() => world.crash_in(self.id, &**function),
            Fault::Crash => world.say(self.id, "crash and restart"),
            Fault::Unknown => {
                world.say(self.id, "gives up and does not know");
                // The request is applied already, or on its way, or lost.
                if applied.is_none() && world.random.below(2) == 0 {
                    world.late.push(Box::pin(self.clone().apply_late(function.clone())));
                }
                return Some(Err(CallError::Unknown));
            }
            Fault::ReplyLost | Fault::None => {
                let outcome = applied.take().unwrap_or_else(|| world.apply(self.id, &**function));
                if matches!(fault, Fault::None) {
                    return Some(outcome.map_err(CallError::Aborted));
                }
                world.say(self.id, "reply lost");
                *applied = Some(outcome);
            }
        }
        None
    }

    /// Returns a number below `bound`, from the seed: for choices of a client.
    pub fn pick(&self, bound: u64) -> u64 {
        self.world.borrow_mut().random.below(bound)
    }

    async fn apply_late<T: Debug, E: Debug>(self, function: Rc<impl Fn() -> Result<T, E>>) {
        for _ in 0..=self.pick(8) {
            turn().await;
        }
        let _ = self.world.borrow_mut().apply(self.id, &*function);
    }
}

/// Lets the other clients go on.
async fn turn() {
    let mut has_waited = false;
    poll_fn(|_| match mem::replace(&mut has_waited, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}
