//! A node's disk: the Raft log of all its shards in redb, and the state of each shard in SQLite with
//! the latest writes in memory over it.
//!
//! Promises that an acknowledged write is on disk, that a lost or damaged state file is rebuilt or
//! refused with a remedy but never guessed, and that everything runs unchanged in production and in
//! the simulation (`--cfg madsim`: no threads, simulated time).
//!
//! One redb file holds the log of all shards, keyed (shard, index), written by one thread with group
//! commit. One SQLite database per shard (WAL, `synchronous=NORMAL`) holds the state; Raft can rebuild
//! the database. Snapshots are whole SQLite files made by a reader, with SHA-256, sent in chunks on a
//! stream of their own. The log does not wait for large files: they are synced while they are written.
//!
//! Leaves out consensus (openraft), the rules of commands (`aspen-core`) and how functions run.
//! Start reading at [`ShardLog`], then [`StateMachine`].
//!
//! Rooms, bottom to top; each uses only those above it in this list:
//! - `limits`: every bound of the crate, with its reason
//! - `sync`: a lock, and the sender that tells of an end
//! - `runtime`: openraft's runtime, workers and their threads; the simulation's clock
//! - `types`: the types that openraft is told to use
//! - `error`: errors of the disk, each with its remedy
//! - `files`: changes of files that survive a power cut
//! - `log`: the Raft log in redb, and its one writer
//! - `memtable`: sorted writes in memory
//! - `state`: the file of a shard's state in SQLite
//! - `buffer`: memtables over the file, and the flush to the file
//! - `snapshot`: the snapshot that a shard keeps, sends and receives
//! - `recovery`: rebuilding a lost, damaged or diverged state
//! - `replica`: the parts of a replica that apply and readers share
//! - `read`: reads while apply goes on
//! - `apply`: the state machine and its worker
//! - `replay`: applying a log once more, apart from the node

mod limits;

mod sync;

mod runtime;

mod types;

mod error;

mod files;

mod log;

mod memtable;

mod state;

mod buffer;

mod snapshot;

mod recovery;

mod replica;

mod read;

mod apply;

mod replay;

#[cfg(test)]
mod tests;

pub use apply::{Raft, SnapshotBuilder, StateConfig, StateMachine};
pub use buffer::Status;
pub use error::{Identity, StoreError};
pub use files::remove_folder;
#[cfg(madsim)]
pub use files::sim_files;
pub use limits::APPLY_STACK_BYTES;
pub use log::{EntryError, Log, ShardLog, decode_entry, encode_entry};
pub use read::{Gate, PinnedView, StateReader};
pub use recovery::{Divergence, recorded_divergence};
pub use replay::Replay;
pub use replica::CallObserver;
#[cfg(madsim)]
pub use runtime::sim_cost;
pub use runtime::{Pool, Runtime, Worker};
pub use snapshot::{Snapshot, SnapshotFile, SnapshotInbox, SnapshotReceiver};
pub use types::{
    EncodedOutcome, LogId, Proposal, RaftEntry, SnapshotMeta, StoredMembership, TypeConfig, Vote,
};
