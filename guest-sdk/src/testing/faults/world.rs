//! [`World`]: the shard under faults, its clock and its source of chance.

use std::fmt::Debug;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::rc::Rc;

use super::random::Random;
use crate::testing::Harness;

/// The time when a simulation starts: no real one, but not zero.
const START_MS: u64 = 1_700_000_000_000;
/// A jump of the clock is up to two to the power of this, in ms: a little more than an hour.
const JUMP_BITS_MAX: u64 = 22;
/// Host calls of a function before its node crashes; a longer function crashes among its first.
const HOST_CALLS_MAX: u64 = 12;

/// A client's work, under way.
pub(super) type Task = Pin<Box<dyn Future<Output = ()>>>;

/// The shard, and the faults to come.
pub(super) struct World {
    pub shard: Harness,
    time_ms: u64,
    pub random: Random,
    pub invariants: Vec<Rc<dyn Fn()>>,
    /// Calls of clients that gave up: they are applied later.
    pub late: Vec<Task>,
    pub steps: Vec<String>,
}

/// The fault of a request. Half of the requests meet one.
pub(super) enum Fault {
    None,
    RequestLost,
    ReplyLost,
    Crash,
    Unknown,
}

impl World {
    /// An empty shard whose faults all follow from the seed.
    pub(super) fn new(seed: u64) -> Self {
        let mut shard = Harness::new();
        shard.set_time(START_MS);
        Self {
            shard,
            time_ms: START_MS,
            random: Random::new(seed),
            invariants: vec![],
            late: vec![],
            steps: vec![],
        }
    }

    /// Applies a call on two replicas, which must agree.
    pub(super) fn apply<T: Debug, E: Debug>(
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
            self.shard.commit(writes);
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

    /// Runs a call on a node that crashes in the middle.
    pub(super) fn crash_in<T>(&mut self, client: u8, function: impl Fn() -> T) {
        let host_calls = self.random.below(HOST_CALLS_MAX);
        self.say(client, &format!("crash after {host_calls} host calls, and restart"));
        self.shard.crash_in(host_calls, function);
    }

    /// Lets the clock go on, sometimes.
    pub(super) fn jump_clock(&mut self) {
        if self.random.below(4) == 0 {
            let bits = self.random.below(JUMP_BITS_MAX + 1);
            self.time_ms += self.random.below(1 << bits);
            self.shard.set_time(self.time_ms);
        }
    }

    /// Draws the fault of the next request.
    pub(super) fn draw_fault(&mut self) -> Fault {
        match self.random.below(16) {
            0..8 => Fault::None,
            8..10 => Fault::RequestLost,
            10..13 => Fault::ReplyLost,
            13..15 => Fault::Crash,
            _ => Fault::Unknown,
        }
    }

    /// Notes a step.
    pub(super) fn say(&mut self, client: u8, what: &str) {
        let after_ms = self.time_ms - START_MS;
        self.steps.push(format!("{after_ms} ms, client {client}: {what}"));
    }
}
