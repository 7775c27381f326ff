//! A shard's state as `apply` changes it: writes go to memory, reads come from memory or the file.
//!
//! Promises that a batch of entries becomes visible all at once, and that nothing here writes to a
//! disk. The Raft log is the durability: entries that no flush ([`BufferedState::flush`]) has written
//! to the file are applied again after a crash.
//!
//! After an error the half-done batch is given up with the state itself: memory (header, sessions)
//! is then ahead of the published state and must not be used, nor flushed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aspen_core::digest::Digest;
use aspen_core::ids::{ComponentHash, Name};
use aspen_core::key::{Key, KeyRange};
use aspen_core::state::{Header, Resident, State};
use aspen_core::view::{Alias, AliasTarget, Components, HostError, Record, View};
use bytes::Bytes;
use rusqlite::Connection;

use super::live_state::LiveState;
use super::overlay::{OverlayView, find};
use crate::limits::{ALIAS_CACHE_MAX, BATCH_CACHE_BYTES_MAX, RECORD_OVERHEAD_BYTES};
use crate::memtable::{Memtable, Memtables};
use crate::state::{self, Flush, Progress, SqliteState, SqliteView, StateFileError};
use crate::sync::lock;
use crate::types::{LogId, StoredMembership};

/// The state of one shard, open for apply.
pub struct BufferedState {
    live: Arc<Mutex<LiveState>>,
    /// Reads the file. In a transaction during a batch that reads it.
    db: Connection,
    is_reading: Cell<bool>,
    batch: Memtable,
    /// The digest after each entry of the batch.
    digests: Vec<(u64, Digest)>,
    /// The memtables under the batch.
    below: Memtables,
    /// Records that this batch read from the file: a function reads a key, then the commit does.
    read: RefCell<ReadCache>,
    /// Aliases as of this batch.
    names: RefCell<BTreeMap<Name, Arc<Alias>>>,
    progress: Progress,
    membership: StoredMembership,
    resident: Resident,
    unwritten_bytes: usize,
}

#[derive(Default)]
struct ReadCache {
    records: BTreeMap<Key, Option<Record>>,
    bytes: usize,
}

impl BufferedState {
    /// Opens the state that `file` holds.
    pub fn new(
        file: &mut SqliteState,
        live: Arc<Mutex<LiveState>>,
    ) -> Result<Self, StateFileError> {
        Ok(Self {
            live,
            db: state::open_for_apply(file.path())?,
            is_reading: Cell::default(),
            batch: Memtable::default(),
            digests: vec![],
            below: Memtables::default(),
            read: RefCell::default(),
            names: RefCell::default(),
            progress: file.progress(),
            membership: file.membership().clone(),
            resident: file.take_resident(),
            unwritten_bytes: 0,
        })
    }

    /// Returns the last applied entry.
    pub fn applied(&self) -> Option<LogId> {
        self.progress.applied
    }

    /// Returns the members as of the last applied entry.
    pub fn membership(&self) -> &StoredMembership {
        &self.membership
    }

    /// Returns the bytes of memory of the writes that were applied and not handed to a flush.
    pub fn unwritten_bytes(&self) -> usize {
        self.unwritten_bytes
    }

    /// Starts a batch.
    pub fn begin(&mut self) {
        self.below = lock(&self.live).memtables();
    }

    /// Notes that `log_id` is applied, with the members that the entry set, if any, and the length of its
    /// kept outcome.
    pub fn advance(
        &mut self,
        log_id: LogId,
        membership: Option<StoredMembership>,
        outcome_bytes: usize,
    ) {
        self.progress.applied = Some(log_id);
        self.digests.push((log_id.index, self.progress.header.digest));
        self.unwritten_bytes += outcome_bytes + RECORD_OVERHEAD_BYTES;
        if let Some(membership) = membership {
            self.membership = membership;
        }
    }

    /// Ends a batch: its changes become visible.
    pub fn commit(&mut self) -> Result<(), HostError> {
        self.read.take();
        if self.is_reading.take() {
            let end = self.db.prepare_cached("COMMIT").and_then(|mut end| end.execute([]));
            end.map_err(|error| HostError::new("ending a batch", error))?;
        }
        // The newest memtable is not shared any more, so it takes the batch in without a copy.
        self.below = Memtables::default();
        let next_due = self.resident.next_due();
        let (batch, digests) = (std::mem::take(&mut self.batch), self.digests.drain(..));
        lock(&self.live).commit(batch, digests, self.progress, next_due);
        Ok(())
    }

    /// Hands out everything that no flush has written yet, between two batches.
    pub fn flush(&mut self) -> Flush {
        assert!(self.batch.is_empty(), "a flush holds whole batches");
        self.unwritten_bytes = 0;
        Flush {
            memtables: lock(&self.live).begin_flush(),
            resident: self.resident.take_changes(),
            progress: self.progress,
            membership: self.membership.clone(),
        }
    }

    /// Returns the file, in a transaction that began after this batch did: it holds the state below the
    /// memtables.
    fn file(&self) -> Result<&Connection, HostError> {
        if !self.is_reading.replace(true) {
            let begin = self.db.prepare_cached("BEGIN").and_then(|mut begin| begin.execute([]));
            begin.map_err(|error| HostError::new("starting to read", error))?;
        }
        Ok(&self.db)
    }

    fn overlay(&self) -> Result<OverlayView<'_>, HostError> {
        let db = self.file()?;
        Ok(OverlayView { batch: Some(&self.batch), memtables: &self.below, db })
    }
}

impl ReadCache {
    fn keep(&mut self, key: &Key, record: &Option<Record>) {
        let value = record.as_ref().map_or(0, |record| record.value.as_bytes().len());
        self.bytes += key.as_bytes().len() + value + RECORD_OVERHEAD_BYTES;
        if self.bytes <= BATCH_CACHE_BYTES_MAX {
            self.records.insert(key.clone(), record.clone());
        }
    }
}

impl View for BufferedState {
    fn get(&self, key: &Key) -> Result<Option<Record>, HostError> {
        let memtables = std::iter::once(&self.batch).chain(self.below.newest_first());
        if let Some(record) = find(memtables, key) {
            return Ok(record.clone());
        }
        if let Some(record) = self.read.borrow().records.get(key) {
            return Ok(record.clone());
        }
        let record = SqliteView(self.file()?).get(key)?;
        self.read.borrow_mut().keep(key, &record);
        Ok(record)
    }

    fn scan(
        &self,
        range: &KeyRange,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], Record) -> bool,
    ) -> Result<(), HostError> {
        self.overlay()?.scan(range, reverse, visit)
    }

    fn components(&self) -> &dyn Components {
        self
    }
}

impl Components for BufferedState {
    fn component(&self, hash: &ComponentHash) -> Result<Option<Bytes>, HostError> {
        self.overlay()?.component(hash)
    }

    fn has_component(&self, hash: &ComponentHash) -> Result<bool, HostError> {
        self.overlay()?.has_component(hash)
    }

    fn alias(&self, name: &Name) -> Result<Option<Arc<Alias>>, HostError> {
        if let Some(alias) = self.names.borrow().get(name) {
            return Ok(Some(alias.clone()));
        }
        let alias = self.overlay()?.alias(name)?;
        if let Some(alias) = &alias {
            let mut names = self.names.borrow_mut();
            if names.len() >= ALIAS_CACHE_MAX {
                names.clear();
            }
            names.insert(name.clone(), alias.clone());
        }
        Ok(alias)
    }

    fn aliases(&self) -> Result<Vec<(Name, Arc<Alias>)>, HostError> {
        self.overlay()?.aliases()
    }
}

impl State for BufferedState {
    fn set(&mut self, key: &Key, record: Record) -> Result<(), HostError> {
        let bytes = key.as_bytes().len() + record.value.as_bytes().len();
        self.unwritten_bytes += bytes + RECORD_OVERHEAD_BYTES;
        self.batch.records.insert(key.clone(), Some(record));
        Ok(())
    }

    fn remove(&mut self, key: &Key) -> Result<(), HostError> {
        self.unwritten_bytes += key.as_bytes().len() + RECORD_OVERHEAD_BYTES;
        self.batch.records.insert(key.clone(), None);
        Ok(())
    }

    fn set_component(&mut self, hash: &ComponentHash, bytes: &Bytes) -> Result<(), HostError> {
        self.unwritten_bytes += bytes.len() + RECORD_OVERHEAD_BYTES;
        self.batch.components.insert(*hash, Some(bytes.clone()));
        Ok(())
    }

    fn remove_component(&mut self, hash: &ComponentHash) -> Result<(), HostError> {
        self.unwritten_bytes += RECORD_OVERHEAD_BYTES;
        self.batch.components.insert(*hash, None);
        Ok(())
    }

    fn set_alias(&mut self, name: &Name, alias: Arc<Alias>) -> Result<(), HostError> {
        let history = alias.history.len() * size_of::<AliasTarget>();
        self.unwritten_bytes += name.as_str().len() + history + RECORD_OVERHEAD_BYTES;
        self.names.get_mut().remove(name);
        self.batch.aliases.insert(name.clone(), Some(alias));
        Ok(())
    }

    fn remove_alias(&mut self, name: &Name) -> Result<(), HostError> {
        self.unwritten_bytes += name.as_str().len() + RECORD_OVERHEAD_BYTES;
        self.names.get_mut().remove(name);
        self.batch.aliases.insert(name.clone(), None);
        Ok(())
    }

    fn header(&self) -> Header {
        self.progress.header
    }

    fn set_header(&mut self, header: Header) {
        self.progress.header = header;
    }

    fn resident(&self) -> &Resident {
        &self.resident
    }

    fn resident_mut(&mut self) -> &mut Resident {
        &mut self.resident
    }

    fn view(&self) -> &dyn View {
        self
    }
}
