//! The host's side of a call: its data, its writes, and the functions that the guest calls.
//!
//! Promises that a call is stopped by exactly one of three things, and that they stay apart: the
//! guest's own trap, a broken limit, or a failure of this machine ([`call_stop::CallStop`]).
//! Start reading at `host/imports.rs`, where the guest comes in.

pub(crate) mod call_data;
pub(crate) mod call_stop;
mod growth;
pub(crate) mod imports;
mod overlay;
mod scan;
