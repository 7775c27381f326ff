//! The limits of a call, as the harness keeps them.
//!
//! They repeat those of a node, which this crate does not depend on: `tests/tests/numbers.rs` compares
//! them.

pub(super) const KEY_BYTES_MAX: usize = 1024;
pub(super) const VALUE_BYTES_MAX: usize = 1 << 20;
pub(super) const WRITES_MAX: usize = 1024;
pub(super) const WRITES_BYTES_MAX: usize = 4 << 20;
pub(super) const KEYS_ASKED_MAX: usize = 1024;
pub(super) const PAGE_ENTRIES_MAX: usize = 1000;
pub(super) const PAGE_BYTES: usize = 1 << 20;
pub(super) const LOG_LINES_MAX: usize = 64;
pub(super) const LOG_LINE_BYTES_MAX: usize = 256;
