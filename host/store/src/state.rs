//! The file of a shard's state: its SQLite database, and how Aspen reads and writes its rows.
//!
//! Promises that a file is either a complete state of this shard or refused, that a flush is visible
//! and durable all at once, and that a row which the disk changed is never used: every row has a
//! checksum. Leaves out the writes that are only in memory (`buffer`), and the rebuilding of a lost
//! state (`recovery`). Start reading at `schema.rs`, then `sqlite_state.rs`.

mod check;
mod checksum;
mod error;
mod meta;
mod records;
mod resident_store;
mod schema;
mod session_store;
mod sqlite_state;
mod state_file;
mod view;

pub use error::StateFileError;
pub use meta::{MEMBERSHIP, Owner, PROGRESS, Progress, get};
pub use resident_store::ResidentStore;
pub use schema::{close, create, open_for_apply, open_read_only};
pub use sqlite_state::{Flush, SqliteState, sync};
pub use state_file::{StateFile, newest};
pub use view::SqliteView;

#[cfg(test)]
pub use checksum::record_sum;
#[cfg(test)]
pub use schema::tests as schema_tests;
