//! The parts of the `aspen` program, for its tests, the demonstration and the benchmarks.
//!
//! The program itself is `main.rs`. Leaves out everything that the other crates offer already. Start
//! reading at [`cli`].
//!
//! Rooms, bottom to top; each uses only those above it in this list:
//! - `failure`: the end of a command that does not succeed
//! - `txn_words`, `txn_print`, `txn_text`: transactions as text
//! - `print`: lines, sizes, times and records on standard output
//! - `build`, `scaffold`: function crates and their components
//! - `client_gen`: typed clients of components
//! - `server`, `dev`, `join`: nodes in this process
//! - `commands`: the arguments and the handler of each subcommand
//! - `cli`: the command line

pub mod failure;

pub mod txn_words;

pub mod txn_print;

pub mod txn_text;

pub mod print;

pub mod build;
pub mod scaffold;

pub mod client_gen;

pub mod server;

pub mod dev;
pub mod join;

pub mod commands;

pub mod cli;
