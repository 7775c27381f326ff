//! The places where code runs: openraft's runtime, and workers for everything that blocks.
//!
//! Promises that code above runs unchanged in production and in the simulation. In production a worker
//! is a named thread, or shares the bounded threads of a pool; in the simulation a worker is a task,
//! because the simulation has neither threads nor a disk that takes time.
//!
//! Leaves out the work itself. Start reading at `worker.rs`, then `pool.rs`.

mod pool;
#[cfg(not(madsim))]
mod pool_threads;
#[cfg(madsim)]
pub mod sim_cost;
#[cfg(madsim)]
mod sim_runtime;
#[cfg(madsim)]
mod sim_watch;
#[cfg(not(madsim))]
mod threads;
mod worker;

pub use pool::Pool;
#[cfg(madsim)]
pub use sim_runtime::Delay;
pub use worker::{Worker, spawn_worker};

/// openraft's runtime: tokio.
#[cfg(not(madsim))]
pub type Runtime = openraft_rt_tokio::TokioRuntime;

/// openraft's runtime: the simulation.
#[cfg(madsim)]
pub type Runtime = sim_runtime::SimRuntime;
