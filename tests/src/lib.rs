//! What the tests of the whole system share.
//!
//! The tests themselves are in `tests/tests`, one file per area.

#[cfg(not(madsim))]
pub mod cluster;
#[cfg(not(madsim))]
pub mod fuzz;
pub mod guests;
pub mod history;
#[cfg(not(madsim))]
pub mod load;
#[cfg(not(madsim))]
pub mod script;
pub mod share;
#[cfg(madsim)]
pub mod sim;
#[cfg(not(madsim))]
pub mod small_disk;
#[cfg(madsim)]
pub mod sweep;
#[cfg(not(madsim))]
pub mod typed;
