//! The `aspen` program as a user meets it: what its commands print, how they end, and what becomes of
//! servers that are killed or have no room on their disk.
//!
//! `server` has the processes; the rest is one file per group of commands.

mod placement;
mod server;
mod session;
mod txn;
mod verify;
