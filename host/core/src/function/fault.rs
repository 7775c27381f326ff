//! [`GuestFault`]: the ways in which a guest fails.
//!
//! A fault of a guest is an outcome: the same on every replica. A failure of this machine is a
//! [`crate::view::HostError`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::ShardId;
use crate::key::Key;
use crate::limits::{TXN_BYTES_MAX, TXN_OPS_MAX, VALS_BYTES_MAX};

/// The ways in which a guest fails. An outcome: the same on every replica, and the next call works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestFault {
    /// The guest used all its fuel.
    OutOfFuel,
    /// The guest ran into `unreachable`: a panic in most languages, or the call depth limit.
    Unreachable,
    /// The guest needed more memory or table than the limit and could not go on.
    OutOfMemory,
    /// An access to memory or a table out of bounds.
    OutOfBounds,
    /// Integer division by zero, overflow, or a float that fits no integer.
    Arithmetic,
    /// Indirect call of a null or wrongly typed function.
    BadIndirectCall,
    /// The guest broke the component model's rules, for example with a string that is not UTF-8.
    BadInterface,
    /// The guest wrote more keys or bytes than a call may.
    TooManyWrites,
    /// The guest used an empty or too long key, or a too long value.
    KeyOrValueLength,
    /// The guest touched a key of another shard.
    WrongShard {
        key: Key,
        /// The shard of that key.
        shard: ShardId,
    },
    /// The result is larger than a result may be.
    ResultTooLarge,
    /// Any other trap of WebAssembly.
    Trap,
}

impl fmt::Display for GuestFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfFuel => write!(f, "out of fuel"),
            Self::Unreachable => write!(f, "panicked, or called too deep"),
            Self::OutOfMemory => write!(f, "out of memory"),
            Self::OutOfBounds => write!(f, "access out of bounds"),
            Self::Arithmetic => write!(f, "arithmetic trap"),
            Self::BadIndirectCall => write!(f, "bad indirect call"),
            Self::BadInterface => write!(f, "broke the component model's rules"),
            Self::TooManyWrites => {
                write!(f, "wrote more than {TXN_OPS_MAX} keys or {TXN_BYTES_MAX} bytes")
            }
            Self::KeyOrValueLength => write!(f, "used a key or value of a length not allowed"),
            Self::WrongShard { key, shard } => write!(f, "touched key {key} of shard {shard}"),
            Self::ResultTooLarge => write!(f, "result is above {VALS_BYTES_MAX} bytes"),
            Self::Trap => write!(f, "trapped"),
        }
    }
}
