//! [`CallStop`]: the error of host functions.
//!
//! Promises that the guest's faults and the failures of this machine stay apart on their way through
//! wasmtime, which carries them as errors of any type. A trap of the guest has a type of wasmtime's.

use std::fmt;

use aspen_core::function::GuestFault;
use aspen_core::view::HostError;

/// The reason why a host function ends the call.
#[derive(Debug)]
pub(crate) enum CallStop {
    /// The guest broke a limit.
    Guest(GuestFault),
    /// This machine failed.
    Machine(HostError),
}

impl From<GuestFault> for CallStop {
    fn from(fault: GuestFault) -> CallStop {
        CallStop::Guest(fault)
    }
}

impl From<HostError> for CallStop {
    fn from(fault: HostError) -> CallStop {
        CallStop::Machine(fault)
    }
}

impl fmt::Display for CallStop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallStop::Guest(fault) => fault.fmt(f),
            CallStop::Machine(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for CallStop {}
