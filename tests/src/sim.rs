//! The simulation: a whole cluster with its clients in one thread, decided by one number.
//!
//! The node, storage, functions and client are the ones of production, built with `--cfg madsim`
//! (`cargo sim`): time, chance, tasks and messages are madsim's. Promises that a seed decides a run
//! down to the bytes on the wire. The seams of the product, where the simulation stands:
//!
//! - `store/runtime`: the async runtime, and workers as tasks instead of threads;
//! - the `Transport` ([`SimTransport`]);
//! - the log's `StorageBackend` ([`SimDisk`]), and how long commits of the log take;
//! - `store/files/sim_files`: copies of the state's files as they were synced, for power failures;
//! - `aspen_node::Clock`, which can be wrong; compilation on the calling thread;
//! - `core/defect`: mistakes that can be planted.
//!
//! ```text
//! seed -> plan: cluster, network, workloads, faults (plan.rs)
//!      -> cluster (cluster.rs, boot.rs)  <- faults (faults.rs)
//!      -> clients (workloads/)           -> histories, tallies
//!      -> invariants (invariants/), all the time and at the end
//! ```
//!
//! Leaves out iroh, torn writes of SQLite's files, names of files that were not synced, clocks that
//! run at different speeds. Start reading at `run.rs`; `docs/testing.md` says how to use it.

mod boot;
mod cluster;
mod disk;
mod diverge;
mod fault_kind;
mod faults;
mod invariants;
mod join;
mod network;
mod plan;
mod run;
mod running_nodes;
pub mod scale;
mod seed;
mod site;
mod trace;
mod transport;
mod upgrade;
mod workload;
mod workloads;

pub use cluster::SimCluster;
pub use disk::SimDisk;
pub use fault_kind::FaultKind;
pub use plan::Plan;
pub use run::run;
pub use seed::{Report, run_seed};
pub use trace::Trace;
pub use transport::SimTransport;
pub use workload::Workload;
