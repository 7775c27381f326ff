//! The ways in which a history can be wrong, each by its name in the field.

use std::fmt;

/// One thing that no strictly serializable store with Aspen's versions can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The kind of violation.
    pub kind: Kind,
    /// The transactions that show it, by their place in the history; a cycle in its order.
    pub transactions: Vec<usize>,
    /// Why it is one, with those transactions written out.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

/// Kinds of violation: first those that single reads and versions show, then those that only cycles show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A value of a transaction that aborted was read (Adya's G1a).
    AbortedRead,
    /// A value was read that nobody wrote to that key.
    UnwrittenRead,
    /// A value was read that its own transaction replaced (G1b).
    IntermediateRead,
    /// A transaction did not see its own write.
    InternalRead,
    /// A scan gave a key twice, or one outside of its range.
    BadScan,
    /// One write exists at two revisions: it was applied twice.
    DuplicateWrite,
    /// Writes of one transaction to one shard are there at different revisions.
    TornTransaction,
    /// Two transactions wrote a key at one revision.
    TwoWriters,
    /// The same state of a key was described in two ways.
    RecordsDisagree,
    /// Versions or revisions of a key went back, or do not fit each other.
    NonMonotonicVersions,
    /// A key counted more writes than there were: one was applied twice.
    VersionGap,
    /// A key began anew although nobody deleted it.
    LostWrite,
    /// Writes replace each other in a circle (G0).
    WriteCycle,
    /// Writes and reads follow each other in a circle (G1c).
    CircularReads,
    /// A transaction replaced a state that it had not read (G-single on one key).
    LostUpdate,
    /// A transaction read states that were never there together (G-single).
    ReadSkew,
    /// Two readers saw two writes in opposite orders.
    LongFork,
    /// Each of some transactions read a state that another replaced (G2-item).
    WriteSkew,
    /// A scan did not see a key that an order of the transactions requires (G2).
    Phantom,
    /// A read missed a write that was done before it began.
    StaleRead,
    /// A read saw a write that began only after it was over.
    FutureRead,
    /// Writes took effect against the order of time.
    WriteOrder,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::AbortedRead => "aborted read",
            Kind::UnwrittenRead => "read of a value that nobody wrote",
            Kind::IntermediateRead => "intermediate read",
            Kind::InternalRead => "internal read",
            Kind::BadScan => "bad scan",
            Kind::DuplicateWrite => "duplicate write",
            Kind::TornTransaction => "torn transaction",
            Kind::TwoWriters => "two writers of one state",
            Kind::RecordsDisagree => "records disagree",
            Kind::NonMonotonicVersions => "non-monotonic versions",
            Kind::VersionGap => "version gap",
            Kind::LostWrite => "lost write",
            Kind::WriteCycle => "write cycle",
            Kind::CircularReads => "circular reads",
            Kind::LostUpdate => "lost update",
            Kind::ReadSkew => "read skew",
            Kind::LongFork => "long fork",
            Kind::WriteSkew => "write skew",
            Kind::Phantom => "phantom",
            Kind::StaleRead => "stale read",
            Kind::FutureRead => "future read",
            Kind::WriteOrder => "write order against time",
        })
    }
}
