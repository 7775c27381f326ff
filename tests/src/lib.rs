//! The parts that the tests of the whole system share.
//!
//! The tests themselves are in `tests/tests`, one file or folder for each area.
//!
//! Rooms, bottom to top; each uses only those above it in this list:
//! - `fuzz`, `guests`, `serialized`, `share`, `small_disk`, `sweep`, `typed`: inputs and tools, each by itself
//! - `history`: recording the reads and writes of clients, and checking them for strict serializability
//! - `cluster`, `load`: real clusters in this process, and clients at work on them
//! - `script`: golden scripts on the rules of `aspen-core`
//! - `sim`: whole clusters in the deterministic simulator

#[cfg(not(madsim))]
pub mod fuzz;
pub mod guests;
pub mod serialized;
pub mod share;
#[cfg(not(madsim))]
pub mod small_disk;
#[cfg(madsim)]
pub mod sweep;
#[cfg(not(madsim))]
pub mod typed;

pub mod history;

#[cfg(not(madsim))]
pub mod cluster;
#[cfg(not(madsim))]
pub mod load;

#[cfg(not(madsim))]
pub mod script;

#[cfg(madsim)]
pub mod sim;
