//! The cause of an error that ends a call: the guest, or this machine.
//!
//! Promises that a fault of the guest is found alike by every replica, and that an error of unknown
//! cause before the instance exists counts as a failure of this machine.

use aspen_core::function::GuestFault;
use aspen_core::view::HostError;
use wasmtime::Trap;

use crate::host::call_stop::CallStop;

/// The progress of a call when an error ended it.
pub(super) struct CallState {
    /// The instance existed: an error without a type is then the guest's doing.
    pub is_started: bool,
    /// The guest was refused memory before. If it then gives up, this is the reason.
    pub is_refused_memory: bool,
}

/// Returns the guest's fault behind an error, or the failure of this machine.
pub(super) fn call_fault(
    error: wasmtime::Error,
    state: &CallState,
) -> Result<GuestFault, HostError> {
    let error = match error.downcast::<CallStop>() {
        Ok(CallStop::Guest(fault)) => return Ok(fault),
        Ok(CallStop::Machine(fault)) => return Err(fault),
        Err(error) => error,
    };
    if let Some(trap) = error.downcast_ref::<Trap>() {
        let fault = guest_fault(*trap);
        let fault = fault.ok_or_else(|| HostError::new("running a function", trap.to_string()))?;
        let is_starved = fault == GuestFault::Unreachable && state.is_refused_memory;
        return Ok(if is_starved { GuestFault::OutOfMemory } else { fault });
    }
    if !state.is_started {
        return Err(HostError::new("making an instance", error.into_boxed_dyn_error()));
    }
    // Errors that wasmtime finds while it takes values out of a guest have no type of their own.
    let is_too_large = error.to_string().starts_with("too much data is being copied");
    Ok(if is_too_large { GuestFault::ResultTooLarge } else { GuestFault::BadInterface })
}

/// Returns a trap as an outcome; `None` if the trap is a failure of this machine.
fn guest_fault(trap: Trap) -> Option<GuestFault> {
    Some(match trap {
        Trap::OutOfFuel => GuestFault::OutOfFuel,
        Trap::UnreachableCodeReached => GuestFault::Unreachable,
        Trap::MemoryOutOfBounds | Trap::TableOutOfBounds => GuestFault::OutOfBounds,
        Trap::IntegerOverflow | Trap::IntegerDivisionByZero | Trap::BadConversionToInteger => {
            GuestFault::Arithmetic
        }
        Trap::IndirectCallToNull | Trap::BadSignature | Trap::NullReference => {
            GuestFault::BadIndirectCall
        }
        Trap::CannotEnterComponent
        | Trap::CannotLeaveComponent
        | Trap::InvalidChar
        | Trap::StringOutOfBounds
        | Trap::ListOutOfBounds
        | Trap::InvalidDiscriminant
        | Trap::UnalignedPointer => GuestFault::BadInterface,
        // The guest counts its depth. Native stack must never end first.
        Trap::StackOverflow | Trap::Interrupt => return None,
        _ => GuestFault::Trap,
    })
}
