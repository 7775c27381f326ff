//! The parts of the `aspen` program, for its tests, the demonstration and the benchmarks.
//!
//! The program itself is `main.rs`. Leaves out everything that the other crates offer already.

#[cfg(not(madsim))]
pub mod cli;
#[cfg(not(madsim))]
pub mod failure;

#[cfg(not(madsim))]
pub mod txn_print;
#[cfg(not(madsim))]
pub mod txn_text;
#[cfg(not(madsim))]
pub mod txn_words;

// All that the simulation needs of this crate.
pub mod build;
#[cfg(not(madsim))]
pub mod client_gen;
#[cfg(not(madsim))]
pub mod commands;
#[cfg(not(madsim))]
pub mod scaffold;

#[cfg(not(madsim))]
pub mod dev;
#[cfg(not(madsim))]
pub mod join;
#[cfg(not(madsim))]
pub mod server;
