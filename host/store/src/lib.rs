//! A node's disk: the Raft log of all its shards in redb, the state of each shard in SQLite with
//! the latest writes in memory over it.
//!
//! Promises that what was acknowledged is on disk, that a state file that is lost or damaged is
//! rebuilt or refused with a remedy but never guessed, and that everything runs unchanged in
//! production and in the simulation (`--cfg madsim`: no threads, simulated time).
//!
//! Leaves out consensus (openraft), the rules of commands (`aspen-core`) and how functions run.
//! Start reading at [`Log`], then [`StateMachine`].

mod log;
mod log_file;
mod log_tail;
mod log_writer;

mod apply_worker;
mod buffer;
mod digests;
mod divergence;
mod flusher;
mod inbox;
mod layer;
mod live;
mod overlay;
mod pinned;
mod reader;
mod recovery;
mod replay;
mod resident_store;
mod schema;
mod session_store;
mod snapshot;
mod snapshot_due;
mod snapshot_transfer;
mod state;
mod state_machine;
mod verification;
mod view;

mod entry_codec;
mod error;
mod files;
mod runtime;
#[cfg(madsim)]
pub mod sim_cost;
#[cfg(madsim)]
pub mod sim_files;
#[cfg(madsim)]
mod sim_runtime;
#[cfg(madsim)]
mod sim_watch;
#[cfg(not(madsim))]
mod threads;
mod types;

#[cfg(test)]
mod tests;

pub use divergence::{Divergence, marked};
pub use entry_codec::{EntryError, decode_entry, encode_entry};
pub use error::{Identity, StoreError};
pub use files::remove_folder;
pub use inbox::SnapshotInbox;
pub use live::Status;
pub use log::{Log, ShardLog};
pub use pinned::{Gate, PinnedView};
pub use reader::{OnCall, StateReader};
pub use replay::Replay;
pub use runtime::{APPLY_STACK_BYTES, Pool, Runtime, Worker};
pub use snapshot_transfer::{SnapshotFile, SnapshotReceiver};
pub use state_machine::{SnapshotBuilder, StateConfig, StateMachine};
pub use types::{
    Entry, LogId, Proposal, Raft, Reply, Snapshot, SnapshotMeta, StoredMembership, TypeConfig, Vote,
};
