//! Reading a shard's state through the memtables and the file below them.
//!
//! Promises the answers of an [`aspen_core::state::Model`] with all these writes: of each key the record of the
//! newest memtable that has one, else the file's record. The file may hold some of the memtables'
//! writes already, but none that are newer; the caller ensures this (`buffered_state.rs`,
//! `replica/read_transaction.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use aspen_core::ids::{ComponentHash, Name};
use aspen_core::key::{Key, KeyRange};
use aspen_core::view::{Alias, Components, HostError, Record, View};
use bytes::Bytes;
use rusqlite::Connection;

use crate::memtable::{Memtable, Memtables, Merged};
use crate::state::SqliteView;

/// A view through memtables.
pub struct OverlayView<'a> {
    /// Writes of a batch that is not committed yet: on top.
    pub batch: Option<&'a Memtable>,
    pub memtables: &'a Memtables,
    /// A connection in a transaction.
    pub db: &'a Connection,
}

impl<'a> OverlayView<'a> {
    fn newest_first(&self) -> impl Iterator<Item = &'a Memtable> + use<'a> {
        self.batch.into_iter().chain(self.memtables.newest_first())
    }
}

/// Returns the record of `key` in the newest memtable that has the key; the inner `None` is a deleted
/// key.
pub fn find<'a>(
    mut newest_first: impl Iterator<Item = &'a Memtable>,
    key: &Key,
) -> Option<&'a Option<Record>> {
    newest_first.find_map(|memtable| memtable.records.get(key))
}

impl View for OverlayView<'_> {
    fn get(&self, key: &Key) -> Result<Option<Record>, HostError> {
        match find(self.newest_first(), key) {
            Some(record) => Ok(record.clone()),
            None => SqliteView(self.db).get(key),
        }
    }

    fn scan(
        &self,
        range: &KeyRange,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], Record) -> bool,
    ) -> Result<(), HostError> {
        let mut above = Merged::new(self.newest_first(), range, reverse).peekable();
        let mut goes_on = true;
        SqliteView(self.db).scan(range, reverse, &mut |key, record| {
            let is_due = |above: &Key| match reverse {
                false => above.as_bytes() <= key,
                true => above.as_bytes() >= key,
            };
            while let Some((due, newer)) = above.next_if(|(above, _)| is_due(above)) {
                if let Some(newer) = newer {
                    goes_on = visit(due.as_bytes(), newer.clone());
                }
                // The file's record of this key is an older one.
                if !goes_on || due.as_bytes() == key {
                    return goes_on;
                }
            }
            goes_on = visit(key, record);
            goes_on
        })?;
        let mut rest = above.filter_map(|(key, record)| Some((key, record.as_ref()?)));
        while goes_on && let Some((key, record)) = rest.next() {
            goes_on = visit(key.as_bytes(), record.clone());
        }
        Ok(())
    }

    fn components(&self) -> &dyn Components {
        self
    }
}

impl Components for OverlayView<'_> {
    fn component(&self, hash: &ComponentHash) -> Result<Option<Bytes>, HostError> {
        match self.newest_first().find_map(|memtable| memtable.components.get(hash)) {
            Some(bytes) => Ok(bytes.clone()),
            None => SqliteView(self.db).component(hash),
        }
    }

    fn has_component(&self, hash: &ComponentHash) -> Result<bool, HostError> {
        match self.newest_first().find_map(|memtable| memtable.components.get(hash)) {
            Some(bytes) => Ok(bytes.is_some()),
            None => SqliteView(self.db).has_component(hash),
        }
    }

    fn alias(&self, name: &Name) -> Result<Option<Arc<Alias>>, HostError> {
        match self.newest_first().find_map(|memtable| memtable.aliases.get(name)) {
            Some(alias) => Ok(alias.clone()),
            None => SqliteView(self.db).alias(name),
        }
    }

    fn aliases(&self) -> Result<Vec<(Name, Arc<Alias>)>, HostError> {
        let mut aliases: BTreeMap<Name, Arc<Alias>> =
            SqliteView(self.db).aliases()?.into_iter().collect();
        for memtable in self.memtables.oldest_first().chain(self.batch) {
            for (name, alias) in &memtable.aliases {
                match alias {
                    Some(alias) => aliases.insert(name.clone(), alias.clone()),
                    None => aliases.remove(name),
                };
            }
        }
        Ok(aliases.into_iter().collect())
    }
}
