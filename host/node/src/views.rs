//! Views of several shards at one moment, for scans that are consistent across shards.
//!
//! `open.rs` opens a view and says why it is of one moment; `steps.rs` takes the steps as the
//! leader of one shard.

mod open;
mod steps;

pub use open::open;
pub use steps::{close_all, take_step};
