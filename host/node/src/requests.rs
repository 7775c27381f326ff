//! Answers to clients: each request is checked, finds its replica, and is done or refused.
//!
//! `serve.rs` is the one match over all requests; each other file answers one kind.

mod checked;
mod lease;
mod query;
mod read;
mod serve;
mod status;
mod verify;
mod write;

pub use read::read;
pub use serve::serve;
