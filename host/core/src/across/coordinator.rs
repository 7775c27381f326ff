//! [`Coordinator`]: the order of messages in a transaction across shards, as a pure state machine.
//!
//! ```text
//! begin --Prepare to all--> preparing --all vote yes--> Decide --> finishing --Finish--> Forget
//!                               \ one votes no, or is silent: Finish (abort) to all, answer
//! ```
//!
//! [`Coordinator::begin`] and [`Coordinator::step`] return actions. A driver takes them and returns their
//! results as events. Promises that only the decision in the log of the coordinator's shard commits an
//! attempt, and that the decision names the prepares that count; that the driver may end at any moment; and
//! that messages may arrive in any order.
//!
//! Leaves out the end of an attempt whose driver ended early: locks and decisions are state, and any leader
//! goes on from there. Leaves out `Command::Conclude`: a client is told an outcome that is no decision only
//! when the log has that outcome.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::across::split::Split;
use crate::codec::{decode, encode};
use crate::ids::{Revision, ShardId, TxnId};
use crate::limits::{CONFLICTS_MAX, RESULTS_BYTES_MAX};
use crate::protocol::Outcome;
use crate::refusal::Refusal;
use crate::transaction::{ConflictError, OperationResult, Transact};
use crate::two_phase::{Branch, CommitReply, Decide, Decision, Finish, Prepare, Vote};
use crate::view::Record;

/// An answer, or the lack of one, that the driver tells the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A shard applied its prepare, with this encoded outcome.
    Voted(ShardId, Bytes),
    /// A shard did not answer in time. It may have prepared, or may do so later.
    Silent(ShardId),
    /// The coordinator's shard applied the decision. Has the encoded outcome, and the decision of
    /// this attempt that the shard remembers by now. `None`: the driver does not know whether the
    /// shard applied it.
    Decided(Option<(Bytes, Option<Decision>)>),
    /// A shard applied the decision.
    Finished(ShardId),
}

/// A step that the driver takes for the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Propose the prepare on this shard; then tell the vote.
    Prepare(ShardId, Prepare),
    /// Propose the decision on the coordinator's shard; then tell the outcome.
    Decide(Decide),
    /// Propose the finish on this shard until the shard has applied it; then tell so.
    Finish(ShardId, Finish),
    /// Propose that the coordinator's shard forgets the attempt.
    Forget,
    /// Answer the client. The steps that follow go on in the background.
    Reply(CoordinatorReply),
}

/// The answer to the client of a transaction across shards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoordinatorReply {
    /// An encoded outcome, as of a transaction on one shard.
    Outcome(Bytes),
    /// Another transaction holds a lock on this shard. Nothing was done: try again when that
    /// transaction is over.
    Locked(ShardId, TxnId),
    /// This shard does not answer. Nothing was done.
    Silent(ShardId),
    /// The coordinator does not know whether the transaction was done.
    Unknown,
}

/// One attempt at a transaction across shards.
#[derive(Clone, Debug)]
pub struct Coordinator {
    txn: TxnId,
    split: Split,
    answer: Option<CommitReply>,
    answers: BTreeMap<ShardId, Option<Bytes>>,
    phase: Phase,
    /// Shards that have not yet applied the decision.
    unfinished: BTreeSet<ShardId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Preparing,
    Deciding,
    /// Committed, or aborted.
    Over,
}

impl Coordinator {
    /// Makes an attempt at the transaction `split`; the coordinator's shard is one of its shards.
    /// `answer` is for the client of a committed attempt; `None`: the results of its operations.
    pub fn new(txn: TxnId, split: Split, answer: Option<CommitReply>) -> Self {
        assert!(split.parts.contains_key(&txn.coordinator), "the coordinator takes part");
        let (answers, unfinished) = Default::default();
        Self { txn, split, answer, answers, phase: Phase::Preparing, unfinished }
    }

    /// Returns the first actions.
    pub fn begin(&self) -> Vec<Action> {
        let txn = self.txn;
        let prepare = |(shard, part): (&ShardId, &Transact)| {
            Action::Prepare(*shard, Prepare { txn, part: part.clone() })
        };
        self.split.parts.iter().map(prepare).collect()
    }

    /// Takes an event and returns the next actions.
    pub fn step(&mut self, event: Event) -> Vec<Action> {
        match event {
            Event::Voted(shard, outcome) => self.answered(shard, Some(outcome)),
            Event::Silent(shard) => self.answered(shard, None),
            Event::Decided(decided) => self.decided(decided),
            Event::Finished(shard) => {
                let was_last = self.unfinished.remove(&shard) && self.unfinished.is_empty();
                if was_last { vec![Action::Forget] } else { vec![] }
            }
        }
    }

    fn answered(&mut self, shard: ShardId, answer: Option<Bytes>) -> Vec<Action> {
        // A late vote is not counted; if it holds locks, some leader asks for the decision.
        if self.phase != Phase::Preparing {
            return vec![];
        }
        self.answers.insert(shard, answer);
        if self.answers.len() < self.split.parts.len() {
            return vec![];
        }
        match self.count() {
            Ok(decide) => {
                self.phase = Phase::Deciding;
                vec![Action::Decide(decide)]
            }
            Err(reply) => {
                self.phase = Phase::Over;
                let mut actions = vec![Action::Reply(reply)];
                actions.extend(self.aborts());
                actions
            }
        }
    }

    /// Returns the decision that the votes allow, or the answer to the client if they allow none.
    fn count(&self) -> Result<Decide, CoordinatorReply> {
        let mut votes: BTreeMap<ShardId, Vote> = BTreeMap::new();
        let mut no = Conflicts::default();
        let (mut locked, mut silent, mut refused) = (None, None, None);
        for (shard, answer) in &self.answers {
            let Some(bytes) = answer else {
                silent = Some(*shard);
                continue;
            };
            match decode::<Outcome>(bytes) {
                Ok(Outcome::Prepared(vote)) => {
                    votes.insert(*shard, vote);
                }
                Ok(Outcome::Conflict { revision, conflicts }) => no.add(revision, conflicts),
                Ok(Outcome::Refused(Refusal::Locked { by })) => locked = Some((*shard, by)),
                // Of the coordinator's shard: the request was done before, or will never be.
                _ if *shard == self.txn.coordinator => {
                    return Err(CoordinatorReply::Outcome(bytes.clone()));
                }
                _ => refused = Some(bytes.clone()),
            }
        }
        if let Some(outcome) = refused {
            return Err(CoordinatorReply::Outcome(outcome));
        }
        if let Some((shard, by)) = locked {
            return Err(CoordinatorReply::Locked(shard, by));
        }
        if let Some(shard) = silent {
            return Err(CoordinatorReply::Silent(shard));
        }
        if let Some(outcome) = no.outcome() {
            return Err(CoordinatorReply::Outcome(encode(&outcome)));
        }
        let all_hold = votes.values().all(|vote| vote.reads_hold);
        let branch = if all_hold { Branch::Then } else { Branch::Otherwise };
        let prepare_id = |(shard, vote): (&ShardId, &Vote)| (*shard, vote.prepare_id);
        let others = votes.iter().filter(|(shard, _)| **shard != self.txn.coordinator);
        let decision = Decision::Commit { branch, prepare_ids: others.map(prepare_id).collect() };
        let results = || match self.answer.clone() {
            Some(answer) => Ok(answer),
            None => self.results(branch, votes).map(CommitReply::Results),
        };
        let refused = |refusal| CoordinatorReply::Outcome(encode(&Outcome::Refused(refusal)));
        Ok(Decide { txn: self.txn, decision, answer: results().map_err(refused)? })
    }

    /// Returns the result of each operation of the whole transaction, in order.
    fn results(
        &self,
        branch: Branch,
        votes: BTreeMap<ShardId, Vote>,
    ) -> Result<Vec<OperationResult>, Refusal> {
        let of_branch = |vote: Vote| match branch {
            Branch::Then => vote.then.into_iter(),
            Branch::Otherwise => vote.otherwise.into_iter(),
        };
        let mut by_shard: BTreeMap<ShardId, _> =
            votes.into_iter().map(|(shard, vote)| (shard, of_branch(vote))).collect();
        let order = match branch {
            Branch::Then => &self.split.then,
            Branch::Otherwise => &self.split.otherwise,
        };
        let next = |shard: &ShardId| by_shard.get_mut(shard).and_then(Iterator::next);
        let results: Vec<OperationResult> = order.iter().filter_map(next).collect();
        let bytes = |result: &OperationResult| match result {
            OperationResult::Got(Some(record)) => record.value.as_bytes().len(),
            _ => 0,
        };
        let bytes: usize = results.iter().map(bytes).sum();
        match bytes > RESULTS_BYTES_MAX {
            true => Err(Refusal::ResultsTooLarge { bytes: bytes as u64 }),
            false => Ok(results),
        }
    }

    fn decided(&mut self, decided: Option<(Bytes, Option<Decision>)>) -> Vec<Action> {
        if std::mem::replace(&mut self.phase, Phase::Over) != Phase::Deciding {
            return vec![];
        }
        let Some((outcome, decision)) = decided else {
            return vec![Action::Reply(CoordinatorReply::Unknown)];
        };
        let mut actions = vec![Action::Reply(CoordinatorReply::Outcome(outcome))];
        let Some(Decision::Commit { branch, prepare_ids }) = decision else {
            actions.extend(self.aborts());
            return actions;
        };
        let txn = self.txn;
        for (shard, prepare_id) in prepare_ids {
            self.unfinished.insert(shard);
            let finish = Finish { txn, prepare_id: Some(prepare_id), branch: Some(branch) };
            actions.push(Action::Finish(shard, finish));
        }
        if self.unfinished.is_empty() {
            actions.push(Action::Forget);
        }
        actions
    }

    /// Returns the aborts for all shards that have prepared, or may have.
    fn aborts(&self) -> Vec<Action> {
        let txn = self.txn;
        let may_hold = |answer: &Option<Bytes>| match answer {
            Some(bytes) => matches!(decode(bytes), Ok(Outcome::Prepared(_))),
            None => true,
        };
        let held = self.answers.iter().filter(|(_, answer)| may_hold(answer));
        let abort = Finish { txn, prepare_id: None, branch: None };
        held.map(|(shard, _)| Action::Finish(*shard, abort.clone())).collect()
    }
}

/// Conflicts of several shards, within the bounds of one answer.
#[derive(Default)]
struct Conflicts {
    revision: Option<Revision>,
    found: Vec<ConflictError>,
    bytes: usize,
}

impl Conflicts {
    fn add(&mut self, revision: Revision, conflicts: Vec<ConflictError>) {
        self.revision.get_or_insert(revision);
        for mut conflict in conflicts {
            let bytes = |record: &Record| record.value.as_bytes().len();
            self.bytes += conflict.record.as_ref().map_or(0, bytes);
            if self.bytes > RESULTS_BYTES_MAX {
                conflict.record = None;
            }
            if self.found.len() < CONFLICTS_MAX {
                self.found.push(conflict);
            }
        }
    }

    fn outcome(self) -> Option<Outcome> {
        let conflicts = self.found;
        self.revision.map(|revision| Outcome::Conflict { revision, conflicts })
    }
}
