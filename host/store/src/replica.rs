//! The parts of one replica's state that apply, readers and snapshots share.
//!
//! Promises that any thread may use these parts, and that the first failure of the replica stands in one
//! place. Leaves out the work on these parts: see `read` and `apply`. Start reading at `shared.rs`.

mod call_recorder;
mod read_transaction;
mod request;
mod shared;
mod verifications;

pub use call_recorder::{CallObserver, CallOrigin};
pub use read_transaction::ReadTransaction;
pub use request::{ApplyRequest, EntryReply, HeldInspection, Inspection};
pub use shared::Shared;
pub use verifications::{RequestedVerification, VerificationTask};
