//! The Raft log of a node: all its shards in one redb database.
//!
//! ```text
//! ShardLog (openraft asks) -- LogRequest --> LogWriter -- one transaction, one fsync --> redb file
//!      |                                         |
//!      +------- reads: the shard's Tail in memory, then the file
//! ```
//!
//! Promises that an append or a vote is on disk when it is answered, that entries are readable from the
//! moment they are appended, and that a log which is damaged, another node's or failing is refused
//! with a remedy. There is one file, so that one fsync serves all shards.
//!
//! Leaves out the meaning of entries. Start reading at `shard_log.rs`, then `writer.rs`.

mod entry_codec;
mod frame;
mod load;
mod node_log;
mod read;
mod request;
mod shard_log;
mod tables;
mod tail;
mod writer;

pub use entry_codec::{EntryError, decode_entry, encode_entry};
pub use node_log::Log;
pub use shard_log::ShardLog;
#[cfg(test)]
pub use tables::{ENTRIES, META};
#[cfg(test)]
pub use tail::Tail;
pub use tail::cost;
