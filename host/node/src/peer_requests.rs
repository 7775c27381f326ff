//! Answers to other nodes.
//!
//! `serve.rs` is the one match over all messages; `leader.rs` answers the requests that only the
//! leader of a shard answers.

mod leader;
mod serve;

pub use leader::serve_leader;
pub use serve::serve;
