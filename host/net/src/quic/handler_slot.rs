//! The place of the handler: empty until the transport serves, and empty again once it is closed.

use std::{
    fmt,
    sync::{Arc, Mutex},
};

use super::lock::lock;
use crate::transport::Handler;

/// The handler of a transport. `close` empties the slot, because a handler often holds the transport.
#[derive(Default)]
pub(super) struct HandlerSlot(Mutex<Option<Arc<dyn Handler>>>);

impl HandlerSlot {
    /// Returns the handler; `None` if the transport does not serve.
    pub fn get(&self) -> Option<Arc<dyn Handler>> {
        lock(&self.0).clone()
    }

    /// Puts the handler in. A second handler is a bug.
    pub fn set(&self, handler: Arc<dyn Handler>) {
        let before = lock(&self.0).replace(handler);
        assert!(before.is_none(), "a transport serves one handler");
    }

    /// Takes the handler out and drops it.
    pub fn empty(&self) {
        drop(lock(&self.0).take());
    }
}

impl fmt::Debug for HandlerSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.get().is_some() { "serving" } else { "not serving" })
    }
}
