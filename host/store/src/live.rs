//! What a shard's state is at this moment: its file, the layers over it, its numbers.
//!
//! ```text
//! entries   1 ........ 400 | 401 ........ 700 | 701 ..... 900
//!           in the file      frozen: being     active: new
//!                            written down      batches go here
//! ```
//!
//! Promises, as one structure behind one lock, that all of it belongs to the same batch: `flushed`
//! is how far the file reaches at least, and the layers hold everything after it, up to the applied
//! entry in `status`. A flush that has just committed may let the file reach further: harmless,
//! for the frozen layers still say the same.

use aspen_core::{Digest, Header, Timestamp};

use crate::digests::DigestRing;
use crate::layer::{Layer, Layers};
use crate::recovery::StateFile;
use crate::schema::Progress;
use crate::state::SqliteState;
use crate::types::LogId;

/// A state, as of the last applied batch.
pub struct Live {
    /// Its file.
    pub file: StateFile,
    /// Its numbers.
    pub status: Status,
    /// The digests that led to them.
    pub digests: DigestRing,
    layers: Layers,
    /// How many layers, the oldest, are being written down.
    frozen: usize,
    flushed: Option<LogId>,
}

/// How a replica's state is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// The numbers as of the last applied batch.
    pub header: Header,
    /// The last applied entry.
    pub applied: Option<LogId>,
    /// The last entry in the current snapshot.
    pub snapshot: Option<LogId>,
    /// Entry time at which the next lease is over or schedule due.
    pub next_due: Option<Timestamp>,
    /// Why the replica stopped applying, if it did.
    pub failed: Option<String>,
}

impl Live {
    /// The state that `file` holds, as it was opened.
    pub fn new(file: StateFile, state: &SqliteState, snapshot: Option<LogId>) -> Self {
        let (Progress { header, applied }, next_due) = (state.progress(), state.next_due());
        let status = Status { header, applied, snapshot, next_due, failed: None };
        let start = |applied: LogId| DigestRing::starting(applied.index, header.digest);
        let digests = applied.map(start).unwrap_or_default();
        Self { file, status, digests, layers: Layers::default(), frozen: 0, flushed: applied }
    }

    /// How far the file reaches at least.
    pub fn flushed(&self) -> Option<LogId> {
        self.flushed
    }

    /// The layers, for reading.
    pub fn layers(&self) -> Layers {
        self.layers.clone()
    }

    /// Adds what a batch of entries wrote, and the digest after each.
    pub fn commit(
        &mut self,
        batch: Layer,
        digests: impl Iterator<Item = (u64, Digest)>,
        progress: Progress,
        next_due: Option<Timestamp>,
    ) {
        self.layers.push(batch, self.frozen);
        digests.for_each(|(index, digest)| self.digests.push(index, digest));
        self.status.header = progress.header;
        self.status.applied = progress.applied;
        self.status.next_due = next_due;
    }

    /// Sets the layers aside that are to be written down now.
    pub fn freeze(&mut self) -> Layers {
        assert_eq!(self.frozen, 0, "one flush at a time");
        self.frozen = self.layers.count();
        self.layers.clone()
    }

    /// The frozen layers are in the file, which reaches to `reached`.
    pub fn thaw(&mut self, reached: Option<LogId>) {
        self.layers.drop_oldest(self.frozen);
        self.frozen = 0;
        self.flushed = reached;
    }
}
