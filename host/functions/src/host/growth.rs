//! [`Growth`]: the bounds of a guest's memory and tables.
//!
//! Promises that growth is refused alike on every machine: above the limits of the component's class
//! and above the guest's own maximum. A failure to grow within them is one of this machine.

use aspen_core::limits::GUEST_TABLE_ELEMENTS_MAX;
use aspen_core::view::HostError;
use wasmtime::{Error, ResourceLimiter};

use super::call_stop::CallStop;
use crate::profile::class::Limits;
use crate::profile::limits::MEMORIES_MAX;

/// Refuses growth above the limits and above the guest's own maximum. Only the wanted size decides.
/// Wasmtime asks before it compares with the maximum itself: growth that is allowed here and fails
/// there would look like a failure of the machine.
pub(crate) struct Growth {
    /// The limits of the component's class.
    limits: &'static Limits,
    /// The guest was refused memory or table elements. If the guest gives up later, this is the reason.
    pub is_refused: bool,
    /// The guest's present memory.
    pub memory_bytes: usize,
}

impl Growth {
    /// Nothing has grown yet.
    pub(super) fn new(limits: &'static Limits) -> Self {
        Self { limits, is_refused: false, memory_bytes: 0 }
    }

    fn allow(
        &mut self,
        desired: usize,
        maximum: Option<usize>,
        limit: usize,
    ) -> wasmtime::Result<bool> {
        let is_within = desired <= maximum.map_or(limit, |maximum| maximum.min(limit));
        self.is_refused |= !is_within;
        Ok(is_within)
    }
}

impl ResourceLimiter for Growth {
    fn memory_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let is_allowed = self.allow(desired, maximum, self.limits.memory_bytes)?;
        if is_allowed {
            self.memory_bytes = desired;
        }
        Ok(is_allowed)
    }

    /// Growth was allowed and is not possible: this machine is out of memory, others may have some.
    fn memory_grow_failed(&mut self, error: Error) -> wasmtime::Result<()> {
        Err(machine("growing a guest's memory", error))
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.allow(desired, maximum, GUEST_TABLE_ELEMENTS_MAX)
    }

    fn table_grow_failed(&mut self, error: Error) -> wasmtime::Result<()> {
        Err(machine("growing a guest's table", error))
    }

    fn instances(&self) -> usize {
        // Wasmtime counts the component's own instance too.
        self.limits.core_instances + 1
    }

    fn tables(&self) -> usize {
        self.limits.tables
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

fn machine(what: &'static str, error: Error) -> Error {
    CallStop::Machine(HostError::new(what, error.into_boxed_dyn_error())).into()
}
