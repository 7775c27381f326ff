//! Tasks that a node does again and again, by its own clock.
//!
//! Each ends when the node is gone. Leaves out the tasks about the placement map (`placement`) and
//! about transactions across shards (`across/sweep.rs`).

mod digest_checks;
mod heartbeats;
mod leader_balancing;
mod rates;
mod ticks;

pub use digest_checks::check_digests;
pub use heartbeats::send_heartbeats;
pub use leader_balancing::balance_leaders;
pub use rates::note_rates;
pub use ticks::tick;
