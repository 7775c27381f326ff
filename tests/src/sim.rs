//! The simulation: a whole cluster with its clients in one thread, decided by one number.
//!
//! The node, storage, functions and client are the ones of production, built with `--cfg madsim`
//! (`cargo sim --workspace --test simulation`): time, chance, tasks and messages are madsim's. What
//! is simulated here stands where the product has a seam: [`SimTransport`] for the network,
//! [`SimDisk`] under the log. Promises that a seed decides a run down to the bytes on the wire.
//!
//! Leaves out: iroh, torn writes of the SQLite files (real files, kept through a power failure),
//! clocks that disagree. Start reading at [`SimCluster`], then `tests/tests/simulation.rs`.

mod cluster;
mod disk;
mod seed;
mod trace;
mod transport;

pub use cluster::{NODES, SimCluster};
pub use disk::SimDisk;
pub use seed::{Report, in_fresh_process, run_seed};
pub use trace::Trace;
pub use transport::SimTransport;
