//! [`CallData`]: the host's side of one call, with its view, its writes and its limits.
//!
//! Promises that a key reaches the view only if it has a legal length and this shard owns it. Leaves
//! out the writes themselves (`overlay.rs`) and the functions that the guest calls (`imports.rs`).

use std::ptr::NonNull;

use aspen_core::function::{CallInput, GuestFault};
use aspen_core::ids::{Caller, Revision, ShardId};
use aspen_core::key::Key;
use aspen_core::placement::ShardRouter;
use aspen_core::view::View;

use super::call_stop::CallStop;
use super::growth::Growth;
use super::overlay::Overlay;
use crate::profile::class::Limits;
use crate::profile::limits::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX};

/// The view of a call, without its lifetime: wasmtime's store holds only `'static` data.
struct ErasedView(NonNull<dyn View>);

impl ErasedView {
    /// # Safety
    /// Neither the result nor its holder may be used after the end of `view`.
    unsafe fn new(view: &dyn View) -> Self {
        let view: NonNull<dyn View + '_> = NonNull::from(view);
        // SAFETY: only the lifetime changes, and the caller keeps to the old one.
        Self(unsafe { std::mem::transmute::<NonNull<dyn View + '_>, NonNull<dyn View>>(view) })
    }
}

/// The data of one call, as wasmtime's store holds them.
pub(crate) struct CallData {
    view: ErasedView,
    shard: ShardId,
    router: ShardRouter,
    /// The call's writes.
    pub overlay: Overlay,
    /// The revision that the writes will have.
    pub revision: Revision,
    pub time_ms: u64,
    /// The source of chance, from the entry.
    pub seed: u64,
    pub caller: Caller,
    pub log: Vec<String>,
    /// The limits of memory and tables.
    pub growth: Growth,
}

impl CallData {
    /// # Safety
    /// The value must be dropped before `view` is.
    pub(crate) unsafe fn new(
        view: &dyn View,
        input: &CallInput<'_>,
        limits: &'static Limits,
    ) -> Self {
        Self {
            // SAFETY: the caller keeps to the condition above.
            view: unsafe { ErasedView::new(view) },
            shard: input.shard,
            router: input.router,
            overlay: Overlay::new(input.revision),
            revision: input.revision,
            time_ms: input.time.get(),
            seed: input.seed,
            caller: input.caller,
            log: vec![],
            growth: Growth::new(limits),
        }
    }

    /// Returns the state that the call started from.
    pub(crate) fn view(&self) -> &dyn View {
        // SAFETY: `new` was told that the view outlives this value, which `&self` borrows.
        unsafe { self.view.0.as_ref() }
    }

    /// Returns the view, and the writes for a change.
    pub(crate) fn parts(&mut self) -> (&dyn View, &mut Overlay) {
        // SAFETY: as in `view`; the overlay is another field, and the view is only read.
        (unsafe { self.view.0.as_ref() }, &mut self.overlay)
    }

    /// Returns a guest's key, or a fault if its length is wrong or another shard has it.
    pub(crate) fn key(&self, bytes: &[u8]) -> Result<Key, CallStop> {
        // The length is checked first, for a key of another shard becomes part of the outcome.
        let key = Key::new(bytes.to_vec()).map_err(|_| GuestFault::KeyOrValueLength)?;
        let shard = self.router.shard(bytes);
        if shard != self.shard {
            return Err(GuestFault::WrongShard { key, shard }.into());
        }
        Ok(key)
    }

    /// Keeps a line of the log, within the limits.
    pub(crate) fn log(&mut self, line: &str) {
        if self.log.len() < LOG_LINES_MAX {
            self.log.push(line[..line.floor_char_boundary(LOG_LINE_BYTES_MAX)].to_string());
        }
    }
}
