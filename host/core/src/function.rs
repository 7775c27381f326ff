//! Functions: their types, calls of them, the trait that runs them, and figures of their calls.
//!
//! Leaves out how a function runs (`aspen-functions`) and how a call is applied (`apply/call.rs`).

mod signature;
mod call;
mod fault;
mod functions;
mod histogram;
mod called;
mod statistics;
mod notes;

pub use call::Call;
pub use called::{CallEndKind, CallReport};
pub use fault::GuestFault;
pub use functions::{CallEnd, CallInput, CallResult, Functions, NoFunctions};
pub use histogram::Histogram;
pub use notes::{CallNote, CallNotes};
pub use signature::{Field, FunctionSignature, Manifest, Type};
pub use statistics::FunctionStatistics;
