//! Requests to the log's writer.

use std::io;

use aspen_core::ids::ShardId;
use openraft::storage::IOFlushed;

use super::tail::{ShardTail, Tail};
use crate::sync::{CompletionSender, lock};
use crate::types::{LogId, RaftEntry, TypeConfig, Vote};

/// A change of the log. The writer answers when the change is on disk.
pub enum LogRequest {
    /// Appends entries; `append` is the number that [`Tail::append`] gave.
    Append { tail: ShardTail, entries: Vec<RaftEntry>, append: u64, done: IOFlushed<TypeConfig> },
    /// Stores a vote.
    Vote { tail: ShardTail, vote: Vote, done: CompletionSender },
    /// Deletes everything from index `from` on.
    Truncate { shard: ShardId, from: u64, done: CompletionSender },
    /// Deletes everything up to `upto`, in chunks. Nobody waits for the end.
    Purge { tail: ShardTail, upto: LogId },
    /// Deletes everything but the vote and the last entry that the log reached.
    Forget { tail: ShardTail, done: CompletionSender },
    /// Stores the last committed entries, which only memory has; no request comes after this one.
    Close { done: CompletionSender },
}

impl LogRequest {
    /// Updates the memory of the shard: the change is on disk now.
    pub fn note_written(&self) {
        match self {
            Self::Append { tail, append, entries, .. } => {
                let mut memory = lock(&tail.memory);
                memory.flushed(*append);
                memory.reaches(entries.last().map(|entry| entry.log_id));
            }
            Self::Purge { tail, upto } => lock(&tail.memory).reaches(Some(*upto)),
            Self::Vote { tail, vote, .. } => lock(&tail.memory).vote = Some(*vote),
            Self::Forget { tail, .. } => {
                let mut memory = lock(&tail.memory);
                *memory = Tail::stored(memory.vote, memory.promise(), None, None, None);
            }
            Self::Truncate { .. } | Self::Close { .. } => {}
        }
    }

    /// Tells the sender of the request how it ended.
    pub fn answer(self, result: &Result<(), String>) {
        let result = result.clone().map_err(io::Error::other);
        let done = match self {
            Self::Append { done, .. } => return done.io_completed(result),
            Self::Purge { .. } => return,
            Self::Vote { done, .. } | Self::Truncate { done, .. } => done,
            Self::Forget { done, .. } | Self::Close { done } => done,
        };
        // The sender may have given up waiting.
        let _: Result<(), io::Result<()>> = done.send(result);
    }

    /// Returns the number of entries that the request writes.
    #[cfg(madsim)]
    pub fn entries(&self) -> usize {
        match self {
            Self::Append { entries, .. } => entries.len(),
            _ => 0,
        }
    }
}
