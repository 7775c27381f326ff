//! Queries: what a call would come to on a state, which stays as it is.
//!
//! Promises what the call would give as the next entry, with the same time, seed and caller: result,
//! writes, fuel and log lines, by the same code. What a transaction across shards holds is not looked
//! through: then the answer is [`Refusal::Locked`], and whoever asked waits. Leaves out how fresh the
//! state is, reads that the call may depend on, and expiry: a key that is due is there until the next
//! entry removes it, as for any read.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::apply::{Context, evaluate};
use crate::command::Call;
use crate::functions::{CallEnd, CallResult, Functions};
use crate::ids::{ComponentHash, Name, Version};
use crate::key::{Key, KeyRange};
use crate::limits::QUERY_READS_MAX;
use crate::locks::Locks;
use crate::message::{DryRun, Queried};
use crate::outcome::{Outcome, Refusal};
use crate::state::{Alias, Fault, Header, Record, View};

/// Runs a call on `view`, which has what `locks` and `header` say.
pub fn query(
    view: &dyn View,
    locks: &Locks,
    header: &Header,
    functions: &dyn Functions,
    context: &Context,
    call: &Call,
) -> Result<Queried, Fault> {
    let refused = |refusal| Ok(Queried { outcome: Outcome::Refused(refusal), dry_run: None });
    if let Err(refusal) = call.check().and_then(|()| context.check_home([&call.key].into_iter())) {
        return refused(refusal);
    }
    let seen = Seen::new(view);
    let next = header.revision.next();
    let called = match evaluate(&seen, locks, functions, context, next, call)? {
        Ok((_, called)) => called,
        Err(refusal) => return refused(refusal),
    };
    let CallResult { end, fuel, writes, log } = called;
    let outcome = match end {
        CallEnd::Returned(values) => {
            let revision = if writes.is_empty() { header.revision } else { next };
            Outcome::Returned { revision, values, fuel, writes: writes.len() as u32 }
        }
        CallEnd::Aborted(error) => Outcome::Aborted { error, fuel },
        CallEnd::Faulted(fault) => Outcome::Faulted { fault, fuel },
        CallEnd::Refused(refusal) => Outcome::Refused(refusal),
    };
    let (reads, more_reads) = seen.into_reads();
    Ok(Queried { outcome, dry_run: Some(DryRun { reads, more_reads, writes, log }) })
}

impl Queried {
    /// Who holds what the function looked at, or would write.
    pub fn locked_by(&self) -> Option<crate::two_phase::TxnId> {
        match self.outcome {
            Outcome::Refused(Refusal::Locked { by }) => Some(by),
            _ => None,
        }
    }
}

/// A view that notes which keys were looked at.
pub struct Seen<'a> {
    view: &'a dyn View,
    reads: RefCell<BTreeMap<Key, Version>>,
    more: Cell<u64>,
}

impl<'a> Seen<'a> {
    /// A view through which nothing was looked at yet.
    pub fn new(view: &'a dyn View) -> Self {
        Self { view, reads: RefCell::default(), more: Cell::default() }
    }

    /// The keys and their versions, in order of keys, and how many times further keys were read.
    pub fn into_reads(self) -> (Vec<(Key, Version)>, u64) {
        (self.reads.into_inner().into_iter().collect(), self.more.get())
    }

    fn note(&self, key: &Key, record: Option<&Record>) {
        let mut reads = self.reads.borrow_mut();
        let version = record.map_or(Version::ABSENT, |record| record.version);
        if reads.len() < QUERY_READS_MAX {
            reads.insert(key.clone(), version);
        } else if !reads.contains_key(key) {
            self.more.set(self.more.get() + 1);
        }
    }
}

impl View for Seen<'_> {
    fn get(&self, key: &Key) -> Result<Option<Record>, Fault> {
        let record = self.view.get(key)?;
        self.note(key, record.as_ref());
        Ok(record)
    }

    fn scan(
        &self,
        range: &KeyRange,
        reverse: bool,
        visit: &mut dyn FnMut(&[u8], Record) -> bool,
    ) -> Result<(), Fault> {
        self.view.scan(range, reverse, &mut |key, record| {
            if let Ok(key) = Key::new(Bytes::copy_from_slice(key)) {
                self.note(&key, Some(&record));
            }
            visit(key, record)
        })
    }

    fn component(&self, hash: &ComponentHash) -> Result<Option<Bytes>, Fault> {
        self.view.component(hash)
    }

    fn has_component(&self, hash: &ComponentHash) -> Result<bool, Fault> {
        self.view.has_component(hash)
    }

    fn alias(&self, name: &Name) -> Result<Option<Arc<Alias>>, Fault> {
        self.view.alias(name)
    }

    fn aliases(&self) -> Result<Vec<(Name, Arc<Alias>)>, Fault> {
        self.view.aliases()
    }
}
