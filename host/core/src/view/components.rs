//! [`Components`]: the components and aliases of a shard at one revision, to read.
//!
//! Five of the seven views hold or find them; the two that wrap another view give those of that view.

use std::sync::Arc;

use bytes::Bytes;

use super::alias::Alias;
use super::error::HostError;
use crate::ids::{ComponentHash, Name};

/// The components and aliases of a shard at one revision.
pub trait Components {
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
