//! Functions: components and their names, calls, schedules, and notes of what calls did.

pub(crate) mod calls;

mod aliases;
mod notes;
mod schedules;
mod upload;

pub use calls::{CallReply, DryRunReply, QueryReply};
pub use notes::LogPosition;
pub use schedules::ScheduledCall;
pub use upload::UploadProgress;
