//! What applications link to use a cluster: a [`Client`].
//!
//! Promises that every call ends within its time limit in a result or a typed error, that it
//! follows the leader and reconnects by itself, and that a write or call is applied exactly once
//! however often a lost reply made it travel. Light: no wasmtime, no SQLite.
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

mod client;
mod error;
mod functions;
mod leases;
mod link;
mod notes;
mod placement;
mod profile;
mod reads;
mod scan;
mod scan_source;
mod scan_view;
mod schedules;
mod session;
mod store;
mod transaction;
pub mod typed;
mod upload;
mod verify;
pub mod wave;

pub use aspen_core::{
    Actual, Alias, BuildError, CallNote, Caller, Canary, Compare, ComponentHash, ComponentInfo,
    ComponentRef, ConflictError, Consistency, Digest, DryRun, Ended, Expectation, Expiry, First,
    Fuel, FunctionStatistics, GuestFault, Histogram, Item, Key, KeyRange, LastRun, LeaseId,
    LeaseInfo, LogIndex, Manifest, Name, NodeId, Operation, OperationResult, Pointed, ProfileId,
    Read, Record, Refusal, Relation, ReplicaStatus, Revision, ScanToken, ScanTokenError, Schedule,
    ShardId, StateHash, Timestamp, Transact, TransactionBuilder, Val, Value, Version, WriteCommand,
    WriteOp,
};
pub use aspen_net::{PeerAddr, PeerId, Secret, Ticket, TicketError};
pub use client::{Client, Committed, Options, Written};
pub use error::{CallError, ConnectError, Invalid, RequestError, TransactionError, WriteError};
pub use functions::{CallReply, DryRunReply, QueryReply};
pub use leases::{Lease, after};
pub use notes::LogPosition;
pub use profile::Profiles;
pub use reads::{Records, stale};
pub use scan::{SCAN_BUFFER_BYTES, Scan, ScanOptions, ScanPage};
pub use schedules::ScheduledCall;
pub use store::KeyValueStore;
pub use transaction::{ClientTransaction, Transacted, Transaction, TransactionOutcome};
pub use upload::UploadProgress;
pub use verify::{NotVerified, Verified, VerifiedReplica, VerifyProgress};
