//! Applying entries in batches.
//!
//! Promises that a batch of entries becomes visible at once and is answered after that, and that the
//! state which an entry asks to verify is the one after this very entry.

use std::io;
use std::time::{Duration, Instant};

use aspen_core::apply::AppliedEntry;
use aspen_core::function::CallReport;
use aspen_core::ids::LogIndex;
use aspen_core::protocol::Command;
use aspen_core::state::State;
use aspen_core::two_phase::{Decide, FunctionRun};
use aspen_core::view::HostError;
use openraft::storage::EntryResponder;
use tokio::sync::mpsc;

use super::entry::apply_entry;
use super::worker::ApplyWorker;
use crate::error::chain;
use crate::limits::APPLY_BATCH_ENTRIES_MAX;
use crate::replica::{CallOrigin, EntryReply};
use crate::sync::lock;
use crate::types::{EncodedOutcome, LogId, RaftEntry, TypeConfig};

impl ApplyWorker {
    /// Applies entries; the replies of each batch go to `replies`.
    pub(super) fn apply(
        &mut self,
        entries: Vec<EntryResponder<TypeConfig>>,
        replies: mpsc::UnboundedSender<Vec<EntryReply>>,
    ) -> io::Result<()> {
        let mut entries = entries.into_iter();
        while entries.len() > 0 {
            let applied = self.apply_batch(entries.by_ref().take(APPLY_BATCH_ENTRIES_MAX));
            let batch = applied.map_err(|(log_id, fault)| self.stopped(log_id, &fault))?;
            if !batch.is_empty() {
                // Raft may be stopping: then nobody is told, as if the replica had stopped before.
                let _: Result<(), _> = replies.send(batch);
            }
        }
        Ok(())
    }

    /// Makes the error that Raft gets for a fault.
    fn stopped(&self, log_id: Option<LogId>, fault: &HostError) -> io::Error {
        let shard = self.shared.owner.shard;
        let path = lock(&self.shared.live).file.path.clone();
        let (at, path) = (log_id.map_or(0, |log_id| log_id.index), path.display());
        io::Error::other(format!("{shard} entry {at}, state {path}: {}", chain(fault)))
    }

    fn apply_batch(
        &mut self,
        batch: impl Iterator<Item = EntryResponder<TypeConfig>>,
    ) -> Result<Vec<EntryReply>, (Option<LogId>, HostError)> {
        self.state.begin();
        let mut replies = Vec::with_capacity(APPLY_BATCH_ENTRIES_MAX);
        let mut last = None;
        for (entry, responder) in batch {
            last = Some(entry.log_id);
            let (outcome, verify) = self.apply_one(entry).map_err(|fault| (last, fault))?;
            replies.extend(responder.map(|responder| (responder, outcome)));
            if let Some(index) = verify {
                self.verify(index).map_err(|fault| (last, fault))?;
            }
        }
        self.state.commit().map_err(|fault| (last, fault))?;
        Ok(replies)
    }

    /// Ends the batch, starts the hash of the state after the entry of `index`, and begins another batch.
    fn verify(&mut self, index: LogIndex) -> Result<(), HostError> {
        let requested = self.shared.verifications.begin(index, self.state.header().keys);
        self.state.commit()?;
        self.verifier.hash(&self.shared, &self.state, &requested);
        self.state.begin();
        Ok(())
    }

    /// Applies an entry. Returns its outcome, and its index if the entry asks for the hash of the state.
    fn apply_one(
        &mut self,
        entry: RaftEntry,
    ) -> Result<(EncodedOutcome, Option<LogIndex>), HostError> {
        let (index, begun) = (LogIndex::new(entry.log_id.index), Instant::now());
        let (functions, shard) = (&*self.functions, self.shared.owner.shard);
        let applied = apply_entry(&mut self.state, functions, shard, self.router, entry)?;
        let Some((entry, AppliedEntry { outcome, called })) = applied else {
            return Ok((EncodedOutcome::default(), None));
        };
        let verify = matches!(entry.command, Command::Verify).then_some(index);
        self.record_call(begun.elapsed(), index, entry, called);
        Ok((EncodedOutcome(outcome), verify))
    }

    /// Records the call that an entry made, if it made one.
    fn record_call(
        &self,
        took: Duration,
        index: LogIndex,
        entry: aspen_core::protocol::Entry,
        called: Option<CallReport>,
    ) {
        let (scheduled, called) = match called {
            Some(mut called) => (called.scheduled.take(), Some(called)),
            None => (None, None),
        };
        let (calls, time) = (&self.shared.calls, self.state.header().clock);
        let at = |caller| CallOrigin { index, time, caller };
        match (scheduled, entry.command) {
            (Some(scheduled), _) => {
                let (call, caller) = *scheduled;
                calls.applied(took, at(caller), call, called);
            }
            (None, Command::Call(call)) => calls.applied(took, at(entry.caller), call, called),
            (
                None,
                Command::Decide(Decide {
                    answer: aspen_core::two_phase::CommitReply::Function(ran),
                    ..
                }),
            ) => {
                let FunctionRun { named, function, micros, .. } = *ran;
                let took = Duration::from_micros(micros);
                calls.note(took, at(entry.caller), (named, function), called);
            }
            _ => {}
        }
    }
}
