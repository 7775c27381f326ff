//! The faults of the simulated network beyond those of madsim, which loses and delays messages.
//!
//! madsim delays each message for itself, so messages overtake each other. Here single links are slow, and
//! requests arrive twice. Cut links are madsim's too (`faults.rs`).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The conditions, as of now. A clone is another handle.
#[derive(Clone, Debug, Default)]
pub struct Network(Arc<Mutex<Conditions>>);

#[derive(Debug, Default)]
struct Conditions {
    duplicates: f64,
    slow: BTreeMap<(IpAddr, IpAddr), Duration>,
}

impl Network {
    /// Returns a network in which this share of requests arrives twice.
    pub fn new(duplicates: f64) -> Network {
        Network(Arc::new(Mutex::new(Conditions { duplicates, slow: BTreeMap::new() })))
    }

    /// Decides by chance if the next request arrives twice.
    pub fn duplicates(&self) -> bool {
        let share = self.lock().duplicates;
        share > 0.0 && rand::random_bool(share)
    }

    /// Lets messages from one machine to the other take this much longer from now on.
    pub fn slow_down(&self, from: IpAddr, to: IpAddr, delay: Duration) {
        self.lock().slow.insert((from, to), delay);
    }

    /// Makes every link fast again.
    pub fn speed_up(&self) {
        self.lock().slow.clear();
    }

    /// Returns the time by which a message takes longer.
    pub fn delay(&self, from: IpAddr, to: IpAddr) -> Duration {
        self.lock().slow.get(&(from, to)).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Conditions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
