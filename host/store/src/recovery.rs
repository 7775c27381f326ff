//! From the content of a shard's folder to a usable state, or a refusal with a remedy.
//!
//! Promises that a lost or damaged state is rebuilt from a good snapshot and the log, or refused, but
//! never guessed. Leaves out the log itself. Start reading at `recover.rs`.

mod divergence;
mod install;
mod recover;

pub use divergence::{Divergence, mark, recorded_divergence};
pub use install::{begin_anew, install};
pub use recover::{mark_closed, recover};
