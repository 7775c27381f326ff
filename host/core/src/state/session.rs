//! Sessions: they make a repeated request harmless.
//!
//! ```text
//! sequence   1   2   3   4   5   6   7   8          window of session c1
//!            forgotten   |   kept outcomes   |
//!                      floor
//! ```
//!
//! A client opens a session through the log and numbers its requests. The state machine keeps each outcome
//! until the client acknowledges it. A repeat gets the kept outcome. A number at or below the floor gets a
//! typed refusal, never a second application. The window is bounded in count and bytes, sessions in number
//! and idle (entry) time. The log alone decides which sessions fall out, so all replicas agree.
//!
//! In memory; [`Sessions::take_changes`] gives the owner the changes to store with the batch.
//! Leaves out the proof of the owner's identity: the key of the connection gives it (`aspen-net`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::ids::{Caller, RequestId, SessionId, Timestamp};
use crate::limits::{SESSION_BYTES_MAX, SESSION_IDLE_MS, SESSION_WINDOW, SESSIONS_MAX};

/// The sessions of a shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sessions {
    by_id: BTreeMap<SessionId, Session>,
    by_age: BTreeSet<(Timestamp, SessionId)>,
    touched: BTreeSet<SessionId>,
    changes: Vec<SessionChange>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Session {
    owner: Caller,
    used: Timestamp,
    floor: u64,
    bytes: usize,
    outcomes: BTreeMap<u64, Bytes>,
}

/// A session without its outcomes, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionImage {
    pub session: SessionId,
    /// The client that opened the session; no other client may use it.
    pub owner: Caller,
    /// Entry time of its last request.
    pub used: Timestamp,
    /// The highest sequence number whose outcome is forgotten.
    pub floor: u64,
}

/// A change for the owner to store. Outcomes at or below a stored floor may be dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionChange {
    /// The session was opened or used, or its floor rose.
    Touched(SessionImage),
    /// An outcome is kept.
    Kept { session: SessionId, sequence: u64, outcome: Bytes },
    /// The session is closed: remove everything of it.
    Closed(SessionId),
}

/// A request, as its session knows it.
#[derive(Debug, PartialEq, Eq)]
pub enum RequestStatus {
    /// The request is new: apply it.
    New,
    /// The request was applied, with this outcome.
    Repeat(Bytes),
    /// The request is too old: its outcome is forgotten.
    Forgotten,
    /// The session does not exist, or is another client's.
    NoSession,
}

impl Sessions {
    /// Opens `session` for `owner` at entry time `now`. If there are too many, the session that is
    /// idle longest is closed.
    pub fn open(&mut self, session: SessionId, owner: Caller, now: Timestamp) {
        while self.by_id.len() >= SESSIONS_MAX
            && let Some(&(_, oldest)) = self.by_age.first()
        {
            self.close(oldest);
        }
        let fresh = Session { owner, used: now, floor: 0, bytes: 0, outcomes: BTreeMap::new() };
        let before = self.by_id.insert(session, fresh);
        assert!(before.is_none(), "session {session} opened twice");
        self.by_age.insert((now, session));
        self.touched.insert(session);
    }

    /// Closes the sessions that have been idle too long at entry time `now`.
    pub fn expire(&mut self, now: Timestamp) {
        while let Some(&(used, oldest)) = self.by_age.first()
            && now.since(used) > SESSION_IDLE_MS
        {
            self.close(oldest);
        }
    }

    /// Looks a request of `caller` up in its session.
    pub fn look(&self, request: &RequestId, caller: &Caller) -> RequestStatus {
        let session = self.by_id.get(&request.session).filter(|s| s.owner == *caller);
        let Some(session) = session else { return RequestStatus::NoSession };
        if request.sequence <= session.floor {
            return RequestStatus::Forgotten;
        }
        match session.outcomes.get(&request.sequence) {
            Some(outcome) => RequestStatus::Repeat(outcome.clone()),
            None => RequestStatus::New,
        }
    }

    /// Keeps the outcome of a new request. Forgets the outcomes that the client has, or that do not
    /// fit.
    pub fn keep(&mut self, request: &RequestId, now: Timestamp, outcome: Bytes) {
        let RequestId { session: id, sequence, acknowledged } = *request;
        let session = self.by_id.get_mut(&id).expect("look() found the session");
        debug_assert!(sequence > session.floor, "look() found it new");
        self.by_age.remove(&(session.used, id));
        self.by_age.insert((now, id));
        session.used = now;
        session.bytes += outcome.len();
        session.outcomes.insert(sequence, outcome.clone());
        // A client that acknowledges numbers it never used must not lift the floor above its own.
        session.forget_to(acknowledged.saturating_sub(1).min(sequence.saturating_sub(1)));
        while session.outcomes.len() > SESSION_WINDOW || session.bytes > SESSION_BYTES_MAX {
            let oldest = *session.outcomes.keys().next().expect("the window is not empty");
            session.forget_to(oldest);
        }
        self.touched.insert(id);
        self.changes.push(SessionChange::Kept { session: id, sequence, outcome });
    }

    /// Returns every session with its kept outcomes by sequence number, in order of ids.
    pub fn all(&self) -> impl Iterator<Item = (SessionImage, &BTreeMap<u64, Bytes>)> {
        self.by_id.iter().map(|(id, session)| (session.image(*id), &session.outcomes))
    }

    /// Returns the number of open sessions.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Takes the changes since the last time, in an order that can be stored as it is.
    pub fn take_changes(&mut self) -> Vec<SessionChange> {
        let touched = std::mem::take(&mut self.touched);
        let mut changes = std::mem::take(&mut self.changes);
        changes.extend(touched.into_iter().filter_map(|id| {
            let session = self.by_id.get(&id)?;
            Some(SessionChange::Touched(session.image(id)))
        }));
        changes
    }

    /// Restores a stored session; its outcomes follow.
    pub fn restore(&mut self, image: SessionImage) {
        let SessionImage { session, owner, used, floor } = image;
        let fresh = Session { owner, used, floor, bytes: 0, outcomes: BTreeMap::new() };
        self.by_id.insert(session, fresh);
        self.by_age.insert((used, session));
    }

    /// Restores a stored outcome. Drops it if it is at or below the floor, or if its session is
    /// closed.
    pub fn restore_outcome(&mut self, session: SessionId, sequence: u64, outcome: Bytes) {
        if let Some(session) = self.by_id.get_mut(&session).filter(|s| sequence > s.floor) {
            session.bytes += outcome.len();
            session.outcomes.insert(sequence, outcome);
        }
    }

    fn close(&mut self, id: SessionId) {
        if let Some(session) = self.by_id.remove(&id) {
            self.by_age.remove(&(session.used, id));
            self.changes.push(SessionChange::Closed(id));
        }
    }
}

impl Session {
    fn image(&self, session: SessionId) -> SessionImage {
        let Session { owner, used, floor, .. } = *self;
        SessionImage { session, owner, used, floor }
    }

    /// Raises the floor to `floor` and drops the outcomes up to it.
    fn forget_to(&mut self, floor: u64) {
        if floor <= self.floor {
            return;
        }
        self.floor = floor;
        while let Some(first) = self.outcomes.first_entry()
            && *first.key() <= floor
        {
            self.bytes -= first.remove().len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(sequence: u64, acknowledged: u64) -> RequestId {
        RequestId { session: SessionId::new(1), sequence, acknowledged }
    }

    fn open() -> Sessions {
        let mut sessions = Sessions::default();
        sessions.open(SessionId::new(1), Caller::LOCAL, Timestamp::new(0));
        sessions
    }

    #[test]
    fn repeat_gets_the_first_outcome_until_acknowledged() {
        let mut sessions = open();
        assert_eq!(sessions.look(&request(1, 0), &Caller::LOCAL), RequestStatus::New);
        sessions.keep(&request(1, 0), Timestamp::new(1), Bytes::from_static(b"one"));
        assert_eq!(
            sessions.look(&request(1, 0), &Caller::LOCAL),
            RequestStatus::Repeat(Bytes::from_static(b"one"))
        );
        sessions.keep(&request(2, 2), Timestamp::new(2), Bytes::from_static(b"two"));
        assert_eq!(sessions.look(&request(1, 0), &Caller::LOCAL), RequestStatus::Forgotten);
        assert_eq!(
            sessions.look(&request(2, 0), &Caller::LOCAL),
            RequestStatus::Repeat(Bytes::from_static(b"two"))
        );
    }

    #[test]
    fn window_is_bounded_and_never_applies_twice() {
        let mut sessions = open();
        for sequence in 1..=SESSION_WINDOW as u64 + 1 {
            sessions.keep(&request(sequence, 0), Timestamp::new(1), Bytes::from_static(b"x"));
        }
        assert_eq!(sessions.look(&request(1, 0), &Caller::LOCAL), RequestStatus::Forgotten);
        assert!(matches!(sessions.look(&request(2, 0), &Caller::LOCAL), RequestStatus::Repeat(_)));
        sessions.keep(&request(9_999, 0), Timestamp::new(1), vec![0; SESSION_BYTES_MAX].into());
        assert_eq!(sessions.look(&request(1_000, 0), &Caller::LOCAL), RequestStatus::Forgotten);
        assert!(matches!(
            sessions.look(&request(9_999, 0), &Caller::LOCAL),
            RequestStatus::Repeat(_)
        ));
    }

    #[test]
    fn acknowledging_the_future_forgets_only_the_past() {
        let mut sessions = open();
        sessions.keep(&request(5, u64::MAX), Timestamp::new(1), Bytes::from_static(b"five"));
        assert!(matches!(sessions.look(&request(5, 0), &Caller::LOCAL), RequestStatus::Repeat(_)));
        assert_eq!(sessions.look(&request(6, 0), &Caller::LOCAL), RequestStatus::New);
    }

    #[test]
    fn session_serves_its_owner_alone() {
        let sessions = open();
        assert_eq!(sessions.look(&request(1, 0), &Caller::new([1; 32])), RequestStatus::NoSession);
    }

    #[test]
    fn idle_sessions_close_by_entry_time() {
        let mut sessions = open();
        sessions.expire(Timestamp::new(SESSION_IDLE_MS));
        assert_eq!(sessions.len(), 1);
        sessions.expire(Timestamp::new(SESSION_IDLE_MS + 1));
        assert_eq!(sessions.look(&request(1, 0), &Caller::LOCAL), RequestStatus::NoSession);
    }

    #[test]
    fn longest_idle_session_gives_way_to_a_new_one() {
        let mut sessions = Sessions::default();
        for id in 1..=SESSIONS_MAX as u64 + 1 {
            sessions.open(SessionId::new(id), Caller::LOCAL, Timestamp::new(id));
        }
        assert_eq!(sessions.len(), SESSIONS_MAX);
        assert_eq!(sessions.look(&request(1, 0), &Caller::LOCAL), RequestStatus::NoSession);
    }

    #[test]
    fn stored_changes_restore_the_same_sessions() {
        let mut sessions = open();
        for sequence in 1..50 {
            let acknowledged = sequence / 2;
            let outcome = vec![sequence as u8; 3].into();
            sessions.keep(&request(sequence, acknowledged), Timestamp::new(sequence), outcome);
        }
        let changes = sessions.take_changes();
        let mut restored = Sessions::default();
        for change in &changes {
            if let SessionChange::Touched(image) = change {
                restored.restore(*image);
            }
        }
        for change in changes {
            if let SessionChange::Kept { session, sequence, outcome } = change {
                restored.restore_outcome(session, sequence, outcome);
            }
        }
        assert_eq!(restored, sessions);
    }
}
