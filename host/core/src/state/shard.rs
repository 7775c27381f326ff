//! [`State`]: the state of one shard, as `apply` changes it.
//!
//! Two implementations live in this repository: memtables over SQLite (`aspen-store`) and a BTreeMap
//! ([`crate::state::Model`]). Tests hold them equal.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::ids::{ComponentHash, LeaseId, Name, ProfileId, Revision, SessionId, Timestamp};
use crate::key::Key;
use crate::state::resident::Resident;
use crate::view::{Alias, Components, HostError, Record, View};

/// A shard's few numbers, stored with every batch of entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    pub revision: Revision,
    /// Entry time: the highest stamp so far.
    pub clock: Timestamp,
    /// The chained digest of everything applied.
    pub digest: Digest,
    /// The session that was opened last.
    pub last_session: SessionId,
    /// The lease that was granted last.
    pub last_lease: LeaseId,
    /// The number of keys.
    pub keys: u64,
    /// The number of components, with the large ones.
    pub components: u64,
    /// The number that the last prepare got; see [`crate::two_phase::Vote`].
    pub last_prepare_id: u64,
    /// Prepares that are not finished. While there are any, reads ask [`crate::two_phase::Locks`]
    /// first.
    pub prepared: u64,
    /// The profile of the shard's functions.
    pub profile: ProfileId,
    /// The number of components of the large class.
    pub large_components: u64,
}

/// A shard's state, as `apply` changes it. The changes of a batch become visible to others, and
/// durable, all at once, when the owner commits the batch.
pub trait State: View + Components {
    /// Creates or replaces a record.
    fn set(&mut self, key: &Key, record: Record) -> Result<(), HostError>;

    /// Removes a record; it exists.
    fn remove(&mut self, key: &Key) -> Result<(), HostError>;

    /// Stores a component; storing it again changes nothing.
    fn set_component(&mut self, hash: &ComponentHash, bytes: &Bytes) -> Result<(), HostError>;

    /// Removes a component; it exists.
    fn remove_component(&mut self, hash: &ComponentHash) -> Result<(), HostError>;

    /// Stores an alias.
    fn set_alias(&mut self, name: &Name, alias: Arc<Alias>) -> Result<(), HostError>;

    /// Removes an alias; it exists.
    fn remove_alias(&mut self, name: &Name) -> Result<(), HostError>;

    fn header(&self) -> Header;

    fn set_header(&mut self, header: Header);

    /// Returns the parts in memory.
    fn resident(&self) -> &Resident;

    /// Returns the parts in memory, to be changed. The implementation stores the changes with the
    /// batch.
    fn resident_mut(&mut self) -> &mut Resident;

    /// Returns the state as a [`View`], for a function.
    fn view(&self) -> &dyn View;
}
