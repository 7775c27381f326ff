//! The ids: numbers, names and hashes, each with a type of its own.
//!
//! Promises that ids are small and ordered, and that each has one text form. Leaves out the things that
//! they name.

mod hex;
mod number;
mod caller;
mod name;
mod component;
mod request;

pub use caller::Caller;
pub use component::{ComponentHash, ComponentRef, HashError};
pub(crate) use hex::hex;
pub use name::{Name, NameError};
pub use number::{
    Fuel, LeaseId, LogIndex, NodeId, ProfileId, Revision, SessionId, ShardId, Timestamp, Version,
    ViewId,
};
pub use request::{RequestId, TxnId};
