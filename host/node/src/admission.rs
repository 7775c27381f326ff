//! Admission control: calls of functions that take long wait before they run.
//!
//! Promises that apply never depends on admission control: admission control decides when a call is
//! proposed, by this node's clock, and nothing else. The other rooms use [`AdmissionControl`];
//! the rules are in `rules.rs`, on doors (`door.rs`) and on the cost of functions (`costs.rs`).

mod control;
mod costs;
mod door;
mod rules;

pub use control::{AdmissionControl, Pass};
pub use rules::Executor;
