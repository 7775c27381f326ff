//! [`Resident`]: the parts of a shard's state that are in memory as a whole.
//!
//! Six parts: sessions, leases, tombstones, locks, schedules, uploads. Each collects its changes;
//! [`Resident::take_changes`] gives them to the owner, who stores them with the batch.

use crate::ids::{Revision, Timestamp};
use crate::state::lease::{LeaseChange, Leases};
use crate::state::schedule::{ScheduleChange, Schedules};
use crate::state::session::{SessionChange, Sessions};
use crate::state::tombstone::{TombstoneChange, Tombstones};
use crate::state::upload::{UploadChange, Uploads};
use crate::two_phase::{LockChange, Locks};

/// The parts of a shard's state that are in memory as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Requests and their outcomes.
    pub sessions: Sessions,
    /// Keys that expire.
    pub leases: Leases,
    /// Keys that were removed lately.
    pub tombstones: Tombstones,
    /// Keys that transactions across shards hold.
    pub locks: Locks,
    /// Calls that the shard makes later.
    pub schedules: Schedules,
    /// Components on their way in.
    pub uploads: Uploads,
}

/// The changes of all parts, to be stored with the batch.
#[derive(Clone, Debug, Default)]
pub struct ResidentChanges {
    pub sessions: Vec<SessionChange>,
    pub leases: Vec<LeaseChange>,
    pub tombstones: Vec<TombstoneChange>,
    /// [`Tombstones::horizon`].
    pub horizon: Revision,
    pub locks: Vec<LockChange>,
    pub schedules: Vec<ScheduleChange>,
    pub uploads: Vec<UploadChange>,
}

impl Resident {
    /// Takes the changes since the last time.
    pub fn take_changes(&mut self) -> ResidentChanges {
        ResidentChanges {
            sessions: self.sessions.take_changes(),
            leases: self.leases.take_changes(),
            tombstones: self.tombstones.take_changes(),
            horizon: self.tombstones.horizon(),
            locks: self.locks.take_changes(),
            schedules: self.schedules.take_changes(),
            uploads: self.uploads.take_changes(),
        }
    }

    /// Returns the entry time from which on a [`crate::protocol::Command::Tick`] has something to
    /// do.
    pub fn next_due(&self) -> Option<Timestamp> {
        let Resident { leases, schedules, uploads, .. } = self;
        let due = [leases.next_due(), schedules.next_due(), uploads.next_due()];
        due.into_iter().flatten().min()
    }
}
