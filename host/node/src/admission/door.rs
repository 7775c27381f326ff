//! A door that heavy calls pass a few at a time.
//!
//! Promises that after a heavy call the door stays closed for [`HEAVY_REST`] times the time of the
//! call, as long as other work is asked for. Time is passed in.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{ALONE_AFTER, ALONE_PLACES, HEAVY_REST, HEAVY_REST_MAX};

/// A door of one shard's apply, of the background threads, or of the node.
pub struct Door {
    /// Heavy calls that may be inside at a time, while there is other work.
    pub places: usize,
    /// Heavy calls that are inside.
    pub inside: usize,
    /// The time when the last heavy call entered.
    entered: Option<Instant>,
    /// The time when other work was last asked for.
    pub other: Option<Instant>,
    /// Counts only if other work was asked for since the last heavy call entered.
    pub closed_until: Option<Instant>,
}

impl Door {
    /// An open door with room for `places` heavy calls.
    pub fn new(places: usize) -> Self {
        Self { places, inside: 0, entered: None, other: None, closed_until: None }
    }

    /// Returns true if a heavy call may enter.
    pub fn is_open(&self, now: Instant) -> bool {
        let is_alone = self.other.is_none_or(|at| now >= at + ALONE_AFTER);
        let places = if is_alone { self.places * ALONE_PLACES } else { self.places };
        self.inside < places && !(self.is_wanted() && self.closed_until > Some(now))
    }

    /// Returns true if other work was asked for since the last heavy call entered.
    fn is_wanted(&self) -> bool {
        self.other.is_some() && self.other >= self.entered
    }

    /// Lets a heavy call in.
    pub fn enter(&mut self, now: Instant) {
        self.inside += 1;
        self.entered = Some(now);
    }

    /// Keeps the door closed to pay back the time of a heavy call.
    pub fn charge(&mut self, now: Instant, took: Duration) {
        let begin = self.closed_until.map_or(now, |until| until.max(now));
        let rest = took * HEAVY_REST / self.places as u32;
        self.closed_until = Some((begin + rest).min(now + HEAVY_REST_MAX));
    }

    /// Returns when the door lets more calls in, should nothing else happen.
    pub fn opens(&self, now: Instant) -> Option<Instant> {
        let closed = self.closed_until.filter(|_| self.is_wanted());
        let alone = self.other.map(|at| at + ALONE_AFTER);
        closed.into_iter().chain(alone).filter(|at| *at > now).min()
    }
}
