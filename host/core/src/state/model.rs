//! [`Model`]: the state as plain maps in memory. Every other implementation must equal it.
//!
//! Used by property tests, by the native test harness of functions, and where no disk is wanted.
//! Leaves out durability and batches: every change is visible at once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use crate::ids::{ComponentHash, LeaseId, Name};
use crate::key::{Key, KeyRange};
use crate::state::resident::Resident;
use crate::state::shard::{Header, State};
use crate::view::{Alias, Components, HostError, Record, View};

/// A shard's state in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    records: BTreeMap<Key, Record>,
    components: BTreeMap<ComponentHash, Bytes>,
    aliases: BTreeMap<Name, Arc<Alias>>,
    header: Header,
    resident: Resident,
}

impl Model {
    /// An empty shard.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks the invariants after an entry.
    pub fn check(&self) {
        for (key, record) in &self.records {
            assert!(record.version.get() >= 1, "{key}: version of a present key");
            assert!(record.create_revision <= record.mod_revision, "{key}: created after change");
            assert!(record.mod_revision <= self.header.revision, "{key}: changed in the future");
        }
        let attached = self.records.iter().map(|(key, record)| (record.lease, key.clone()));
        self.resident.leases.check(attached.filter(|(lease, _)| *lease != LeaseId::NONE));
        assert_eq!(self.records.len() as u64, self.header.keys);
        let parts: BTreeSet<_> = self.resident.uploads.parts().collect();
        let components = self.header.components as usize + parts.len();
        assert_eq!(self.components.len(), components);
        for (name, alias) in &self.aliases {
            for component in alias.components() {
                assert!(self.components.contains_key(component), "{name} points nowhere");
            }
        }
        for hash in self.components.keys().filter(|hash| !parts.contains(hash)) {
            assert!(self.aliases.values().any(|alias| alias.mentions(hash)), "{hash} has no name");
        }
    }
}

impl View for Model {
    fn get(&self, key: &Key) -> Result<Option<Record>, HostError> {
        Ok(self.records.get(key).cloned())
    }

    fn scan(
        &self,
        range: &KeyRange,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], Record) -> bool,
    ) -> Result<(), HostError> {
        if range.is_empty() {
            return Ok(());
        }
        let mut records = self.records.range::<[u8], _>(range.bounds());
        let mut next = || if reverse { records.next_back() } else { records.next() };
        while let Some((key, record)) = next() {
            if !visit(key.as_bytes(), record.clone()) {
                break;
            }
        }
        Ok(())
    }

    fn components(&self) -> &dyn Components {
        self
    }
}

impl Components for Model {
    fn component(&self, hash: &ComponentHash) -> Result<Option<Bytes>, HostError> {
        Ok(self.components.get(hash).cloned())
    }

    fn alias(&self, name: &Name) -> Result<Option<Arc<Alias>>, HostError> {
        Ok(self.aliases.get(name).cloned())
    }

    fn aliases(&self) -> Result<Vec<(Name, Arc<Alias>)>, HostError> {
        Ok(self.aliases.iter().map(|(name, alias)| (name.clone(), alias.clone())).collect())
    }
}

impl State for Model {
    fn set(&mut self, key: &Key, record: Record) -> Result<(), HostError> {
        self.records.insert(key.clone(), record);
        Ok(())
    }

    fn remove(&mut self, key: &Key) -> Result<(), HostError> {
        assert!(self.records.remove(key).is_some(), "only present keys are removed");
        Ok(())
    }

    fn set_component(&mut self, hash: &ComponentHash, bytes: &Bytes) -> Result<(), HostError> {
        self.components.insert(*hash, bytes.clone());
        Ok(())
    }

    fn remove_component(&mut self, hash: &ComponentHash) -> Result<(), HostError> {
        assert!(self.components.remove(hash).is_some(), "only present components are removed");
        Ok(())
    }

    fn set_alias(&mut self, name: &Name, alias: Arc<Alias>) -> Result<(), HostError> {
        self.aliases.insert(name.clone(), alias);
        Ok(())
    }

    fn remove_alias(&mut self, name: &Name) -> Result<(), HostError> {
        assert!(self.aliases.remove(name).is_some(), "only present names are removed");
        Ok(())
    }

    fn header(&self) -> Header {
        self.header
    }

    fn set_header(&mut self, header: Header) {
        self.header = header;
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
