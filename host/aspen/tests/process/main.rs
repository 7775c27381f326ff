//! The `aspen` program as a user meets it: the output and exit codes of its commands, and servers that
//! are killed or have no room on their disk.
//!
//! `server` has the processes; the rest is one file per group of commands.

mod placement;
mod server;
mod session;
mod txn;
mod verify;
