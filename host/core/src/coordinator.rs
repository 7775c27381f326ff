//! Who sends what when, in a transaction across shards: a pure state machine.
//!
//! ```text
//! begin --Prepare to all--> preparing --all vote yes--> Decide --> finishing --Finish--> Forget
//!                               \ one votes no, or is silent: Finish (abort) to all, answer
//! ```
//!
//! [`Coordinator::begin`] and [`Coordinator::step`] say what is to be done; whoever drives it does
//! that and tells what came of it. Promises that an attempt is committed by nothing but its decision
//! in the log of the coordinator's shard, which names the prepares that count; that the driver may
//! end at any moment; and that messages may arrive in any order. Leaves out what follows when a
//! driver ended before its time: locks and decisions are state, and any leader goes on from there; and
//! that an outcome which is no decision is told to a client only when the log has it
//! (`Command::Conclude`).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::codec::{decode, encode};
use crate::ids::{Revision, ShardId};
use crate::limits::{CONFLICTS_MAX, RESULTS_BYTES_MAX, TXN_SHARDS_MAX};
use crate::outcome::{ConflictError, OperationResult, Outcome, Refusal, Vote};
use crate::route::ShardRouter;
use crate::transact::{Operation, Transact};
use crate::two_phase::{Answer, Branch, Decide, Decision, Finish, Prepare, TxnId};

/// A transaction, taken apart by shard.
#[derive(Clone, Debug)]
pub struct Split {
    parts: BTreeMap<ShardId, Transact>,
    /// The shard of each operation, for their results come back in this order.
    then: Vec<ShardId>,
    otherwise: Vec<ShardId>,
}

impl Split {
    /// Takes `transact` apart, if it can be done across shards.
    pub fn new(router: &ShardRouter, transact: &Transact) -> Result<Self, Refusal> {
        transact.check()?;
        transact.check_across()?;
        let mut split = Self { parts: BTreeMap::new(), then: vec![], otherwise: vec![] };
        for read in &transact.reads {
            let shard = read.shard(router).ok_or(Refusal::RangeAcrossShards)?;
            if shard.get() >= router.shards() {
                return Err(Refusal::WrongShard { shard });
            }
            split.part(shard, transact).reads.push(read.clone());
        }
        let home = |operation: &Operation| {
            operation
                .key()
                .map(|key| router.shard(key.as_bytes()))
                .ok_or(Refusal::LeaseAcrossShards)
        };
        for operation in &transact.then {
            let shard = home(operation)?;
            split.part(shard, transact).then.push(operation.clone());
            split.then.push(shard);
        }
        for operation in transact.otherwise.iter().flatten() {
            let shard = home(operation)?;
            let part = split.part(shard, transact);
            part.otherwise.get_or_insert_default().push(operation.clone());
            split.otherwise.push(shard);
        }
        let shards = split.parts.len();
        if shards > TXN_SHARDS_MAX {
            return Err(Refusal::TooManyShards { shards: shards as u64 });
        }
        Ok(split)
    }

    /// The part of a shard, so far. All parts have a second branch if the whole has one.
    fn part(&mut self, shard: ShardId, whole: &Transact) -> &mut Transact {
        self.parts.entry(shard).or_insert_with(|| Transact {
            otherwise: whole.otherwise.as_ref().map(|_| vec![]),
            return_values: whole.return_values,
            ..Transact::default()
        })
    }

    /// Lets `shard` take part, whether or not it is touched.
    pub fn with(mut self, shard: ShardId) -> Self {
        self.parts.entry(shard).or_default();
        self
    }

    /// The shards that it touches.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.parts.keys().copied()
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A shard applied its prepare, with this encoded outcome.
    Voted(ShardId, Bytes),
    /// A shard did not answer in time. It may have prepared, or may do so later.
    Silent(ShardId),
    /// The coordinator's shard applied the decision, with this encoded outcome, and what it has
    /// decided of this attempt since. `None`: it is not known whether it did.
    Decided(Option<(Bytes, Option<Decision>)>),
    /// A shard has done what was decided.
    Finished(ShardId),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Propose it on this shard, and say how that shard votes.
    Prepare(ShardId, Prepare),
    /// Propose it on the coordinator's shard, and say what was decided.
    Decide(Decide),
    /// Propose it on this shard until it is done, and say so.
    Finish(ShardId, Finish),
    /// Propose that the coordinator's shard forgets the attempt.
    Forget,
    /// Answer whoever asked for the transaction: what follows is nobody's concern.
    Reply(Reply),
}

/// The answer to whoever asked for the transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// An encoded outcome, as of a transaction on one shard.
    Outcome(Bytes),
    /// Another transaction holds something, on this shard: nothing was done, try again when it is over.
    Locked(ShardId, TxnId),
    /// A shard does not answer: nothing was done.
    Silent(ShardId),
    /// It is not known whether it was done.
    Unknown,
}

/// One attempt.
#[derive(Clone, Debug)]
pub struct Coordinator {
    txn: TxnId,
    split: Split,
    answer: Option<Answer>,
    answers: BTreeMap<ShardId, Option<Bytes>>,
    phase: Phase,
    /// Shards that have not yet done what was decided.
    unfinished: BTreeSet<ShardId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Preparing,
    Deciding,
    /// Committed, or given up.
    Over,
}

impl Coordinator {
    /// An attempt at the transaction `split`; the coordinator's shard is one of its shards. The client
    /// is told `answer` if it is done; none: the results of its operations.
    pub fn new(txn: TxnId, split: Split, answer: Option<Answer>) -> Self {
        assert!(split.parts.contains_key(&txn.coordinator), "the coordinator takes part");
        let (answers, unfinished) = Default::default();
        Self { txn, split, answer, answers, phase: Phase::Preparing, unfinished }
    }

    /// The first actions.
    pub fn begin(&self) -> Vec<Action> {
        let txn = self.txn;
        let prepare = |(shard, part): (&ShardId, &Transact)| {
            Action::Prepare(*shard, Prepare { txn, part: part.clone() })
        };
        self.split.parts.iter().map(prepare).collect()
    }

    /// What is to be done now.
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
        // What comes late is not counted; if it holds locks, some leader asks what became of it.
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

    /// The decision that the votes allow, or why there is none.
    fn count(&self) -> Result<Decide, Reply> {
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
                _ if *shard == self.txn.coordinator => return Err(Reply::Outcome(bytes.clone())),
                _ => refused = Some(bytes.clone()),
            }
        }
        if let Some(outcome) = refused {
            return Err(Reply::Outcome(outcome));
        }
        if let Some((shard, by)) = locked {
            return Err(Reply::Locked(shard, by));
        }
        if let Some(shard) = silent {
            return Err(Reply::Silent(shard));
        }
        if let Some(outcome) = no.outcome() {
            return Err(Reply::Outcome(encode(&outcome)));
        }
        let all_hold = votes.values().all(|vote| vote.reads_hold);
        let branch = if all_hold { Branch::Then } else { Branch::Otherwise };
        let ticket = |(shard, vote): (&ShardId, &Vote)| (*shard, vote.ticket);
        let others = votes.iter().filter(|(shard, _)| **shard != self.txn.coordinator);
        let decision = Decision::Commit { branch, tickets: others.map(ticket).collect() };
        let results = || match self.answer.clone() {
            Some(answer) => Ok(answer),
            None => self.results(branch, votes).map(Answer::Results),
        };
        let refused = |refusal| Reply::Outcome(encode(&Outcome::Refused(refusal)));
        Ok(Decide { txn: self.txn, decision, answer: results().map_err(refused)? })
    }

    /// What each operation of the whole comes to, in order.
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
        let Some((outcome, decision)) = decided else { return vec![Action::Reply(Reply::Unknown)] };
        let mut actions = vec![Action::Reply(Reply::Outcome(outcome))];
        let Some(Decision::Commit { branch, tickets }) = decision else {
            actions.extend(self.aborts());
            return actions;
        };
        let txn = self.txn;
        for (shard, ticket) in tickets {
            self.unfinished.insert(shard);
            let finish = Finish { txn, ticket: Some(ticket), branch: Some(branch) };
            actions.push(Action::Finish(shard, finish));
        }
        if self.unfinished.is_empty() {
            actions.push(Action::Forget);
        }
        actions
    }

    /// Unlocks every shard that has, or may have, prepared.
    fn aborts(&self) -> Vec<Action> {
        let txn = self.txn;
        let may_hold = |answer: &Option<Bytes>| match answer {
            Some(bytes) => matches!(decode(bytes), Ok(Outcome::Prepared(_))),
            None => true,
        };
        let held = self.answers.iter().filter(|(_, answer)| may_hold(answer));
        let abort = Finish { txn, ticket: None, branch: None };
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
            let bytes = |record: &crate::state::Record| record.value.as_bytes().len();
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
