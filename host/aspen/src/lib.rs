//! The parts of the `aspen` program, for its tests, the demonstration and the benchmarks.
//!
//! The program itself is `main.rs`. Leaves out everything that the other crates offer already.

pub mod cli;
pub mod failure;

pub mod txn_print;
pub mod txn_text;
pub mod txn_words;

pub mod build;
pub mod client_gen;
pub mod commands;
pub mod scaffold;

pub mod dev;
pub mod join;
pub mod server;
