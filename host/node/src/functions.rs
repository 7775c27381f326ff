//! Uploaded components, and functions that run in the background.
//!
//! `check.rs` checks and compiles a component here, `compile_ahead.rs` on every replica before the
//! entry is proposed, `components.rs` answers the questions of clients about components,
//! `profile.rs` switches a shard to another profile, `background.rs` runs functions outside of
//! apply. Leaves out when a call may run (`admission`), queries (`requests/query.rs`) and calls
//! across shards (`across`).

mod background;
mod check;
mod compile_ahead;
mod components;
mod profile;

pub use background::run_in_background;
pub use compile_ahead::{check_staged, compile, compile_everywhere};
pub use components::{describe, history, list};
pub use profile::switch_profile;
