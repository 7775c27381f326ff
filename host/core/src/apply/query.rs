//! [`query()`]: runs a call on a state and changes nothing.
//!
//! Promises the result, writes, fuel and log lines that the call would have as the next entry, with the same
//! time, seed and caller, by the same code. A query does not look past the locks of transactions across
//! shards: then the outcome is [`crate::refusal::Refusal::Locked`], and the client waits. Leaves out the
//! age of the state, reads that the call depends on, and expiry: a key that is due is present until the
//! next entry removes it, as for any read.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use bytes::Bytes;

use crate::apply::context::Context;
use crate::apply::evaluate::evaluate;
use crate::function::{Call, CallResult, Functions};
use crate::ids::Version;
use crate::key::{Key, KeyRange};
use crate::limits::QUERY_READS_MAX;
use crate::protocol::{DryRun, Outcome, QueryReply};
use crate::state::Header;
use crate::two_phase::Locks;
use crate::view::{Components, HostError, Record, View};

/// Runs a call on `view`. `locks` and `header` are of the same moment as the view.
pub fn query(
    view: &dyn View,
    locks: &Locks,
    header: &Header,
    functions: &dyn Functions,
    context: &Context,
    call: &Call,
) -> Result<QueryReply, HostError> {
    let refused = |refusal| Ok(QueryReply { outcome: Outcome::Refused(refusal), dry_run: None });
    if let Err(refusal) = call.check().and_then(|()| context.check_home([&call.key].into_iter())) {
        return refused(refusal);
    }
    let seen = ReadTrace::new(view);
    let next = header.revision.next();
    let called = match evaluate(&seen, locks, functions, context, next, call)? {
        Ok((_, called)) => called,
        Err(refusal) => return refused(refusal),
    };
    let CallResult { end, fuel, writes, log } = called;
    let revision = if writes.is_empty() { header.revision } else { next };
    let outcome = Outcome::of_call(end, revision, fuel, writes.len() as u32);
    let (reads, more_reads) = seen.into_reads();
    Ok(QueryReply { outcome, dry_run: Some(DryRun { reads, more_reads, writes, log }) })
}

/// A view that notes the keys that were read through it.
pub struct ReadTrace<'a> {
    view: &'a dyn View,
    reads: RefCell<BTreeMap<Key, Version>>,
    more: Cell<u64>,
}

impl<'a> ReadTrace<'a> {
    /// Wraps a view.
    pub fn new(view: &'a dyn View) -> Self {
        Self { view, reads: RefCell::default(), more: Cell::default() }
    }

    /// Returns the noted keys with their versions, in order of keys, and the number of reads of
    /// further keys.
    pub fn into_reads(self) -> (Vec<(Key, Version)>, u64) {
        (self.reads.into_inner().into_iter().collect(), self.more.get())
    }

    fn note(&self, key: &Key, record: Option<&Record>) {
        let mut reads = self.reads.borrow_mut();
        let version = Record::version_of(record);
        if reads.len() < QUERY_READS_MAX {
            reads.insert(key.clone(), version);
        } else if !reads.contains_key(key) {
            self.more.set(self.more.get() + 1);
        }
    }
}

impl View for ReadTrace<'_> {
    fn get(&self, key: &Key) -> Result<Option<Record>, HostError> {
        let record = self.view.get(key)?;
        self.note(key, record.as_ref());
        Ok(record)
    }

    fn scan(
        &self,
        range: &KeyRange,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], Record) -> bool,
    ) -> Result<(), HostError> {
        self.view.scan(range, reverse, &mut |key, record| {
            if let Ok(key) = Key::new(Bytes::copy_from_slice(key)) {
                self.note(&key, Some(&record));
            }
            visit(key, record)
        })
    }

    fn components(&self) -> &dyn Components {
        self.view.components()
    }
}
