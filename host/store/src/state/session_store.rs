//! The sessions of a shard on disk: a row per session, and the outcomes of a flush in few rows.
//!
//! ```text
//! oldest row                                          newest row
//! | flush 1 | flush 2 | ... | flush 90 | + outcomes of this flush, and those of the oldest rows
//!   deleted   deleted                     that a client may still ask for
//! ```
//!
//! Promises that the loaded sessions equal those that were stored. A row per outcome would
//! touch as many pages as there are sessions; this way a flush appends. For every byte
//! written two are cleaned up, so the rows take at most about twice the bytes that are still needed, plus
//! [`UNCLEANED_OUTCOME_BYTES`].

use std::collections::BTreeMap;

use aspen_core::ids::{Caller, SessionId, Timestamp};
use aspen_core::state::{SessionChange, SessionImage, Sessions};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension};

use super::checksum::{compare, number, sum};
use super::error::StateFileError;
use crate::limits::{OUTCOME_ROW_BYTES, UNCLEANED_OUTCOME_BYTES};

/// Session, sequence number, encoded outcome.
type KeptOutcome = (SessionId, u64, Bytes);

/// The memory that is needed to store changes.
#[derive(Debug, Default)]
pub struct SessionStore {
    /// Per open session: outcomes up to this sequence number are forgotten.
    floors: BTreeMap<SessionId, u64>,
    /// Length of all rows of outcomes.
    bytes: usize,
}

impl SessionStore {
    /// Reads all sessions.
    pub fn load(db: &Connection) -> Result<(Self, Sessions), StateFileError> {
        let (mut store, mut sessions) = (Self::default(), Sessions::default());
        let mut statement =
            db.prepare("SELECT id, owner, used, floor, sum FROM session ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let image = SessionImage {
                session: SessionId::new(number(row, 0)?),
                owner: Caller::new(row.get(1)?),
                used: Timestamp::new(number(row, 2)?),
                floor: number(row, 3)?,
            };
            compare(row, 4, &session_sum(&image))?;
            store.floors.insert(image.session, image.floor);
            sessions.restore(image);
        }
        let mut statement = db.prepare("SELECT outcomes, sum FROM outcome ORDER BY id")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let bytes = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
            compare(row, 1, &sum(&[bytes], &[]))?;
            store.bytes += bytes.len();
            for (session, sequence, outcome) in decode(bytes)? {
                sessions.restore_outcome(session, sequence, outcome);
            }
        }
        Ok((store, sessions))
    }

    /// Writes the changes of a flush, inside its transaction. An outcome that was forgotten before the
    /// flush is not written at all.
    pub fn store(
        &mut self,
        db: &Connection,
        changes: &[SessionChange],
    ) -> Result<(), StateFileError> {
        let mut kept: Vec<KeptOutcome> = vec![];
        for change in changes {
            match change {
                SessionChange::Touched(image) => self.touch(db, image)?,
                SessionChange::Kept { session, sequence, outcome } => {
                    kept.push((*session, *sequence, outcome.clone()));
                }
                SessionChange::Closed(session) => {
                    self.floors.remove(session);
                    let mut statement = db.prepare_cached("DELETE FROM session WHERE id = ?1")?;
                    statement.execute([session.get().cast_signed()])?;
                }
            }
        }
        kept.retain(|kept| self.is_needed(kept));
        let fresh: usize = kept.iter().map(|(_, _, outcome)| outcome.len()).sum();
        if self.bytes > UNCLEANED_OUTCOME_BYTES {
            self.clean(db, 2 * fresh, &mut kept)?;
        }
        self.append(db, kept)
    }

    fn touch(&mut self, db: &Connection, image: &SessionImage) -> Result<(), rusqlite::Error> {
        let SessionImage { session, owner, used, floor } = image;
        self.floors.insert(*session, *floor);
        let sql = "INSERT OR REPLACE INTO session VALUES (?1, ?2, ?3, ?4, ?5)";
        db.prepare_cached(sql)?.execute((
            session.get().cast_signed(),
            owner.as_bytes(),
            used.get().cast_signed(),
            floor.cast_signed(),
            session_sum(image),
        ))?;
        Ok(())
    }

    /// Deletes the oldest rows, at least `target` bytes of them if so many exist, and adds their outcomes
    /// that are still needed to `kept`.
    fn clean(
        &mut self,
        db: &Connection,
        target: usize,
        kept: &mut Vec<KeptOutcome>,
    ) -> Result<(), StateFileError> {
        let mut cleaned = 0;
        while cleaned < target {
            let sql = "SELECT id, outcomes FROM outcome ORDER BY id LIMIT 1";
            let mut oldest = db.prepare_cached(sql)?;
            let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
            let oldest: Option<(i64, Vec<u8>)> = oldest.query_row([], read).optional()?;
            let Some((id, bytes)) = oldest else { break };
            kept.extend(decode(&bytes)?.into_iter().filter(|kept| self.is_needed(kept)));
            db.prepare_cached("DELETE FROM outcome WHERE id = ?1")?.execute([id])?;
            cleaned += bytes.len();
            self.bytes -= bytes.len();
        }
        Ok(())
    }

    /// Returns true if a client may still ask for this outcome.
    fn is_needed(&self, (session, sequence, _): &KeptOutcome) -> bool {
        self.floors.get(session).is_some_and(|floor| sequence > floor)
    }

    fn append(&mut self, db: &Connection, kept: Vec<KeptOutcome>) -> Result<(), StateFileError> {
        let mut row = vec![];
        let mut room = OUTCOME_ROW_BYTES;
        let mut kept = kept.into_iter().peekable();
        while let Some(outcome) = kept.next() {
            room = room.saturating_sub(outcome.2.len());
            row.push(outcome);
            if room == 0 || kept.peek().is_none() {
                let bytes = aspen_core::codec::encode(&row);
                let sql = "INSERT INTO outcome (outcomes, sum) VALUES (?1, ?2)";
                db.prepare_cached(sql)?.execute((&bytes[..], sum(&[&bytes], &[])))?;
                self.bytes += bytes.len();
                (row, room) = (vec![], OUTCOME_ROW_BYTES);
            }
        }
        Ok(())
    }
}

fn session_sum(image: &SessionImage) -> i64 {
    let SessionImage { session, owner, used, floor } = image;
    sum(&[owner.as_bytes()], &[session.get(), used.get(), *floor])
}

fn decode(row: &[u8]) -> Result<Vec<KeptOutcome>, StateFileError> {
    aspen_core::codec::decode(row).ok().ok_or(StateFileError::Content { what: "a row of outcomes" })
}

#[cfg(test)]
mod tests {
    use aspen_core::ids::RequestId;

    use super::*;
    use crate::state::schema;

    #[test]
    fn storage_sessions_load_as_stored_and_forgotten_outcomes_are_cleaned_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.db");
        schema::create(&path, &schema::tests::OWNER).unwrap();
        let db = schema::open(&path).unwrap();
        let (mut store, mut sessions) = SessionStore::load(&db).unwrap();
        for id in 1..=3 {
            sessions.open(SessionId::new(id), Caller::LOCAL, Timestamp::new(1));
        }
        let mut largest = 0;
        for sequence in 1..=3_000 {
            // The first session never acknowledges, the second does, the third acts once.
            for (id, acknowledged) in [(1, 0), (2, sequence), (3, 0)] {
                if id == 3 && sequence > 1 {
                    continue;
                }
                let session = SessionId::new(id);
                let request = RequestId { session, sequence, acknowledged };
                let outcome = Bytes::from(vec![id as u8; 2_500]);
                sessions.keep(&request, Timestamp::new(sequence), outcome);
            }
            store.store(&db, &sessions.take_changes()).unwrap();
            largest = largest.max(store.bytes);
        }
        let (loaded_store, loaded) = SessionStore::load(&db).unwrap();
        assert_eq!(loaded, sessions);
        assert_eq!(loaded_store.bytes, store.bytes);
        assert_eq!(loaded_store.floors, store.floors);
        let needed = 1_025 * 2_550;
        assert!(largest < 2 * needed + UNCLEANED_OUTCOME_BYTES + 100_000, "{largest}");
        assert!(largest > UNCLEANED_OUTCOME_BYTES, "cleaning began");
    }
}
