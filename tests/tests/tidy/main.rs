//! The rules of `STYLE` that a machine can check: headers, lengths, words, edges between crates, and the
//! order of rooms inside a crate.
//!
//! Promises that every rule can fail: each has tests on small sources that break the rule. The list of
//! crates is read from the folders, so a new crate is checked from its first day, and no crate is exempt.
//!
//! Leaves out everything that clippy checks (see the root `Cargo.toml`). Start reading at `rooms.rs`.

#![cfg(not(madsim))]

mod sources;

mod doc_comments;
mod edges;
mod headers;
mod lengths;
mod words;

mod syntax;

mod imports;
mod modules;

mod cycles;
mod rooms;
