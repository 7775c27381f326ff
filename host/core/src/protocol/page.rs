//! [`Page`]: one page of a scan.

use serde::{Deserialize, Serialize};

use crate::ids::Revision;
use crate::key::Key;
use crate::view::Record;

/// One page of a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The revision that the page was read at.
    pub revision: Revision,
    /// The entries, in the order asked for.
    pub items: Vec<Item>,
    /// True if the range goes on after the last item.
    pub more: bool,
}

/// A key and its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    pub key: Key,
    /// The record; its value is empty in a scan for keys only.
    pub record: Record,
}
