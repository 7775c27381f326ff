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

#[cfg(not(madsim))]
pub mod failure;

#[cfg(not(madsim))]
pub mod txn_words;
#[cfg(not(madsim))]
pub mod txn_print;
#[cfg(not(madsim))]
pub mod txn_text;

#[cfg(not(madsim))]
pub mod print;

// All that the simulation needs of this crate.
pub mod build;
#[cfg(not(madsim))]
pub mod scaffold;

#[cfg(not(madsim))]
pub mod client_gen;

#[cfg(not(madsim))]
pub mod server;
#[cfg(not(madsim))]
pub mod dev;
#[cfg(not(madsim))]
pub mod join;

#[cfg(not(madsim))]
pub mod commands;

#[cfg(not(madsim))]
pub mod cli;
