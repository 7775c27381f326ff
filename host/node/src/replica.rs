//! One replica of one shard: a member of the shard's Raft group, and a way to read its state.
//!
//! The files of this room each add one part to [`Replica`] (`parts.rs`): proposing (`propose.rs`),
//! reading (`read.rs`), the members and the leader (`members.rs`), handing the lead over
//! (`lead.rs`), the status (`status.rs`), snapshots in transit (`snapshots.rs`), open views
//! (`open_views.rs`) and the comparison of digests (`digest_check.rs`). Leaves out how a replica is
//! opened (`context/opener.rs`).

mod digest_check;
mod digest_verdict;
mod error;
mod held;
mod lead;
mod members;
mod open_views;
mod parts;
mod propose;
mod rate;
mod read;
mod snapshot_slots;
mod snapshots;
mod status;

pub use digest_check::DigestCheck;
pub use error::{ReplicaError, failed};
pub use held::HeldResources;
pub use parts::Replica;
