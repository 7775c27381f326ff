//! The parts of one replica's state that apply, readers and snapshots share.
//!
//! Promises that no part waits for another longer than a lock is held for some memory accesses, except
//! for a read that begins while its file is replaced. Leaves out the work on these parts: see `read`
//! and `apply`. Start reading at `shared.rs`.

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
