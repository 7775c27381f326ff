//! A pause that doubles up to a limit.
//!
//! Promises the same sequence of pauses each time. Two that met at one moment may meet again, so
//! [`Backoff::wait_random`] waits for a random part of the pause: one of them goes first.

use std::time::Duration;

use tokio::time::sleep;

/// A pause between two tries.
pub struct Backoff {
    pause: Duration,
    longest: Duration,
}

impl Backoff {
    /// Begins with a pause of `first`; no pause is longer than `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { pause: first, longest }
    }

    /// Waits for the pause, then doubles the pause.
    pub async fn wait(&mut self) {
        sleep(self.pause).await;
        self.double();
    }

    /// Waits for a random part of the pause, then doubles the pause.
    pub async fn wait_random(&mut self) {
        sleep(self.pause.mul_f64(rand::random_range(0.0..1.0))).await;
        self.double();
    }

    fn double(&mut self) {
        self.pause = (2 * self.pause).min(self.longest);
    }
}
