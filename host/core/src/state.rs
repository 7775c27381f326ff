//! The state of a shard: records, components and aliases behind [`State`], and the parts in memory.
//!
//! Promises that the state changes only through `apply`. Leaves out storage (`aspen-store`).

mod session;
mod lease;
mod tombstone;
mod schedule;
mod upload;
mod resident;
mod shard;
mod model;
mod hash;

pub use hash::{StateHash, Verification, hash_state};
pub use lease::{LeaseChange, LeaseImage, Leases};
pub use model::Model;
pub use resident::{Resident, ResidentChanges};
pub use schedule::{FirstRun, LastRun, NewSchedule, Schedule, ScheduleChange, Schedules};
pub use session::{RequestStatus, SessionChange, SessionImage, Sessions};
pub use shard::{Header, State};
pub use tombstone::{TombstoneChange, Tombstones};
pub(crate) use upload::upload_row;
pub use upload::{UploadChange, UploadId, UploadParts, Uploads};
