//! What one call holds on the host's side: its view, its writes, its limits.
//!
//! Promises that a call is stopped by exactly one of three things: the guest's own trap, a limit
//! ([`Stop::Guest`]), or a failure of this machine ([`Stop::Machine`]), and that they stay apart.

use std::fmt;
use std::ptr::NonNull;

use aspen_core::limits::GUEST_TABLE_ELEMENTS_MAX;
use aspen_core::{CallInput, Caller, Fault, GuestFault, Key, Revision, ShardId, ShardRouter, View};
use wasmtime::{Error, ResourceLimiter};

use crate::class::Limits;
use crate::overlay::Overlay;
use crate::profile::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX, MEMORIES_MAX};

/// Why a host function ends the call.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The guest broke a limit.
    Guest(GuestFault),
    /// This machine failed.
    Machine(Fault),
}

impl From<GuestFault> for Stop {
    fn from(fault: GuestFault) -> Stop {
        Stop::Guest(fault)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Stop {
        Stop::Machine(fault)
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Guest(fault) => fault.fmt(f),
            Stop::Machine(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for Stop {}

/// The view of a call, without its lifetime: wasmtime's store holds only `'static` data.
struct ErasedView(NonNull<dyn View>);

impl ErasedView {
    /// # Safety
    /// The result must not be used, nor anything that holds it, once `view` is gone.
    unsafe fn new(view: &dyn View) -> Self {
        let view: NonNull<dyn View + '_> = NonNull::from(view);
        // SAFETY: only the lifetime changes; the caller keeps to it.
        Self(unsafe { std::mem::transmute::<NonNull<dyn View + '_>, NonNull<dyn View>>(view) })
    }
}

/// The data of one call.
pub(crate) struct Host {
    view: ErasedView,
    shard: ShardId,
    router: ShardRouter,
    /// The call's writes.
    pub overlay: Overlay,
    /// The revision that the writes will have.
    pub revision: Revision,
    /// Entry time in milliseconds.
    pub time_ms: u64,
    /// Chance.
    pub seed: u64,
    /// Who asked.
    pub caller: Caller,
    /// Logged lines.
    pub log: Vec<String>,
    /// Memory and tables.
    pub growth: Growth,
}

impl Host {
    /// # Safety
    /// The host must be dropped before `view` is.
    pub(crate) unsafe fn new(
        view: &dyn View,
        input: &CallInput<'_>,
        limits: &'static Limits,
    ) -> Self {
        Self {
            // SAFETY: as asked of our caller.
            view: unsafe { ErasedView::new(view) },
            shard: input.shard,
            router: input.router,
            overlay: Overlay::new(input.revision),
            revision: input.revision,
            time_ms: input.time.get(),
            seed: input.seed,
            caller: input.caller,
            log: vec![],
            growth: Growth { limits, is_refused: false, memory_bytes: 0 },
        }
    }

    /// The state that the call started from.
    pub(crate) fn view(&self) -> &dyn View {
        // SAFETY: `new` was told that the view outlives this value, which `&self` borrows.
        unsafe { self.view.0.as_ref() }
    }

    /// The view, and the writes to change.
    pub(crate) fn parts(&mut self) -> (&dyn View, &mut Overlay) {
        // SAFETY: as in `view`; the overlay is another field, and the view is only read.
        (unsafe { self.view.0.as_ref() }, &mut self.overlay)
    }

    /// Checks a guest's key: its length, and that this shard has it.
    pub(crate) fn key(&self, bytes: &[u8]) -> Result<Key, Stop> {
        // Length first: a key of another shard becomes part of the outcome.
        let key = Key::new(bytes.to_vec()).map_err(|_| GuestFault::KeyOrValueLength)?;
        let shard = self.router.shard(bytes);
        if shard != self.shard {
            return Err(GuestFault::WrongShard { key, shard }.into());
        }
        Ok(key)
    }

    /// Keeps a line, within the limits.
    pub(crate) fn log(&mut self, line: &str) {
        if self.log.len() < LOG_LINES_MAX {
            self.log.push(line[..line.floor_char_boundary(LOG_LINE_BYTES_MAX)].to_string());
        }
    }
}

/// Refuses growth above the limits and above the guest's own maximum, looking at nothing but the
/// size asked for. Wasmtime asks before it looks at the maximum itself: what is let through here and
/// fails there would pass for a failure of the machine.
pub(crate) struct Growth {
    /// Of the component's class.
    pub limits: &'static Limits,
    /// The guest was refused memory or table before: if it gives up now, that is why.
    pub is_refused: bool,
    /// The guest's memory as it is now.
    pub memory_bytes: usize,
}

impl Growth {
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

    /// Allowed and yet not possible: this machine is out of memory, others may not be.
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
    Stop::Machine(Fault::new(what, error.into_boxed_dyn_error())).into()
}
