//! What applying a command gives: data, replicated, part of the digest; never an `Error`.
//!
//! Leaves out texts made by libraries (backtraces, compiler messages): they differ between
//! versions and would make replicas differ. Serialized like `command.rs`.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::command::Expectation;
use crate::ids::{ComponentHash, Fuel, Revision, SessionId, ShardId, Timestamp, Version};
use crate::key::Key;
use crate::limits::{
    COMPONENT_BYTES_MAX, COMPONENTS_MAX, TXN_BYTES_MAX, TXN_OPS_MAX, VALS_BYTES_MAX,
};

/// The answer of the state machine to one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// A session is open.
    SessionOpened {
        /// Its id.
        session: SessionId,
    },
    /// The transaction committed.
    Committed {
        /// The shard's revision after it. A transaction that changed nothing leaves it as it was.
        revision: Revision,
        /// Entry time of the commit.
        time: Timestamp,
        /// Per write, in order: for a set the key's new version, for a delete the version that
        /// was removed, 0 if there was none.
        versions: Vec<Version>,
    },
    /// A read no longer holds; nothing was written.
    Conflict {
        /// Every read that failed, in the order of the read set.
        conflicts: Vec<ConflictError>,
    },
    /// The function returned; its writes are committed.
    Returned {
        /// The shard's revision after it.
        revision: Revision,
        /// The results (none or one), as [`crate::decode_vals`] reads them.
        values: Bytes,
        /// Fuel it used.
        fuel: Fuel,
        /// Keys it wrote.
        writes: u32,
    },
    /// The function returned an error; it wrote nothing.
    Aborted {
        /// The error's payload (none or one value), as [`crate::decode_vals`] reads it.
        error: Bytes,
        /// Fuel it used.
        fuel: Fuel,
    },
    /// The function failed; it wrote nothing.
    Faulted {
        /// How.
        fault: GuestFault,
        /// Fuel charged: all that the call had.
        fuel: Fuel,
    },
    /// The component is stored and named.
    Uploaded {
        /// Its hash.
        component: ComponentHash,
    },
    /// The command was not tried; nothing was written.
    Refused(Refusal),
}

/// A key that was not as the transaction had seen it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictError {
    /// The key.
    pub key: Key,
    /// What the transaction expected.
    pub expected: Expectation,
    /// What is there now.
    pub actual: Actual,
}

/// A key as it is, without its value. Both are 0 if it is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actual {
    /// Its version.
    pub version: Version,
    /// The revision that last wrote it.
    pub mod_revision: Revision,
}

impl fmt::Display for ConflictError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}: expected ", self.key)?;
        match self.expected {
            Expectation::Absent => write!(f, "absent")?,
            Expectation::Version(version) => write!(f, "version {}", version.get())?,
            Expectation::ModRevision(revision) => write!(f, "mod revision {}", revision.get())?,
        }
        match self.actual.version {
            Version::ABSENT => write!(f, ", is absent"),
            version => write!(
                f,
                ", is version {} of mod revision {}",
                version.get(),
                self.actual.mod_revision.get()
            ),
        }
    }
}

impl std::error::Error for ConflictError {}

/// How a guest failed. An outcome: the same on every replica, and the next call works.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestFault {
    /// It used all its fuel.
    OutOfFuel,
    /// It ran into `unreachable`: a panic in most languages, or the call depth limit.
    Unreachable,
    /// It needed more memory or table than the limit and could not go on.
    OutOfMemory,
    /// Memory or table access out of bounds.
    OutOfBounds,
    /// Integer division by zero, overflow, or a float that fits no integer.
    Arithmetic,
    /// Indirect call of a null or wrongly typed function.
    BadIndirectCall,
    /// It broke the component model's rules, such as a string that is not UTF-8.
    BadInterface,
    /// It wrote more keys or bytes than a call may.
    TooManyWrites,
    /// It used an empty or too long key, or a too long value.
    KeyOrValueLength,
    /// It touched a key of another shard.
    WrongShard {
        /// The key.
        key: Key,
        /// The shard that key lives on.
        shard: ShardId,
    },
    /// Its result is larger than a result may be.
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

/// Why a command was not tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The session was never opened here, or was idle too long. Whether its requests in flight
    /// were applied is not known any more.
    SessionUnknown,
    /// So old that its outcome is forgotten. It is not applied again.
    SequenceForgotten,
    /// No component has this name or hash.
    ComponentUnknown,
    /// The component has no such function.
    FunctionUnknown,
    /// The arguments are not what the function takes.
    BadArguments,
    /// The encoded arguments are too long.
    ArgumentsTooLarge {
        /// Their size.
        bytes: u64,
    },
    /// Too many reads and writes.
    TooManyOperations {
        /// How many.
        operations: u64,
    },
    /// Too many bytes of keys and values.
    TransactionTooLarge {
        /// How many.
        bytes: u64,
    },
    /// Too large a component.
    ComponentTooLarge {
        /// Its size.
        bytes: u64,
    },
    /// The shard keeps as many components as it can.
    TooManyComponents,
    /// A key of another shard.
    WrongShard {
        /// The shard that key lives on.
        shard: ShardId,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SessionUnknown => write!(f, "the session is unknown or expired"),
            Self::SequenceForgotten => write!(f, "the request is too old to be told apart"),
            Self::ComponentUnknown => write!(f, "no such component"),
            Self::FunctionUnknown => write!(f, "the component has no such function"),
            Self::BadArguments => write!(f, "the arguments do not fit the function"),
            Self::ArgumentsTooLarge { bytes } => {
                write!(f, "arguments are {bytes} bytes, limit is {VALS_BYTES_MAX}")
            }
            Self::TooManyOperations { operations } => {
                write!(f, "transaction has {operations} operations, limit is {TXN_OPS_MAX}")
            }
            Self::TransactionTooLarge { bytes } => {
                write!(f, "transaction is {bytes} bytes, limit is {TXN_BYTES_MAX}")
            }
            Self::ComponentTooLarge { bytes } => {
                write!(f, "component is {bytes} bytes, limit is {COMPONENT_BYTES_MAX}")
            }
            Self::TooManyComponents => {
                write!(f, "the shard has {COMPONENTS_MAX} components, no more fit")
            }
            Self::WrongShard { shard } => write!(f, "the key lives on shard {shard}"),
        }
    }
}
