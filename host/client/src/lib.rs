//! The library for applications that use a cluster: a [`Client`].
//!
//! Promises that every operation ends within its time limit in a result or a typed error, follows the
//! leader and reconnects by itself. A write or call is applied exactly once, for any number of lost
//! replies. Light: no wasmtime, no SQLite. Start reading at [`Client`].
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let ticket = std::fs::read_to_string(".aspen/ticket")?;
//! let client = aspen_client::Client::connect(&ticket).await?;
//! client.put("greeting", "hello").await?;
//! let record = client.get("greeting").await?.expect("just written");
//! assert_eq!(record.version.get(), 1);
//! let reply = client.call("bank", "balance", "account/ada", &["ada".into()]).await?;
//! println!("{:?}", reply.value);
//! # Ok(()) }
//! ```
//!
//! Rooms, bottom to top; each uses only those above it in this list:
//! - `wave`: the values of calls as text
//! - `error`: the errors that applications see
//! - `arguments`: keys, values and names as types that hold their limits
//! - `link`, `session`: the way to the node that can answer, and the numbers of requests
//! - `client`: connecting, and requests to one shard or to every shard
//! - `reads`, `writes`: keys of one revision, and commits
//! - `scan`: ranges over all shards, in order
//! - `transaction`: reads and writes that hold together
//! - `leases`: keys that are removed together
//! - `functions`: components, calls, schedules, and notes of calls
//! - `cluster`: nodes, placement, profiles, verification
//! - `store`: the operations that every store of Aspen has
//! - `typed`: calls with the types of a component

pub mod wave;

mod error;

mod arguments;
mod link;
mod session;

mod client;

mod reads;
mod writes;

mod scan;

mod transaction;

mod leases;

mod functions;

mod cluster;

mod store;

pub mod typed;

pub use aspen_core::digest::Digest;
pub use aspen_core::function::{
    CallEndKind, CallNote, FunctionStatistics, GuestFault, Histogram, Manifest,
};
pub use aspen_core::ids::{
    Caller, ComponentHash, ComponentRef, Fuel, LeaseId, LogIndex, Name, NodeId, ProfileId,
    Revision, ShardId, Timestamp, Version,
};
pub use aspen_core::key::{Key, KeyRange, Value};
pub use aspen_core::protocol::{
    ComponentInfo, Consistency, DryRun, Item, LeaseInfo, NodeStatus, ScanToken, ScanTokenError,
};
pub use aspen_core::refusal::Refusal;
pub use aspen_core::state::{FirstRun, LastRun, Schedule, StateHash};
pub use aspen_core::transaction::{
    Actual, BuildError, Compare, ConflictError, Expectation, Expiry, Operation, OperationResult,
    Read, Relation, Transact, TransactionBuilder, WriteCommand, WriteOp,
};
pub use aspen_core::val::Val;
pub use aspen_core::view::{Alias, AliasTarget, Canary, Record};
pub use aspen_net::{PeerAddr, PeerId, Secret, Ticket, TicketError};
pub use client::{Client, Options};
pub use cluster::{
    Profiles, ReplicaVerification, ShardVerification, VerificationError, VerifyProgress,
};
pub use error::{CallError, ConnectError, Invalid, RequestError, TransactionError, WriteError};
pub use functions::{
    CallReply, DryRunReply, LogPosition, QueryReply, ScheduledCall, UploadProgress,
};
pub use leases::{Lease, after};
pub use reads::{Records, stale};
pub use scan::{SCAN_BUFFER_BYTES, Scan, ScanOptions, ScanPage};
pub use store::KeyValueStore;
pub use transaction::{ClientTransaction, Transaction, TransactionOutcome, TransactionReply};
pub use writes::{Commit, WriteReply};
