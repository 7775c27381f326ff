//! What `apply` sees of a shard: [`View`] to read, [`State`] to write.
//!
//! Two implementations live in this repository: SQLite (`aspen-store`) and a BTreeMap
//! ([`crate::Model`]); tests hold them equal. An error from either is a fault of this machine: the
//! replica stops, because going on would give another answer than its peers gave.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use snafu::Snafu;

use crate::digest::Digest;
use crate::ids::{
    Caller, ComponentHash, LeaseId, Name, ProfileId, Revision, SessionId, Timestamp, Version,
};
use crate::key::{Key, KeyRange, Value};
use crate::lease::{LeaseChange, Leases};
use crate::locks::{LockChange, Locks};
use crate::route::tag;
use crate::schedule::{ScheduleChange, Schedules};
use crate::session::{SessionChange, Sessions};
use crate::tombstone::{TombstoneChange, Tombstones};
use crate::uploads::{UploadChange, Uploads};

/// A value with its history in three numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The value.
    pub value: Value,
    /// Writes since the key was created.
    pub version: Version,
    /// The revision that created it.
    pub create_revision: Revision,
    /// The revision that last wrote it.
    pub mod_revision: Revision,
    /// The lease that it goes with, if any.
    pub lease: LeaseId,
}

/// A name of components: what it points to, and what it pointed to before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The last is what it points to. At least one, at most [`crate::limits::ALIAS_HISTORY_MAX`].
    pub history: Vec<Pointed>,
    /// A second component that gets a share of the calls.
    pub canary: Option<Canary>,
}

/// A share of a name's calls goes to another component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// The component, and who decided so.
    pub pointed: Pointed,
    /// Of a hundred tags of keys, how many; above 100 as 100.
    pub percent: u8,
}

/// Where among 100 places the tag of a key is for a canary of this name: another place than for other
/// names, and one that says nothing of the shard.
fn canary_place(name: &Name, key: &Key) -> u8 {
    let of_name = seahash::hash(name.as_str().as_bytes());
    // The other seeds are those of SeaHash's reference implementation.
    let (b, c, d) = (0xb480_a793_d8e6_c86c, 0x6fe2_e5aa_f078_ebc9, 0x14f9_94a4_c525_9381);
    (seahash::hash_seeded(tag(key.as_bytes()), of_name, b, c, d) % 100) as u8
}

/// A name was pointed to a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointed {
    /// The component.
    pub component: ComponentHash,
    /// Entry time.
    pub time: Timestamp,
    /// Who did it.
    pub caller: Caller,
}

impl Alias {
    /// What it points to.
    pub fn now(&self) -> &Pointed {
        self.history.last().expect("a name always points to something")
    }

    /// What a call with this key means. All keys with one tag get the same.
    pub fn of(&self, name: &Name, key: &Key) -> ComponentHash {
        match &self.canary {
            Some(canary) if canary_place(name, key) < canary.percent => canary.pointed.component,
            _ => self.now().component,
        }
    }

    /// What it points to, pointed to, or sends calls to; some may come more than once.
    pub fn components(&self) -> impl Iterator<Item = &ComponentHash> {
        let canary = self.canary.iter().map(|canary| &canary.pointed.component);
        self.history.iter().map(|pointed| &pointed.component).chain(canary)
    }

    /// Whether it is one of [`Self::components`].
    pub fn mentions(&self, component: &ComponentHash) -> bool {
        self.components().any(|mentioned| mentioned == component)
    }
}

/// A shard's few numbers, written with every batch of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Commits so far.
    pub revision: Revision,
    /// Entry time: the highest stamp so far.
    pub clock: Timestamp,
    /// The chained digest of everything applied.
    pub digest: Digest,
    /// The session opened last.
    pub last_session: SessionId,
    /// The lease granted last.
    pub last_lease: LeaseId,
    /// Keys stored.
    pub keys: u64,
    /// Components stored, the large ones included.
    pub components: u64,
    /// The ticket given last to a prepare.
    pub last_ticket: u64,
    /// Prepares that are not finished: while there are any, reads ask [`Locks`] first.
    pub prepared: u64,
    /// How functions run.
    pub profile: ProfileId,
    /// Components of the large class.
    pub large_components: u64,
}

/// The parts of a shard's state that live in memory whole; their owner stores their changes with
/// each batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resident {
    /// Who asked what, and what was answered.
    pub sessions: Sessions,
    /// What expires.
    pub leases: Leases,
    /// What was removed lately.
    pub tombstones: Tombstones,
    /// What transactions across shards hold.
    pub locks: Locks,
    /// Calls to be made.
    pub schedules: Schedules,
    /// What is being uploaded in parts.
    pub uploads: Uploads,
}

/// What the parts in memory changed, to be stored.
#[derive(Clone, Debug, Default)]
pub struct ResidentChanges {
    /// Of the sessions.
    pub sessions: Vec<SessionChange>,
    /// Of the leases.
    pub leases: Vec<LeaseChange>,
    /// Of the tombstones.
    pub tombstones: Vec<TombstoneChange>,
    /// [`Tombstones::horizon`].
    pub horizon: Revision,
    /// Of the locks.
    pub locks: Vec<LockChange>,
    /// Of the schedules.
    pub schedules: Vec<ScheduleChange>,
    /// Of the uploads.
    pub uploads: Vec<UploadChange>,
}

impl Resident {
    /// What changed since the last time.
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

    /// Entry time from which on a [`crate::Command::Tick`] has something to do.
    pub fn next_due(&self) -> Option<Timestamp> {
        let Resident { leases, schedules, uploads, .. } = self;
        let due = [leases.next_due(), schedules.next_due(), uploads.next_due()];
        due.into_iter().flatten().min()
    }
}

/// This machine failed: a disk, a damaged file, a bug of ours. Never a guest's doing.
#[derive(Debug, Snafu)]
#[snafu(display("{what} failed"))]
pub struct Fault {
    /// What was tried.
    pub what: &'static str,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Fault {
    /// Wraps the cause.
    pub fn new(
        what: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { what, source: source.into() }
    }
}

/// A shard's keys at one revision.
pub trait View {
    /// The record of a key.
    fn get(&self, key: &Key) -> Result<Option<Record>, Fault>;

    /// Calls `visit` with the records of `range`, in order of keys (or against it), until it says
    /// `false` or the range ends. Nothing is collected, so the caller bounds the cost.
    fn scan(
        &self,
        range: &KeyRange,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], Record) -> bool,
    ) -> Result<(), Fault>;

    /// A component's bytes.
    fn component(&self, hash: &ComponentHash) -> Result<Option<Bytes>, Fault>;

    /// Whether a component is there, without its bytes.
    fn has_component(&self, hash: &ComponentHash) -> Result<bool, Fault> {
        Ok(self.component(hash)?.is_some())
    }

    /// What a name points to.
    fn alias(&self, name: &Name) -> Result<Option<Arc<Alias>>, Fault>;

    /// All names in order.
    fn aliases(&self) -> Result<Vec<(Name, Arc<Alias>)>, Fault>;
}

/// A shard's state, as `apply` changes it. Changes become visible to others, and durable, all at
/// once when the owner commits the batch.
pub trait State: View {
    /// Creates or replaces.
    fn set(&mut self, key: &Key, record: Record) -> Result<(), Fault>;

    /// Removes; the key exists.
    fn remove(&mut self, key: &Key) -> Result<(), Fault>;

    /// Stores a component; storing it again changes nothing.
    fn set_component(&mut self, hash: &ComponentHash, bytes: &Bytes) -> Result<(), Fault>;

    /// Removes a component; it exists.
    fn remove_component(&mut self, hash: &ComponentHash) -> Result<(), Fault>;

    /// Stores what a name points to and pointed to.
    fn set_alias(&mut self, name: &Name, alias: Arc<Alias>) -> Result<(), Fault>;

    /// Removes a name; it exists.
    fn remove_alias(&mut self, name: &Name) -> Result<(), Fault>;

    /// The numbers.
    fn header(&self) -> Header;

    /// Replaces the numbers.
    fn set_header(&mut self, header: Header);

    /// What lives in memory.
    fn resident(&self) -> &Resident;

    /// What lives in memory, to be changed; the implementation stores the changes with the batch.
    fn resident_mut(&mut self) -> &mut Resident;

    /// As a [`View`], for a function call.
    fn view(&self) -> &dyn View;
}
