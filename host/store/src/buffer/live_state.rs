//! A shard's state at this moment: its file, the memtables over the file, its numbers.
//!
//! ```text
//! entries   1 ........ 400 | 401 ........ 700 | 701 ..... 900
//!           in the file      immutable: a      active: new
//!                            flush runs        batches go here
//! ```
//!
//! Promises, as one structure behind one lock, that all parts belong to the same batch: the file reaches
//! to `flushed` or further, and the memtables hold everything after `flushed`, up to the applied
//! entry in `status`. The file may reach further when a flush has just committed. That is harmless,
//! because the immutable memtables still hold the same writes. Memtables do not change while a reader uses
//! them, so readers hold no lock. After a crash Raft applies again the entries after the file's last
//! applied one: some ten thousand entries, about a second.

use aspen_core::digest::Digest;
use aspen_core::ids::Timestamp;
use aspen_core::state::Header;

use super::digests::DigestRing;
use crate::memtable::{Memtable, Memtables};
use crate::state::{Progress, SqliteState, StateFile};
use crate::types::LogId;

/// A state, as of the last applied batch.
pub struct LiveState {
    pub file: StateFile,
    pub status: Status,
    /// The digests after the latest entries.
    pub digests: DigestRing,
    memtables: Memtables,
    /// Number of the oldest memtables that a flush is writing to the file.
    immutable: usize,
    flushed: Option<LogId>,
}

/// The condition of a replica's state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The numbers as of the last applied batch.
    pub header: Header,
    /// The last applied entry.
    pub applied: Option<LogId>,
    /// The last entry in the current snapshot.
    pub snapshot: Option<LogId>,
    /// Entry time at which the next lease ends or schedule is due.
    pub next_due: Option<Timestamp>,
    /// The reason why the replica stopped applying, if it did.
    pub failed: Option<String>,
}

impl LiveState {
    /// Makes the state that `file` holds, as it was opened.
    pub fn new(file: StateFile, state: &SqliteState, snapshot: Option<LogId>) -> Self {
        let (Progress { header, applied }, next_due) = (state.progress(), state.next_due());
        let status = Status { header, applied, snapshot, next_due, failed: None };
        let start = |applied: LogId| DigestRing::starting(applied.index, header.digest);
        let digests = applied.map(start).unwrap_or_default();
        let (memtables, immutable) = (Memtables::default(), 0);
        Self { file, status, digests, memtables, immutable, flushed: applied }
    }

    /// Returns the last entry that is surely in the file.
    pub fn flushed(&self) -> Option<LogId> {
        self.flushed
    }

    /// Returns the memtables, for reading.
    pub fn memtables(&self) -> Memtables {
        self.memtables.clone()
    }

    /// Adds the writes of a batch of entries, and the digest after each entry.
    pub fn commit(
        &mut self,
        batch: Memtable,
        digests: impl Iterator<Item = (u64, Digest)>,
        progress: Progress,
        next_due: Option<Timestamp>,
    ) {
        self.memtables.push(batch, self.immutable);
        digests.for_each(|(index, digest)| self.digests.push(index, digest));
        self.status.header = progress.header;
        self.status.applied = progress.applied;
        self.status.next_due = next_due;
    }

    /// Makes all memtables immutable and returns them, for a flush to write them to the file.
    pub fn begin_flush(&mut self) -> Memtables {
        assert_eq!(self.immutable, 0, "one flush at a time");
        self.immutable = self.memtables.count();
        self.memtables.clone()
    }

    /// Drops the immutable memtables: they are in the file, which reaches to `reached`.
    pub fn end_flush(&mut self, reached: Option<LogId>) {
        self.memtables.drop_oldest(self.immutable);
        self.immutable = 0;
        self.flushed = reached;
    }
}
