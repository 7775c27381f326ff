//! What clients ask of a shard, and the log entry that carries it.
//!
//! Every write is one form, [`Transact`]: checks, then writes. [`WriteCommand`] is how users say
//! it. Serialized types: their field order and variant numbers are pinned by the golden vectors in
//! `codec.rs`; new variants go to the end.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{Caller, ComponentHash, Name, Revision, SessionId, Timestamp, Version};
use crate::key::{Key, Value};
use crate::limits::{TXN_BYTES_MAX, TXN_OPS_MAX, VALS_BYTES_MAX};
use crate::outcome::Refusal;

/// One entry of a shard's log: a command, and everything else that applying it may depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The proposing leader's clock. Entry time is the highest stamp so far.
    pub stamp: Timestamp,
    /// Chance for the guest, drawn by the proposing leader.
    pub seed: u64,
    /// Who asked.
    pub caller: Caller,
    /// Makes a repeat of this request harmless. `None` only for commands that are so by nature.
    pub request: Option<RequestId>,
    /// What to do.
    pub command: Command,
}

/// Names one request of one session, so that it is applied once however often it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestId {
    /// The session, opened before on the same shard.
    pub session: SessionId,
    /// 1, 2, 3, ... within the session; requests in flight may arrive in any order.
    pub sequence: u64,
    /// The client has the outcomes of all sequence numbers below this one: they may be forgotten.
    pub acknowledged: u64,
}

/// What an entry does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Opens a session. A repeat opens another one, which later expires.
    OpenSession,
    /// Checks, then writes, all or nothing.
    Transact(Transact),
    /// Runs a function and writes what it wrote.
    Call(Call),
    /// Stores a component and lets a name point to it.
    Upload(Upload),
}

/// If every read still holds, write everything; else write nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transact {
    /// Checked in order, against the state before the writes. A key may occur more than once.
    pub reads: Vec<Read>,
    /// Done in order. A key written twice gets two versions and one revision; the last value stays.
    pub writes: Vec<WriteOp>,
}

/// One read of a read set: the key and what the transaction saw there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// The key.
    pub key: Key,
    /// What must be true of it at commit.
    pub expected: Expectation,
}

/// What a transaction saw of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expectation {
    /// The key does not exist.
    Absent,
    /// The key has this version. Blind to delete-and-recreate: a new key counts from 1 again.
    /// `Version(0)` means absent.
    Version(Version),
    /// The key was last written at this revision: the safe default.
    ModRevision(Revision),
}

/// One write of a write set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteOp {
    /// Creates or replaces.
    Set {
        /// The key.
        key: Key,
        /// Its new value.
        value: Value,
    },
    /// Removes; nothing happens when the key is absent.
    Delete {
        /// The key.
        key: Key,
    },
}

impl WriteOp {
    /// The key it writes.
    pub fn key(&self) -> &Key {
        match self {
            WriteOp::Set { key, .. } | WriteOp::Delete { key } => key,
        }
    }

    /// Bytes of key and value.
    pub fn bytes(&self) -> usize {
        match self {
            WriteOp::Set { key, value } => key.as_bytes().len() + value.as_bytes().len(),
            WriteOp::Delete { key } => key.as_bytes().len(),
        }
    }
}

/// How users say a write; each variant becomes one [`Transact`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteCommand {
    /// Creates or replaces one key.
    Set {
        /// The key.
        key: Key,
        /// Its new value.
        value: Value,
    },
    /// Removes one key.
    Delete {
        /// The key.
        key: Key,
    },
    /// Writes `write_set` if everything in `read_set` still holds.
    OptimisticTransaction {
        /// What the transaction read.
        read_set: Vec<Read>,
        /// What it wants to write.
        write_set: Vec<WriteOp>,
    },
}

impl From<WriteCommand> for Transact {
    fn from(command: WriteCommand) -> Transact {
        match command {
            WriteCommand::Set { key, value } => {
                Transact { reads: vec![], writes: vec![WriteOp::Set { key, value }] }
            }
            WriteCommand::Delete { key } => {
                Transact { reads: vec![], writes: vec![WriteOp::Delete { key }] }
            }
            WriteCommand::OptimisticTransaction { read_set, write_set } => {
                Transact { reads: read_set, writes: write_set }
            }
        }
    }
}

impl Transact {
    /// Whether it is within the limits on operations and bytes.
    pub fn check(&self) -> Result<(), Refusal> {
        let operations = self.reads.len() + self.writes.len();
        if operations > TXN_OPS_MAX {
            return Err(Refusal::TooManyOperations { operations: operations as u64 });
        }
        let reads: usize = self.reads.iter().map(|read| read.key.as_bytes().len()).sum();
        let bytes = reads + self.writes.iter().map(WriteOp::bytes).sum::<usize>();
        if bytes > TXN_BYTES_MAX {
            return Err(Refusal::TransactionTooLarge { bytes: bytes as u64 });
        }
        Ok(())
    }

    /// Every key it touches.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.reads.iter().map(|read| &read.key).chain(self.writes.iter().map(WriteOp::key))
    }
}

/// Which component a call means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ComponentRef {
    /// Whatever the name points to when the entry is applied.
    Name(Name),
    /// This one and no other.
    Hash(ComponentHash),
}

/// A function call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Decides the shard: the function may touch only keys that live on the same one.
    pub key: Key,
    /// The component.
    pub component: ComponentRef,
    /// The exported function, in WIT spelling (`record-purchase`).
    pub function: String,
    /// The arguments, as [`crate::encode_vals`] writes them.
    pub args: Bytes,
    /// The function runs only if all of these hold.
    pub reads: Vec<Read>,
}

impl Call {
    /// Whether it is within the limits on operations and bytes.
    pub fn check(&self) -> Result<(), Refusal> {
        if self.reads.len() > TXN_OPS_MAX {
            return Err(Refusal::TooManyOperations { operations: self.reads.len() as u64 });
        }
        if self.args.len() > VALS_BYTES_MAX {
            return Err(Refusal::ArgumentsTooLarge { bytes: self.args.len() as u64 });
        }
        Ok(())
    }
}

/// An upload: the component and the name that shall point to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// The name.
    pub name: Name,
    /// The component's bytes.
    pub bytes: Bytes,
}
