//! A stale read is not older than its bound.

use std::collections::VecDeque;
use std::time::Duration;

use madsim::time::Instant;

/// The moments at which one client's writes of rising numbers were acknowledged.
#[derive(Debug, Default)]
pub struct Acknowledged {
    writes: VecDeque<(Instant, u64)>,
}

impl Acknowledged {
    /// `number` is acknowledged now.
    pub fn note(&mut self, number: u64) {
        self.writes.push_back((Instant::now(), number));
    }

    /// A read that began at `begun`, with an answer that may be `bound` old, found `number`.
    ///
    /// # Panics
    /// If it is older.
    pub fn check(&self, begun: Instant, bound: Duration, number: u64) {
        let is_due = |(at, _): &&(Instant, u64)| *at + bound < begun;
        let due = self.writes.iter().rev().find(is_due).map_or(0, |(_, number)| *number);
        assert!(number >= due, "staleness: read {number}, but {due} is older than {bound:?}");
    }
}
