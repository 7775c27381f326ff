//! The trace of a run: its events in order, the evidence that two runs were the same.
//!
//! Two parts: lines that people read, each with its simulated time, and one running hash over
//! every message that was sent, bytes and moment. The hash becomes part of the lines now and then,
//! so that the first line that differs says roughly when two runs parted.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aspen_net::{PeerAddr, Purpose};
use madsim::time::TimeHandle;

use super::fault_kind::FaultKind;

/// The trace of a run. A clone is another handle.
#[derive(Clone)]
pub struct Trace {
    events: Arc<Mutex<Events>>,
    is_shown: bool,
}

#[derive(Default)]
struct Events {
    lines: Vec<String>,
    messages: u64,
    wire: u64,
    faults: BTreeMap<FaultKind, u64>,
}

/// Simulated microseconds since the start of the run.
fn now_us() -> u128 {
    TimeHandle::current().elapsed().as_micros()
}

impl Trace {
    /// An empty trace; with `is_shown` every event is printed when it happens, too.
    pub fn new(is_shown: bool) -> Self {
        Self { events: Arc::default(), is_shown }
    }

    /// Notes an event.
    pub fn event(&self, what: impl Display) {
        let line = format!("{:>11.6} {what}", now_us() as f64 / 1e6);
        if self.is_shown {
            eprintln!("{line}");
        }
        self.events().lines.push(line);
    }

    /// Notes a message of `bytes`, a request or a reply.
    pub fn message(&self, from: &PeerAddr, to: &PeerAddr, purpose: Purpose, bytes: &[u8]) {
        let way = format!("{} {} {} {purpose:?}", now_us(), from.addr, to.addr);
        let mut events = self.events();
        events.messages += 1;
        let before = events.wire;
        events.wire = seahash::hash_seeded(way.as_bytes(), before, seahash::hash(bytes), 0, 0);
    }

    /// Makes the messages so far part of the lines.
    pub fn checkpoint(&self) {
        let (messages, wire) = {
            let events = self.events();
            (events.messages, events.wire)
        };
        self.event(format_args!("{messages} messages, wire {wire:016x}"));
    }

    /// Counts a fault.
    pub fn fault(&self, fault: FaultKind) {
        *self.events().faults.entry(fault).or_default() += 1;
    }

    /// Returns the number of times that each fault happened.
    pub fn faults(&self) -> BTreeMap<FaultKind, u64> {
        self.events().faults.clone()
    }

    /// Messages so far.
    pub fn messages(&self) -> u64 {
        self.events().messages
    }

    /// All lines.
    pub fn text(&self) -> String {
        self.events().lines.join("\n")
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
