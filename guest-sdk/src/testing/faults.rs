//! A function under the faults that the clients of a cluster see, chosen from a seed.
//!
//! Clients are async blocks that make calls; which of them goes on is drawn at every step, so what a
//! client does between two of its calls is interleaved with the others. Simulates, for each call:
//! - a request that is lost, and a reply that is lost: the client asks again with the same request
//!   id, and a call that was applied is not applied again but gives its first outcome;
//! - a node that crashes in the middle of the call and restarts: nothing of the call is there, all
//!   that was applied is, and the request is asked again;
//! - no answer within the client's time ([`CallError::Unknown`]): the call was applied, or will be
//!   later, or never, and the client cannot know;
//! - a clock that jumps between steps, by up to an hour and never back;
//! - a second replica: each call runs twice, and must return and write the same.
//!
//! Invariants are checked after every call that was applied. Leaves out what [`super::Harness`]
//! leaves out, leases and times to live, sessions that end after an hour, stale reads, calls across
//! shards and their conflicts, and other writers than calls. It simulates the rules of the cluster,
//! not its code: that has tests of its own.
//!
//! ```
//! use aspen_guest::{store, testing::faults};
//!
//! let add = || -> Result<(), String> {
//!     store::put_u64("hits", store::get_u64("hits").unwrap_or(0) + 1);
//!     Ok(())
//! };
//! faults::check(0..20, |sim| {
//!     sim.invariant(|| assert!(store::get_u64("hits").unwrap_or(0) <= 2));
//!     for _ in 0..2 {
//!         sim.client(move |client| async move {
//!             let _ = client.call(add).await;
//!         });
//!     }
//!     sim.run();
//! });
//! ```

use std::any::Any;
use std::cell::RefCell;
use std::fmt::Debug;
use std::future::{Future, poll_fn};
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::Harness;

/// The time when a simulation starts: no real one, but not zero.
const START_MS: u64 = 1_700_000_000_000;
/// A jump of the clock is up to two to the power of this, in ms: a little more than an hour.
const JUMP_BITS_MAX: u64 = 22;
/// Host calls of a function before its node crashes; a longer function crashes among its first.
const HOST_CALLS_MAX: u64 = 12;
/// Times that a request is asked before it is spared from faults.
const TRIES_MAX: u32 = 6;
/// Steps after which clients are said to wait for something that never comes.
const STEPS_MAX: u64 = 1_000_000;
/// The variable that names the one seed to replay.
const SEED_VARIABLE: &str = "ASPEN_SEED";

/// Runs the scenario once for each seed. At the first that fails it prints the seed with the steps
/// that led there, and panics as the scenario did. `ASPEN_SEED=n cargo test NAME` runs `n` alone.
pub fn check(seeds: impl IntoIterator<Item = u64>, scenario: impl Fn(&mut Sim)) {
    let failure = match std::env::var(SEED_VARIABLE) {
        Ok(seed) => find([seed.parse().expect("ASPEN_SEED is a number")], scenario),
        Err(_) => find(seeds, scenario),
    };
    if let Some(Failure { seed, steps, panic }) = failure {
        eprintln!("\nseed {seed} failed after these steps:\n  {}", steps.join("\n  "));
        eprintln!("replay it with {SEED_VARIABLE}={seed}\n");
        resume_unwind(panic);
    }
}

/// The first seed at which the scenario fails: to test that a test finds what it should.
pub fn find(seeds: impl IntoIterator<Item = u64>, scenario: impl Fn(&mut Sim)) -> Option<Failure> {
    seeds.into_iter().find_map(|seed| {
        let mut sim = Sim::seed(seed);
        let panic = catch_unwind(AssertUnwindSafe(|| scenario(&mut sim))).err()?;
        let steps = mem::take(&mut sim.world.borrow_mut().steps);
        Some(Failure { seed, steps, panic })
    })
}

/// A seed at which a scenario failed.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What happened, in order.
    pub steps: Vec<String>,
    /// What the scenario panicked with.
    pub panic: Box<dyn Any + Send>,
}

/// Why a client has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError<E> {
    /// The function returned its error; it wrote nothing.
    Aborted(E),
    /// No answer in time: the call was applied, or will be later, or never.
    Unknown,
}

/// A shard, and the clients that use it.
pub struct Sim {
    world: Rc<RefCell<World>>,
    tasks: Vec<Task>,
    clients: u8,
}

/// What a client makes its calls with.
#[derive(Clone)]
pub struct Client {
    world: Rc<RefCell<World>>,
    id: u8,
}

type Task = Pin<Box<dyn Future<Output = ()>>>;

struct World {
    shard: Harness,
    time_ms: u64,
    random: Random,
    invariants: Vec<Rc<dyn Fn()>>,
    /// Calls whose clients gave up, to be applied later.
    late: Vec<Task>,
    steps: Vec<String>,
}

/// What happens to a request. Half of them meet a fault.
enum Fault {
    None,
    RequestLost,
    ReplyLost,
    Crash,
    Unknown,
}

impl Sim {
    /// An empty shard whose faults all follow from the seed.
    pub fn seed(seed: u64) -> Self {
        let mut shard = Harness::new();
        shard.set_time(START_MS);
        let world = World {
            shard,
            time_ms: START_MS,
            random: Random(seed),
            invariants: vec![],
            late: vec![],
            steps: vec![],
        };
        Self { world: Rc::new(RefCell::new(world)), tasks: vec![], clients: 0 }
    }

    /// Makes a call at once and without faults, to prepare the shard or to look at it.
    pub fn call<T, E>(&mut self, function: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        self.world.borrow_mut().shard.call(function)
    }

    /// From now on `holds` is run after each call that was applied. It reads with `store`, as a
    /// function does, and panics if what it sees is wrong.
    pub fn invariant(&mut self, holds: impl Fn() + 'static) {
        self.world.borrow_mut().invariants.push(Rc::new(holds));
    }

    /// Adds a client. It does nothing before [`Sim::run`], and may await nothing but its calls.
    pub fn client<F: Future<Output = ()> + 'static>(&mut self, work: impl FnOnce(Client) -> F) {
        self.clients += 1;
        let client = Client { world: self.world.clone(), id: self.clients };
        self.tasks.push(Box::pin(work(client)));
    }

    /// Runs until all clients are done and no late request is left.
    pub fn run(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        for step in 0.. {
            assert!(step < STEPS_MAX, "clients wait for something that is no call");
            let mut world = self.world.borrow_mut();
            self.tasks.append(&mut world.late);
            if self.tasks.is_empty() {
                break;
            }
            world.jump_clock();
            let next = world.random.below(self.tasks.len() as u64) as usize;
            drop(world);
            if self.tasks[next].as_mut().poll(&mut context).is_ready() {
                drop(self.tasks.swap_remove(next));
            }
        }
    }
}

impl Client {
    /// Calls a function as a client of the cluster does. It may run several times, so it takes its
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
        // What the shard remembers of the request, whose id is this very call.
        let mut applied = None;
        for attempt in 1.. {
            turn().await;
            if let Some(answer) = self.ask(attempt, &function, &mut applied) {
                turn().await;
                return answer;
            }
        }
        unreachable!("the last attempt meets no fault")
    }

    /// Asks once; `None` if no answer comes and there is time to ask again.
    fn ask<T: Debug + 'static, E: Debug + 'static>(
        &self,
        attempt: u32,
        function: &Rc<impl Fn() -> Result<T, E> + 'static>,
        applied: &mut Option<Result<T, E>>,
    ) -> Option<Result<T, CallError<E>>> {
        let mut world = self.world.borrow_mut();
        let fault = if attempt < TRIES_MAX { world.draw_fault() } else { Fault::None };
        match fault {
            Fault::RequestLost => world.say(self.id, "request lost"),
            Fault::Crash if applied.is_none() => world.crash_in(self.id, &**function),
            Fault::Crash => world.say(self.id, "crash and restart"),
            Fault::Unknown => {
                world.say(self.id, "gives up and does not know");
                // Applied already, or on its way, or lost.
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

    /// A number below `bound`, from the seed: for choices that a client makes.
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

impl World {
    /// Applies a call on two replicas, which must agree.
    fn apply<T: Debug, E: Debug>(
        &mut self,
        client: u8,
        function: &impl Fn() -> Result<T, E>,
    ) -> Result<T, E> {
        let seed = self.random.next();
        self.shard.set_seed(seed).set_caller([client; 32]);
        let (other, other_writes) = self.shard.attempt(function);
        let (outcome, writes) = self.shard.attempt(function);
        let other = other.unwrap_or_else(|panic| resume_unwind(panic));
        let outcome = outcome.unwrap_or_else(|panic| resume_unwind(panic));
        let text = format!("{outcome:?}");
        assert_eq!(text, format!("{other:?}"), "two replicas return different results");
        assert_eq!(writes, other_writes, "two replicas write different values");
        if outcome.is_ok() {
            self.shard.world.commit(writes);
        }
        self.say(client, &format!("revision {}: {text}", self.shard.revision()));
        self.check();
        outcome
    }

    fn check(&mut self) {
        for holds in self.invariants.clone() {
            let (result, writes) = self.shard.attempt(|| holds());
            result.unwrap_or_else(|panic| resume_unwind(panic));
            assert!(writes.is_empty(), "an invariant only reads");
        }
    }

    fn crash_in<T>(&mut self, client: u8, function: impl Fn() -> T) {
        let host_calls = self.random.below(HOST_CALLS_MAX);
        self.say(client, &format!("crash after {host_calls} host calls, and restart"));
        self.shard.crash_in(host_calls, function);
    }

    fn jump_clock(&mut self) {
        if self.random.below(4) == 0 {
            let bits = self.random.below(JUMP_BITS_MAX + 1);
            self.time_ms += self.random.below(1 << bits);
            self.shard.set_time(self.time_ms);
        }
    }

    fn draw_fault(&mut self) -> Fault {
        match self.random.below(16) {
            0..8 => Fault::None,
            8..10 => Fault::RequestLost,
            10..13 => Fault::ReplyLost,
            13..15 => Fault::Crash,
            _ => Fault::Unknown,
        }
    }

    fn say(&mut self, client: u8, what: &str) {
        let after_ms = self.time_ms - START_MS;
        self.steps.push(format!("{after_ms} ms, client {client}: {what}"));
    }
}

/// Lets the others go on.
async fn turn() {
    let mut has_waited = false;
    poll_fn(|_| match mem::replace(&mut has_waited, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, and every seed is a good one.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; the bias is below one in 2^32 for the bounds used here.
    fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below zero");
        self.next() % bound
    }
}
