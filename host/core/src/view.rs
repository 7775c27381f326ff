//! [`View`]: the records, components and aliases of a shard at one revision, to read.
//!
//! Seven implementations live in this repository. Four hold or find the data: the SQLite file, the memtables
//! over the file, and the changes of a batch over both (`aspen-store`), and maps in memory
//! ([`crate::state::Model`]). [`crate::across::ReadAhead`] holds the reads of one function. Two wrap another
//! view, note the reads and give its components: one for queries ([`crate::apply::ReadTrace`]), one for
//! locks (`apply/guard.rs`).
//!
//! An error from a view is a failure of this machine. The replica then stops: a replica that goes on would
//! give another answer than its peers gave.

mod record;
mod alias;
mod error;
mod components;

use crate::key::{Key, KeyRange};

pub use alias::{Alias, AliasTarget, Canary};
pub use components::Components;
pub use error::HostError;
pub use record::Record;

/// The records of a shard at one revision, with its components.
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

    /// Returns the components of the same revision.
    fn components(&self) -> &dyn Components;
}
