//! Reading a shard's log: recent entries from memory, older ones from the file.
//!
//! Promises entries in order without a gap, read in bounded chunks where openraft allows that.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};

use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use openraft::errors::LeaderChanged;
use openraft::storage::{LeaderBoundedStreamError, RaftLogReader};
use openraft::{OptionalSend, alias};
use redb::ReadableDatabase;

use super::frame::unframe;
use super::shard_log::ShardLog;
use super::tables::ENTRIES;
use super::tail::cost;
use crate::limits::{LOG_CHUNK_BYTES_MAX, LOG_CHUNK_ENTRIES_MAX};
use crate::sync::lock;
use crate::types::{RaftEntry, TypeConfig, Vote};

type LeaderId = alias::LeaderIdOf<TypeConfig>;
type LedReadError = LeaderBoundedStreamError<TypeConfig>;
/// A chunk of entries, and the range that follows.
type Chunk = (Vec<RaftEntry>, Range<u64>);

impl RaftLogReader<TypeConfig> for ShardLog {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<RaftEntry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.read(half_open(&range), usize::MAX, usize::MAX)
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> io::Result<Vec<RaftEntry>> {
        self.read(start..end, LOG_CHUNK_ENTRIES_MAX, LOG_CHUNK_BYTES_MAX)
    }

    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<RaftEntry>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        self.stream(half_open(&range)).boxed()
    }

    async fn leader_bounded_stream<RB>(
        &mut self,
        leader: LeaderId,
        range: RB,
    ) -> impl Stream<Item = Result<RaftEntry, LedReadError>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let reader = self.clone();
        let chunks = stream::try_unfold(half_open(&range), move |range| {
            let chunk = reader.read_led(leader, range);
            std::future::ready(chunk.map(|chunk| {
                let (chunk, rest) = chunk?;
                Some((stream::iter(chunk.into_iter().map(Ok)), rest))
            }))
        });
        chunks.try_flatten().boxed()
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        Ok(lock(&self.tail.memory).vote)
    }
}

impl ShardLog {
    /// Returns the entries of `range` in order: at least one if the log has one, and no more than fit in
    /// `bytes_max` bytes and `entries_max` entries.
    fn read(
        &self,
        range: Range<u64>,
        entries_max: usize,
        bytes_max: usize,
    ) -> io::Result<Vec<RaftEntry>> {
        // Memory and the view of the disk are taken together: in between, the writer could drop
        // from memory an entry that the view does not show yet.
        let (stored, view, cached, _open) = {
            let memory = lock(&self.tail.memory);
            let range = memory.clip(range);
            let split = memory.cached_from().clamp(range.start, range.end.max(range.start));
            let stored = range.start..split;
            let db = lock(&self.log.db).clone();
            let db = db.ok_or_else(|| io::Error::other("the log is closed"))?;
            let view = (!stored.is_empty()).then(|| db.begin_read());
            let cached = memory.cached(split..range.end).take(entries_max).cloned();
            (stored, view.transpose().map_err(io::Error::other)?, cached.collect::<Vec<_>>(), db)
        };
        let mut budget = ReadBudget { entries: entries_max, bytes: bytes_max, next: None };
        let mut entries = vec![];
        if let Some(view) = view {
            let shard = self.tail.shard.get();
            let table = view.open_table(ENTRIES).map_err(io::Error::other)?;
            let rows = table.range((shard, stored.start)..(shard, stored.end));
            for row in rows.map_err(io::Error::other)? {
                let (key, frame) = row.map_err(io::Error::other)?;
                let entry = unframe(shard, key.value().1, frame.value())?;
                if !budget.take(&entry)? {
                    return Ok(entries);
                }
                entries.push(entry);
            }
        }
        for entry in cached {
            if !budget.take(&entry)? {
                break;
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Returns a chunk of `range` and the rest of the range, if `leader` leads before and after: then the
    /// whole chunk was read under this leader.
    fn read_led(&self, leader: LeaderId, range: Range<u64>) -> Result<Option<Chunk>, LedReadError> {
        self.check_led(leader)?;
        let chunk = self.read(range.clone(), LOG_CHUNK_ENTRIES_MAX, LOG_CHUNK_BYTES_MAX)?;
        self.check_led(leader)?;
        let Some(last) = chunk.last() else { return Ok(None) };
        let rest = last.log_id.index + 1..range.end;
        Ok(Some((chunk, rest)))
    }

    fn check_led(&self, leader: LeaderId) -> Result<(), LedReadError> {
        let vote = lock(&self.tail.memory).vote;
        match vote.is_some_and(|vote| vote.leader_id == leader && vote.committed) {
            true => Ok(()),
            false => Err(LeaderChanged::new(leader, vote).into()),
        }
    }

    /// Streams the entries of `range`, reading a bounded chunk at a time.
    fn stream(
        &self,
        range: Range<u64>,
    ) -> impl Stream<Item = io::Result<RaftEntry>> + Send + use<> {
        let log = self.clone();
        let chunks = stream::try_unfold(range, move |range| {
            let chunk = log.read(range.clone(), LOG_CHUNK_ENTRIES_MAX, LOG_CHUNK_BYTES_MAX);
            std::future::ready(chunk.map(|chunk| {
                let next = chunk.last()?.log_id.index + 1;
                Some((stream::iter(chunk.into_iter().map(Ok)), next..range.end))
            }))
        });
        chunks.try_flatten()
    }
}

/// The room that is left in a chunk, and the index that must come next.
struct ReadBudget {
    entries: usize,
    bytes: usize,
    next: Option<u64>,
}

impl ReadBudget {
    /// Takes room for `entry`; returns false if the entry does not fit. The first one always fits.
    fn take(&mut self, entry: &RaftEntry) -> io::Result<bool> {
        let index = entry.log_id.index;
        if self.next.is_some_and(|next| next != index) {
            return Err(io::Error::other(format!("the raft log has a gap before entry i{index}")));
        }
        let bytes = cost(entry);
        let first = self.next.is_none();
        if !first && (self.entries == 0 || self.bytes < bytes) {
            return Ok(false);
        }
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.next = Some(index + 1);
        Ok(true)
    }
}

fn half_open(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start.saturating_add(1),
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end.saturating_add(1),
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}
