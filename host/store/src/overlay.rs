//! Reading a shard's state through the layers in memory and the file below them.
//!
//! Promises what [`aspen_core::Model`] with all these writes would answer: of each key the newest
//! layer's record, the file's if no layer has one. The file may hold some of the layers' writes
//! already, but none that are newer. Leaves out who sees to that (`reader.rs`, `buffer.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use aspen_core::{Alias, ComponentHash, Fault, Key, KeyRange, Name, Record, View};
use bytes::Bytes;
use rusqlite::Connection;

use crate::layer::{Layer, Layers, Merged};
use crate::view::SqliteView;

/// A view through layers.
pub struct OverlayView<'a> {
    /// Writes of a batch that is not committed yet: on top.
    pub batch: Option<&'a Layer>,
    pub layers: &'a Layers,
    /// A connection in a transaction.
    pub db: &'a Connection,
}

impl<'a> OverlayView<'a> {
    fn newest_first(&self) -> impl Iterator<Item = &'a Layer> + use<'a> {
        self.batch.into_iter().chain(self.layers.newest_first())
    }
}

/// What the newest layer that knows `key` holds for it: a record, or that it is deleted.
pub fn find<'a>(
    mut newest_first: impl Iterator<Item = &'a Layer>,
    key: &Key,
) -> Option<&'a Option<Record>> {
    newest_first.find_map(|layer| layer.records.get(key))
}

impl View for OverlayView<'_> {
    fn get(&self, key: &Key) -> Result<Option<Record>, Fault> {
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
    ) -> Result<(), Fault> {
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

    fn component(&self, hash: &ComponentHash) -> Result<Option<Bytes>, Fault> {
        match self.newest_first().find_map(|layer| layer.components.get(hash)) {
            Some(bytes) => Ok(bytes.clone()),
            None => SqliteView(self.db).component(hash),
        }
    }

    fn has_component(&self, hash: &ComponentHash) -> Result<bool, Fault> {
        match self.newest_first().find_map(|layer| layer.components.get(hash)) {
            Some(bytes) => Ok(bytes.is_some()),
            None => SqliteView(self.db).has_component(hash),
        }
    }

    fn alias(&self, name: &Name) -> Result<Option<Arc<Alias>>, Fault> {
        match self.newest_first().find_map(|layer| layer.aliases.get(name)) {
            Some(alias) => Ok(alias.clone()),
            None => SqliteView(self.db).alias(name),
        }
    }

    fn aliases(&self) -> Result<Vec<(Name, Arc<Alias>)>, Fault> {
        let mut aliases: BTreeMap<Name, Arc<Alias>> =
            SqliteView(self.db).aliases()?.into_iter().collect();
        for layer in self.layers.oldest_first().chain(self.batch) {
            for (name, alias) in &layer.aliases {
                match alias {
                    Some(alias) => aliases.insert(name.clone(), alias.clone()),
                    None => aliases.remove(name),
                };
            }
        }
        Ok(aliases.into_iter().collect())
    }
}
