//! The `aspen` program as a user meets it: the output and exit codes of its commands, and servers that
//! are killed or have no room on their disk.
//!
//! `server` has the processes; the rest is one file per group of commands.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

mod placement;
mod server;
mod session;
mod txn;
mod verify;
