//! Reading a shard's state while apply goes on.
//!
//! Promises that one read sees one revision. Leaves out the transaction itself
//! (`replica/read_transaction.rs`) and the wait for a revision: the caller does that. Start reading at
//! `reader.rs`.

mod pinned;
mod reader;

pub use pinned::{Gate, PinnedView};
pub use reader::StateReader;
