//! A pause between attempts that doubles from one attempt to the next.
//!
//! Promises the same pauses for the same limits: first, 2 x first, 4 x first, ... up to the longest.
//! Leaves out sleeping and jitter: the caller draws the random part, so that a simulation sees each draw.

use std::time::Duration;

/// The pauses of one loop of attempts.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Begins with a pause of `first`. `first` is at most `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { next: first, longest }
    }

    /// Returns the next pause without taking it.
    pub const fn peek(&self) -> Duration {
        self.next
    }

    /// Takes the next pause; the one after it is twice as long, up to the longest.
    pub fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(12));
        assert_eq!(backoff.peek().as_millis(), 5);
        let pauses = [backoff.pause(), backoff.pause(), backoff.pause(), backoff.pause()];
        assert_eq!(pauses.map(|pause| pause.as_millis()), [5, 10, 12, 12]);
    }
}
