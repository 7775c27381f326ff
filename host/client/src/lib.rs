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
mod link;
mod session;
pub mod wave;

pub use aspen_core::{
    Caller, ComponentHash, ComponentInfo, ComponentRef, ConflictError, Digest, Expectation, Fuel,
    GuestFault, Item, Key, KeyRange, Manifest, Name, Read, Record, Refusal, ReplicaStatus,
    Revision, Timestamp, Transact, Val, Value, Version, WriteCommand, WriteOp,
};
pub use aspen_net::{PeerAddr, PeerId, Secret, Ticket, TicketError};
pub use client::{CallReply, Client, Committed, Options, ScanOptions, Written};
pub use error::{CallError, ConnectError, Invalid, RequestError, WriteError};
