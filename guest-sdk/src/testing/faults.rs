//! A function under the faults that the clients of a cluster see, chosen from a seed.
//!
//! Clients are async blocks that make calls. Each step draws the client that goes on, so the calls of
//! different clients are interleaved. Simulates, for each call:
//! - a request that is lost, and a reply that is lost: the client asks again with the same request
//!   id, and a call that was applied is not applied again but gives its first outcome;
//! - a node that crashes in the middle of the call and restarts: nothing of the call is kept, all calls
//!   that were applied are, and the client asks again;
//! - no answer within the client's time ([`CallError::Unknown`]): the call was applied, or will be
//!   later, or never, and the client cannot know;
//! - a clock that jumps between steps, by up to an hour and never back;
//! - a second replica: each call runs twice, and must return and write the same.
//!
//! Invariants are checked after every call that was applied. Leaves out all that [`super::Harness`]
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
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

pub use self::client::{CallError, Client};
pub use self::sim::Sim;

mod client;
mod random;
mod sim;
mod world;

/// The variable that names the one seed to replay.
const SEED_VARIABLE: &str = "ASPEN_SEED";

/// Runs the scenario once for each seed. At the first failure prints the seed and the steps that led to
/// the failure, and panics as the scenario did. `ASPEN_SEED=n cargo test NAME` runs seed `n` alone.
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

/// Returns the first seed at which the scenario fails. With it a test shows that a scenario finds a defect.
pub fn find(seeds: impl IntoIterator<Item = u64>, scenario: impl Fn(&mut Sim)) -> Option<Failure> {
    seeds.into_iter().find_map(|seed| {
        let mut sim = Sim::seed(seed);
        let panic = catch_unwind(AssertUnwindSafe(|| scenario(&mut sim))).err()?;
        let steps = sim.take_steps();
        Some(Failure { seed, steps, panic })
    })
}

/// A seed at which a scenario failed.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The steps, in order.
    pub steps: Vec<String>,
    /// The panic of the scenario.
    pub panic: Box<dyn Any + Send>,
}
