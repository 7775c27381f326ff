//! The rate of a replica: how many entries it applied each second, lately.
//!
//! Promises a figure over the last [`RATE_WINDOW`] that costs an idle replica next to nothing: the
//! node notes the last applied entry of each replica now and then, and the rate is the slope.
//! Entries that came with a snapshot count as applied.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::RATE_WINDOW;

/// The last applied entries, and when each was noted.
#[derive(Debug, Default)]
pub struct Rate(Mutex<VecDeque<(Instant, u64)>>);

impl Rate {
    /// Notes that entry `applied` is the last applied one.
    pub fn note(&self, now: Instant, applied: u64) {
        let mut notes = self.0.lock().expect("no panic under the lock");
        let is_old = |(at, _): &(Instant, u64)| now.duration_since(*at) > RATE_WINDOW;
        while notes.front().is_some_and(is_old) {
            notes.pop_front();
        }
        notes.push_back((now, applied));
    }

    /// Returns the entries applied each second from the oldest note to now, rounded down; 0 without
    /// a note.
    pub fn per_second(&self, now: Instant, applied: u64) -> u64 {
        let notes = self.0.lock().expect("no panic under the lock");
        let Some((since, before)) = notes.front() else { return 0 };
        let passed = now.duration_since(*since).max(Duration::from_millis(1));
        applied.saturating_sub(*before) * 1000 / passed.as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_that_of_the_last_seconds() {
        let (rate, start) = (Rate::default(), Instant::now());
        let at = |second: u64| start + Duration::from_secs(second);
        assert_eq!(rate.per_second(at(0), 700), 0, "nothing is known yet");
        (0..=4).for_each(|second| rate.note(at(second), 700 + 100 * second));
        assert_eq!(rate.per_second(at(4), 1100), 100);
        // Nothing more is applied: the old notes go.
        (5..=20).for_each(|second| rate.note(at(second), 1100));
        assert_eq!(rate.per_second(at(20), 1100), 0);
        assert_eq!(rate.0.lock().unwrap().len() as u64, RATE_WINDOW.as_secs() + 1);
    }
}
