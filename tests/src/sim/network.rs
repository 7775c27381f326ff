//! What the network between simulated machines does beyond losing and delaying messages.
//!
//! madsim loses and delays them, each for itself, so they overtake each other; here single links are
//! slow and requests arrive twice. Cut links are madsim's too (`faults.rs`).

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
    /// A network in which this share of requests arrives twice.
    pub fn new(duplicates: f64) -> Network {
        Network(Arc::new(Mutex::new(Conditions { duplicates, slow: BTreeMap::new() })))
    }

    /// Whether the next request arrives twice.
    pub fn duplicates(&self) -> bool {
        let share = self.lock().duplicates;
        share > 0.0 && rand::random_bool(share)
    }

    /// From now on messages from one machine to the other take so much longer.
    pub fn slow_down(&self, from: IpAddr, to: IpAddr, delay: Duration) {
        self.lock().slow.insert((from, to), delay);
    }

    /// No link is slow any more.
    pub fn speed_up(&self) {
        self.lock().slow.clear();
    }

    /// How much longer a message takes.
    pub fn delay(&self, from: IpAddr, to: IpAddr) -> Duration {
        self.lock().slow.get(&(from, to)).copied().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Conditions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
