//! The client's side of a session: numbers for requests, and the outcomes that may be forgotten.
//!
//! Promises that numbers in flight span no more than the state machine remembers, so that no
//! outcome is lost while it is wanted. A request that its caller gave up holds no number.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use aspen_core::ids::{RequestId, SessionId};
use aspen_core::limits::SESSION_WINDOW;
use tokio::sync::Notify;

/// One session on one shard.
pub struct Session {
    id: SessionId,
    state: Mutex<State>,
    room: Notify,
}

struct State {
    next: u64,
    in_flight: BTreeSet<u64>,
}

/// A number in use; dropping it says that the outcome is no longer wanted.
pub struct RequestSlot {
    session: Arc<Session>,
    sequence: u64,
}

impl Session {
    /// Wraps a session that the state machine opened.
    pub fn new(id: SessionId) -> Arc<Self> {
        let state = State { next: 1, in_flight: BTreeSet::new() };
        Arc::new(Self { id, state: Mutex::new(state), room: Notify::new() })
    }

    /// Takes the next number; waits while too many are in flight.
    pub async fn slot(self: &Arc<Self>) -> RequestSlot {
        loop {
            let room = self.room.notified();
            if let Some(sequence) = self.try_take() {
                return RequestSlot { session: self.clone(), sequence };
            }
            room.await;
        }
    }

    fn try_take(&self) -> Option<u64> {
        let mut state = self.lock();
        let first = state.in_flight.first().copied().unwrap_or(state.next);
        if state.next - first >= SESSION_WINDOW as u64 {
            return None;
        }
        let sequence = state.next;
        state.next += 1;
        state.in_flight.insert(sequence);
        Some(sequence)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic while the lock is held")
    }
}

impl RequestSlot {
    /// Returns the request id to send, with the outcomes that may be forgotten as of now.
    pub fn request(&self) -> RequestId {
        let state = self.session.lock();
        let acknowledged = state.in_flight.first().copied().unwrap_or(state.next);
        RequestId { session: self.session.id, sequence: self.sequence, acknowledged }
    }
}

impl Drop for RequestSlot {
    fn drop(&mut self) {
        self.session.lock().in_flight.remove(&self.sequence);
        self.session.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn numbers_in_flight_never_span_more_than_the_window() {
        let session = Session::new(SessionId::new(1));
        let first = session.slot().await;
        let mut rest = vec![];
        for _ in 1..SESSION_WINDOW {
            rest.push(session.slot().await);
        }
        assert!(session.try_take().is_none());
        rest.clear();
        assert!(session.try_take().is_none(), "the first is still wanted");
        assert_eq!(first.request().acknowledged, 1);
        drop(first);
        let next = session.slot().await;
        assert_eq!(next.request().sequence, SESSION_WINDOW as u64 + 1);
        assert_eq!(next.request().acknowledged, SESSION_WINDOW as u64 + 1);
    }
}
