//! The execution profile: every setting that decides the outcome of a call.
//!
//! Promises that replicas with the same profile compute the same outcome, writes and fuel for the
//! same call, on any processor and operating system and under any load. [`PROFILE_VERSION`] changes
//! with any line of this room or of the room `instrument` that can change an outcome.
//! Leaves out settings that may differ between nodes (level of optimisation, cache): these are
//! chosen in `Options`, and tests show that they change no outcome.
//! Limits are in `profile/limits.rs`, prices in `profile/prices.rs`, the limits of each class of
//! components in `profile/class.rs`, wasmtime's settings in `profile/engine.rs`.

use aspen_core::ids::ProfileId;

pub(crate) mod class;
pub(crate) mod engine;
pub mod limits;
mod operators;
pub mod prices;

/// The version of the profile: it changes whenever an outcome or the instrumented code may change.
/// `tests/golden` notices such a change. A program that changes the version must know both
/// profiles, so that a running cluster can go over (`node/functions/profile`).
pub const PROFILE_VERSION: u32 = 1;

/// The id of the profile in this room.
pub(crate) const PROFILE: ProfileId = ProfileId::new(PROFILE_VERSION);

/// The version of wasmtime, as pinned in the workspace: part of the key of compiled code.
pub const WASMTIME_VERSION: &str = "48.0.8";
