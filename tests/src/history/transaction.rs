//! The parts of a history: transactions, each with its operations, its answers and its times.
//!
//! A single read or write is a transaction of one operation. Serialized as JSON lines (`stored.rs`),
//! for histories to be kept and checked again; that form is no promise to anybody else.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Everything that clients did to some keys, from before they existed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// Shards of the cluster: they decide which revisions can be compared.
    pub shards: u16,
    /// The transactions, in any order.
    pub transactions: Vec<Transaction>,
}

/// One transaction, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Which client it was; for the reader of a report.
    pub process: u64,
    /// Tick at which it began, before anything was sent.
    pub invoked: u64,
    /// Tick at which its outcome was there; without meaning if that is unknown.
    pub completed: u64,
    /// The end of the transaction.
    pub outcome: Outcome,
    /// The operations, in order: a read that follows its own write of the key sees that write.
    pub operations: Vec<Operation>,
}

/// The end of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It happened: all of its reads and writes at one moment.
    Committed {
        /// By shard, the revision that the shard had after it. A shard may be missing.
        revisions: BTreeMap<u16, u64>,
    },
    /// It certainly changed nothing. Its reads are true one by one, not all at one moment.
    Aborted,
    /// It may have happened, or may still happen.
    Unknown,
}

/// One read or write of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// A read of one key.
    Get {
        key: String,
        /// The record that was found, if any.
        found: Option<Record>,
    },
    /// A read of all keys from `start` up to, but without, `end`; without an end, to the last key.
    Scan {
        start: String,
        /// The first key beyond.
        end: Option<String>,
        /// Everything that was there: no other key of the range existed.
        found: Vec<(String, Record)>,
    },
    /// A write of one key.
    Set {
        key: String,
        /// The value: no other write of the history stores the same one under this key.
        value: String,
        /// The key's version after it, if told.
        version: Option<u64>,
    },
    /// A removal of one key.
    Delete {
        key: String,
        /// The version that was removed, if told; 0 if there was none.
        version: Option<u64>,
    },
}

/// A value as it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub value: String,
    /// Writes since the key was created.
    pub version: u64,
    /// The revision that created it.
    pub create_revision: u64,
    /// The revision that last wrote it.
    pub mod_revision: u64,
}

impl Transaction {
    /// A transaction that committed between two ticks and has done nothing yet.
    pub fn new(invoked: u64, completed: u64) -> Self {
        let outcome = Outcome::Committed { revisions: BTreeMap::new() };
        Self { process: 0, invoked, completed, outcome, operations: vec![] }
    }

    /// The tick after which it can have no further effect.
    pub fn end(&self) -> u64 {
        if self.outcome == Outcome::Unknown { u64::MAX } else { self.completed }
    }

    /// Returns true if the transaction was over before `other` began.
    pub fn is_before(&self, other: &Transaction) -> bool {
        self.end() < other.invoked
    }
}

impl Operation {
    /// The key it writes, if it writes.
    pub fn written(&self) -> Option<&str> {
        match self {
            Operation::Set { key, .. } | Operation::Delete { key, .. } => Some(key),
            Operation::Get { .. } | Operation::Scan { .. } => None,
        }
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { value, version, create_revision, mod_revision } = self;
        write!(f, "{value:?} (v{version} r{mod_revision}, created r{create_revision})")
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::Get { key, found: Some(record) } => write!(f, "get {key}: {record}"),
            Operation::Get { key, found: None } => write!(f, "get {key}: absent"),
            Operation::Scan { start, end, found } => {
                write!(f, "scan {start}..{}:", end.as_deref().unwrap_or(""))?;
                found.iter().try_for_each(|(key, record)| write!(f, " {key}={record}"))
            }
            Operation::Set { key, value, version: Some(version) } => {
                write!(f, "set {key} {value:?}: v{version}")
            }
            Operation::Set { key, value, version: None } => write!(f, "set {key} {value:?}"),
            Operation::Delete { key, version: Some(0) } => write!(f, "delete {key}: was absent"),
            Operation::Delete { key, version: Some(version) } => {
                write!(f, "delete {key}: was v{version}")
            }
            Operation::Delete { key, version: None } => write!(f, "delete {key}"),
        }
    }
}

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "(process {}, ", self.process)?;
        match &self.outcome {
            Outcome::Committed { revisions } => {
                write!(f, "{}..{}, committed", self.invoked, self.completed)?;
                revisions
                    .iter()
                    .try_for_each(|(shard, revision)| write!(f, " s{shard}:r{revision}"))?;
            }
            Outcome::Aborted => write!(f, "{}..{}, aborted", self.invoked, self.completed)?,
            Outcome::Unknown => write!(f, "{}.., outcome unknown", self.invoked)?,
        }
        write!(f, ")")?;
        self.operations.iter().try_for_each(|operation| write!(f, "\n      {operation}"))
    }
}
