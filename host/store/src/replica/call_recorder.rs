//! The record of the calls that a replica applied: their log lines, faults and figures.
//!
//! Promises that nothing that is applied depends on this record, nor on the time that a call took.

use std::mem;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use aspen_core::function::{Call, CallNote, CallNotes, CallReport, FunctionStatistics};
use aspen_core::ids::{Caller, ComponentRef, Fuel, LogIndex, ShardId, Timestamp};

use crate::sync::lock;

/// Is told of a call that was applied: the time that it took by this machine's clock, and the fuel
/// charged if the function ran to an end.
pub type CallObserver = Box<dyn Fn(&Call, Duration, Option<Fuel>) + Send + Sync>;

/// The entry of a call, its entry time and its caller.
pub struct CallOrigin {
    pub index: LogIndex,
    pub time: Timestamp,
    pub caller: Caller,
}

/// The calls of one replica since it was opened.
pub struct CallRecorder {
    shard: ShardId,
    notes: Mutex<CallNotes>,
    observer: OnceLock<CallObserver>,
}

impl CallRecorder {
    /// Makes an empty record.
    pub fn new(shard: ShardId) -> Self {
        Self { shard, notes: Mutex::default(), observer: OnceLock::new() }
    }

    /// Tells `observer` of every call from now on. Only the first observer counts.
    pub fn observe(&self, observer: CallObserver) {
        // A second one would be told nothing.
        let _ = self.observer.set(observer);
    }

    /// Tells the observer of a call that is applied, and notes the call.
    pub fn applied(&self, took: Duration, at: CallOrigin, call: Call, called: Option<CallReport>) {
        if let Some(observer) = self.observer.get() {
            observer(&call, took, called.as_ref().map(|called| called.fuel));
        }
        self.note(took, at, (call.component, call.function), called);
    }

    /// Notes a call, unless it was a repeat or was not begun. `of` is the component and the function as
    /// the caller named them.
    pub fn note(
        &self,
        took: Duration,
        at: CallOrigin,
        of: (ComponentRef, String),
        called: Option<CallReport>,
    ) {
        let Some(mut called) = called else { return };
        let micros = took.as_micros() as u64;
        let shard = self.shard;
        for line in &called.log {
            tracing::info!(target: "aspen::function", %shard, "{line}");
        }
        let CallOrigin { index, time, caller } = at;
        let (named, function) = of;
        let note = CallNote {
            shard,
            index,
            time,
            caller,
            named,
            component: called.component,
            function,
            ended: called.ended.clone(),
            lines: mem::take(&mut called.log),
        };
        lock(&self.notes).note(note, &called, micros);
    }

    /// Returns the notes after an entry; of one name or component if wanted.
    pub fn notes(&self, after: LogIndex, of: Option<&ComponentRef>) -> Vec<CallNote> {
        lock(&self.notes).after(after, of)
    }

    /// Returns figures of each function.
    pub fn statistics(&self) -> Vec<FunctionStatistics> {
        lock(&self.notes).statistics()
    }
}
