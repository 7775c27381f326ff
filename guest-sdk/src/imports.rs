//! The host functions: those of the node in WebAssembly, those of the harness in a native test.
//!
//! Promises the same functions and types in both, so that the modules above do not differ.

#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::host::{
    caller, delete, exists, get, get_many, log, put, revision, scan, seed, time_ms,
};

#[cfg(target_arch = "wasm32")]
pub(crate) use self::wasm::*;

#[cfg(target_arch = "wasm32")]
mod wasm {
    use self::aspen::function::store;
    use crate::record::{Item, Page, Versioned};

    wit_bindgen::generate!({ world: "imports", path: "../wit" });

    pub(crate) use self::aspen::function::context::{caller, log, revision, seed, time_ms};
    pub(crate) use self::aspen::function::store::{delete, exists, put};

    pub(crate) fn get(key: &[u8]) -> Option<Versioned> {
        store::get(key).map(versioned)
    }

    pub(crate) fn get_many(keys: &[Vec<u8>]) -> Vec<Option<Versioned>> {
        store::get_many(keys).into_iter().map(|found| found.map(versioned)).collect()
    }

    pub(crate) fn scan(start: &[u8], end: Option<&[u8]>, reverse: bool, limit: u32) -> Page {
        let store::Page { entries, more } = store::scan(start, end, reverse, limit);
        let item = |from: store::Entry| Item { key: from.key, record: versioned(from.item) };
        Page { items: entries.into_iter().map(item).collect(), more }
    }

    fn versioned(from: store::Versioned) -> Versioned {
        let store::Versioned { value, version, create_revision, mod_revision } = from;
        Versioned { value, version, create_revision, mod_revision }
    }
}
