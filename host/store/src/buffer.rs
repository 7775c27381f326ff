//! A shard's state as `apply` changes it: writes go to memory, reads come from there or the file.
//!
//! Promises that a batch of entries becomes visible all at once, and that nothing here writes to a
//! disk. The Raft log is the durability: what is not written down yet ([`BufferedState::flush`]) is
//! applied again after a crash.
//!
//! After an error the half-done batch is given up with the state itself: memory (header, sessions)
//! is then ahead of what was published and must not be used, nor written down.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use aspen_core::{
    Alias, ComponentHash, Digest, Fault, Header, Key, KeyRange, Name, Pointed, Record, Resident,
    State, View,
};
use bytes::Bytes;
use rusqlite::Connection;

use crate::layer::{Layer, Layers};
use crate::live::Live;
use crate::log::lock;
use crate::overlay::{OverlayView, find};
use crate::schema::{self, Progress, Unusable};
use crate::state::{Flush, SqliteState};
use crate::types::{LogId, StoredMembership};
use crate::view::SqliteView;

/// Memory of a buffered record, outcome or name beside its own bytes: its place in a map, and what
/// the allocator adds to two small pieces.
const OVERHEAD_BYTES: usize = 256;

/// Bytes of records that a batch reads from the file and keeps for its later entries.
const READ_BYTES_MAX: usize = 4 << 20;

/// Names whose component is remembered: more than are called at the same time.
const NAMES_MAX: usize = 1024;

/// The state of one shard, open for apply.
pub struct BufferedState {
    live: Arc<Mutex<Live>>,
    /// Reads the file. In a transaction during a batch that reads it.
    db: Connection,
    is_reading: Cell<bool>,
    batch: Layer,
    /// The digest after each entry of the batch.
    digests: Vec<(u64, Digest)>,
    /// The layers under the batch.
    below: Layers,
    /// What this batch read from the file: a function reads a key, then the commit does.
    read: RefCell<ReadCache>,
    /// What names point to, as of this batch.
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
    /// The state that `file` holds.
    pub fn new(file: &mut SqliteState, live: Arc<Mutex<Live>>) -> Result<Self, Unusable> {
        Ok(Self {
            live,
            db: schema::open_for_apply(file.path())?,
            is_reading: Cell::default(),
            batch: Layer::default(),
            digests: vec![],
            below: Layers::default(),
            read: RefCell::default(),
            names: RefCell::default(),
            progress: file.progress(),
            membership: file.membership().clone(),
            resident: file.take_resident(),
            unwritten_bytes: 0,
        })
    }

    /// The last applied entry.
    pub fn applied(&self) -> Option<LogId> {
        self.progress.applied
    }

    /// The members as of the last applied entry.
    pub fn membership(&self) -> &StoredMembership {
        &self.membership
    }

    /// Bytes of memory taken by what was applied and not handed out to be written down.
    pub fn unwritten_bytes(&self) -> usize {
        self.unwritten_bytes
    }

    /// Starts a batch.
    pub fn begin(&mut self) {
        self.below = lock(&self.live).layers();
    }

    /// Notes that `log_id` is applied, with the members it set, if any, and the length of what is
    /// kept of it.
    pub fn advance(
        &mut self,
        log_id: LogId,
        membership: Option<StoredMembership>,
        outcome_bytes: usize,
    ) {
        self.progress.applied = Some(log_id);
        self.digests.push((log_id.index, self.progress.header.digest));
        self.unwritten_bytes += outcome_bytes + OVERHEAD_BYTES;
        if let Some(membership) = membership {
            self.membership = membership;
        }
    }

    /// Ends a batch: its changes become visible.
    pub fn commit(&mut self) -> Result<(), Fault> {
        self.read.take();
        if self.is_reading.take() {
            let end = self.db.prepare_cached("COMMIT").and_then(|mut end| end.execute([]));
            end.map_err(|error| Fault::new("ending a batch", error))?;
        }
        // Not shared any more, the newest layer takes the batch in without a copy.
        self.below = Layers::default();
        let next_due = self.resident.next_due();
        let (batch, digests) = (std::mem::take(&mut self.batch), self.digests.drain(..));
        lock(&self.live).commit(batch, digests, self.progress, next_due);
        Ok(())
    }

    /// Hands out everything that is not written down yet, between two batches.
    pub fn flush(&mut self) -> Flush {
        assert!(self.batch.is_empty(), "a flush holds whole batches");
        self.unwritten_bytes = 0;
        Flush {
            layers: lock(&self.live).freeze(),
            resident: self.resident.take_changes(),
            progress: self.progress,
            membership: self.membership.clone(),
        }
    }

    /// The file, in a transaction that began after this batch: it holds what is below the layers.
    fn file(&self) -> Result<&Connection, Fault> {
        if !self.is_reading.replace(true) {
            let begin = self.db.prepare_cached("BEGIN").and_then(|mut begin| begin.execute([]));
            begin.map_err(|error| Fault::new("starting to read", error))?;
        }
        Ok(&self.db)
    }

    fn overlay(&self) -> Result<OverlayView<'_>, Fault> {
        let db = self.file()?;
        Ok(OverlayView { batch: Some(&self.batch), layers: &self.below, db })
    }
}

impl ReadCache {
    fn keep(&mut self, key: &Key, record: &Option<Record>) {
        let value = record.as_ref().map_or(0, |record| record.value.as_bytes().len());
        self.bytes += key.as_bytes().len() + value + OVERHEAD_BYTES;
        if self.bytes <= READ_BYTES_MAX {
            self.records.insert(key.clone(), record.clone());
        }
    }
}

impl View for BufferedState {
    fn get(&self, key: &Key) -> Result<Option<Record>, Fault> {
        let layers = std::iter::once(&self.batch).chain(self.below.newest_first());
        if let Some(record) = find(layers, key) {
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
    ) -> Result<(), Fault> {
        self.overlay()?.scan(range, reverse, visit)
    }

    fn component(&self, hash: &ComponentHash) -> Result<Option<Bytes>, Fault> {
        self.overlay()?.component(hash)
    }

    fn has_component(&self, hash: &ComponentHash) -> Result<bool, Fault> {
        self.overlay()?.has_component(hash)
    }

    fn alias(&self, name: &Name) -> Result<Option<Arc<Alias>>, Fault> {
        if let Some(alias) = self.names.borrow().get(name) {
            return Ok(Some(alias.clone()));
        }
        let alias = self.overlay()?.alias(name)?;
        if let Some(alias) = &alias {
            let mut names = self.names.borrow_mut();
            if names.len() >= NAMES_MAX {
                names.clear();
            }
            names.insert(name.clone(), alias.clone());
        }
        Ok(alias)
    }

    fn aliases(&self) -> Result<Vec<(Name, Arc<Alias>)>, Fault> {
        self.overlay()?.aliases()
    }
}

impl State for BufferedState {
    fn set(&mut self, key: &Key, record: Record) -> Result<(), Fault> {
        let bytes = key.as_bytes().len() + record.value.as_bytes().len();
        self.unwritten_bytes += bytes + OVERHEAD_BYTES;
        self.batch.records.insert(key.clone(), Some(record));
        Ok(())
    }

    fn remove(&mut self, key: &Key) -> Result<(), Fault> {
        self.unwritten_bytes += key.as_bytes().len() + OVERHEAD_BYTES;
        self.batch.records.insert(key.clone(), None);
        Ok(())
    }

    fn set_component(&mut self, hash: &ComponentHash, bytes: &Bytes) -> Result<(), Fault> {
        self.unwritten_bytes += bytes.len() + OVERHEAD_BYTES;
        self.batch.components.insert(*hash, Some(bytes.clone()));
        Ok(())
    }

    fn remove_component(&mut self, hash: &ComponentHash) -> Result<(), Fault> {
        self.unwritten_bytes += OVERHEAD_BYTES;
        self.batch.components.insert(*hash, None);
        Ok(())
    }

    fn set_alias(&mut self, name: &Name, alias: Arc<Alias>) -> Result<(), Fault> {
        let history = alias.history.len() * size_of::<Pointed>();
        self.unwritten_bytes += name.as_str().len() + history + OVERHEAD_BYTES;
        self.names.get_mut().remove(name);
        self.batch.aliases.insert(name.clone(), Some(alias));
        Ok(())
    }

    fn remove_alias(&mut self, name: &Name) -> Result<(), Fault> {
        self.unwritten_bytes += name.as_str().len() + OVERHEAD_BYTES;
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
