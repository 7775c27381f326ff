//! [`View`]: the records, components and aliases of a shard at one revision, to read.
//!
//! Seven implementations live in this repository. Four hold or find the data: the SQLite file, the memtables
//! over the file, and the changes of a batch over both (`aspen-store`), and maps in memory
//! ([`crate::state::Model`]). [`crate::across::ReadAhead`] holds the reads of one function. Two wrap another
//! view and note the reads: one for queries ([`crate::apply::ReadTrace`]), one for locks (`apply/guard.rs`).
//!
//! An error from a view is a failure of this machine. The replica then stops: a replica that goes on would
//! give another answer than its peers gave.

mod record;
mod alias;
mod error;

use std::sync::Arc;

use bytes::Bytes;

use crate::ids::{ComponentHash, Name};
use crate::key::{Key, KeyRange};

pub use alias::{Alias, AliasTarget, Canary};
pub use error::HostError;
pub use record::Record;

/// The records, components and aliases of a shard at one revision.
pub trait View {
    fn get(&self, key: &Key) -> Result<Option<Record>, HostError>;

    /// Calls `visit` with the records of `range`, in order of keys (or in reverse), until `visit`
    /// returns false or the range ends. Collects nothing, so the caller bounds the cost.
    fn scan(
        &self,
        range: &KeyRange,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], Record) -> bool,
    ) -> Result<(), HostError>;

    /// Returns the bytes of a component.
    fn component(&self, hash: &ComponentHash) -> Result<Option<Bytes>, HostError>;

    /// True if a component is stored. Need not read its bytes.
    fn has_component(&self, hash: &ComponentHash) -> Result<bool, HostError> {
        Ok(self.component(hash)?.is_some())
    }

    fn alias(&self, name: &Name) -> Result<Option<Arc<Alias>>, HostError>;

    /// Returns all aliases, in order of names.
    fn aliases(&self) -> Result<Vec<(Name, Arc<Alias>)>, HostError>;
}
