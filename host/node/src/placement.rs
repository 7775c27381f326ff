//! The placement map, and opening, moving and deleting replicas as the map says.
//!
//! `map.rs` keeps this node's copy and changes the map, `change.rs` makes the changes of an
//! operator, `founding.rs` creates the cluster. `reconcile.rs` looks for work about each shard: a
//! replica opens or goes (`host.rs`), the members of a group change (`steer.rs`, towards
//! `wanted.rs`). `recover.rs` fetches a state that is lost, `members.rs` learns the members that
//! came later.

mod change;
mod founding;
mod host;
mod map;
mod members;
mod reconcile;
mod recover;
mod steer;
mod wanted;

pub use change::change;
pub use founding::{create_group, found_map, is_served};
pub use host::{host, open_replica};
pub use map::{follow, look_at_map};
pub use members::learn;
pub use reconcile::carry_out;
