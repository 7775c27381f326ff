//! Transactions across shards, driven message by message: delivered, repeated, lost, and with drivers that
//! crash.
//!
//! An attempt such as `t1` is one try at a transaction. Its coordinator is the lowest shard that it
//! touches.

use std::collections::BTreeMap;

use aspen::txn_text::parse;
use aspen_core::across::{Action, Coordinator, CoordinatorReply, Event, Split};
use aspen_core::codec::decode;
use aspen_core::ids::{RequestId, ShardId, Timestamp, TxnId};
use aspen_core::protocol::{Command, Outcome};
use aspen_core::state::State;
use aspen_core::transaction::Transact;
use aspen_core::two_phase::{CommitReply, Decide, Decision, Finish};

use crate::script::print::{print, print_answer, print_decision};
use crate::script::words::{first_word, numbered};
use crate::script::world::World;

/// The attempts of a script, by name.
#[derive(Default)]
pub struct Attempts {
    by_name: BTreeMap<String, Attempt>,
}

/// One try at a transaction across shards.
struct Attempt {
    txn: TxnId,
    request: RequestId,
    transact: Transact,
    /// None once its driver has crashed.
    coordinator: Option<Coordinator>,
    in_flight: Vec<Action>,
    /// The encoded outcome that the coordinator found, whether or not the client is told so.
    found: Option<bytes::Bytes>,
}

impl Attempts {
    /// `begin tN`, behind statements.
    pub fn begin(&mut self, world: &mut World, name: &str, statements: &str) -> Vec<String> {
        let transact = match parse(statements) {
            Ok(transact) => transact,
            Err(error) => return vec![format!("error: {error}")],
        };
        let shard = Split::new(&world.router(), &transact).map(|split| split.shards().next());
        let coordinator = match shard {
            Ok(shard) => shard.unwrap_or(ShardId::new(0)),
            Err(refusal) => return vec![format!("refused: {refusal}")],
        };
        let request = world.next_request(coordinator);
        self.start(world, name, coordinator, request, transact)
    }

    /// `retry tN as tM`: another attempt at the same request.
    pub fn retry(&mut self, world: &mut World, words: &str) -> Vec<String> {
        let (name, again) = words.split_once(" as ").expect("retry tN as tM");
        let Attempt { txn, request, transact, .. } = &self.by_name[name];
        let (coordinator, request, transact) = (txn.coordinator, *request, transact.clone());
        self.start(world, again, coordinator, request, transact)
    }

    fn start(
        &mut self,
        world: &mut World,
        name: &str,
        coordinator: ShardId,
        request: RequestId,
        transact: Transact,
    ) -> Vec<String> {
        let nonce = numbered(name, 't', "an attempt such as t1");
        let txn = TxnId { begun: Timestamp::new(world.clock), coordinator, nonce };
        world.name(&txn.to_string(), name);
        let split = Split::new(&world.router(), &transact).expect("begin has tried it");
        let coordinator = Coordinator::new(txn, split.with(txn.coordinator), None);
        let in_flight = coordinator.begin();
        let lines = vec![format!("{name} sends {}", listed(&in_flight))];
        let coordinator = Some(coordinator);
        let attempt = Attempt { txn, request, transact, coordinator, in_flight, found: None };
        self.by_name.insert(name.to_string(), attempt);
        lines
    }

    /// `deliver tN [MESSAGE]`, `repeat tN MESSAGE`, `lose tN MESSAGE`, `run tN`, `crash tN`, `conclude tN`.
    /// A message is named as it was sent, such as `prepare s1`.
    pub fn go_on(&mut self, world: &mut World, word: &str, rest: &str) -> Vec<String> {
        let (name, message) = first_word(rest);
        let attempt = self.by_name.get_mut(name).unwrap_or_else(|| panic!("no attempt {name}"));
        match word {
            "deliver" => {
                let action = attempt.take(message);
                attempt.deliver(world, name, action)
            }
            "repeat" => {
                let action = attempt.in_flight[attempt.find(message)].clone();
                attempt.deliver(world, name, action)
            }
            "lose" => {
                let action = attempt.take(message);
                attempt.lose(name, action)
            }
            "run" => attempt.run(world, name),
            "conclude" => attempt.conclude(world),
            _ => {
                attempt.coordinator = None;
                vec![]
            }
        }
    }
}

impl Attempt {
    fn find(&self, message: &str) -> usize {
        let is_meant = |action: &Action| message.is_empty() || listed_one(action) == message;
        let found = self.in_flight.iter().position(is_meant);
        found.unwrap_or_else(|| panic!("no {message:?} among: {}", listed(&self.in_flight)))
    }

    fn take(&mut self, message: &str) -> Action {
        self.in_flight.remove(self.find(message))
    }

    fn run(&mut self, world: &mut World, name: &str) -> Vec<String> {
        let mut lines = vec![];
        while !self.in_flight.is_empty() {
            let action = self.in_flight.remove(0);
            lines.extend(self.deliver(world, name, action));
        }
        lines
    }

    /// A message reaches its shard; the coordinator hears of its end.
    fn deliver(&mut self, world: &mut World, name: &str, action: Action) -> Vec<String> {
        let home = self.txn.coordinator;
        let (shard, request, command) = match &action {
            Action::Prepare(shard, prepare) => {
                let request = (*shard == home).then_some(self.request);
                (*shard, request, Command::Prepare(prepare.clone()))
            }
            Action::Decide(decide) => (home, Some(self.request), Command::Decide(decide.clone())),
            Action::Finish(shard, finish) => (*shard, None, Command::Finish(finish.clone())),
            Action::Forget => (home, None, Command::Forget(vec![self.txn])),
            Action::Reply(_) => panic!("a reply is no message to a shard"),
        };
        let bytes = world.apply(shard, request, command);
        let outcome: Outcome = decode(&bytes).expect("apply encoded it");
        let lines = match &action {
            Action::Decide(_) => vec![decided(&outcome)],
            _ => print(&outcome),
        };
        let mut lines: Vec<String> = lines.iter().map(|line| format!("{shard}: {line}")).collect();
        let event = match action {
            Action::Prepare(..) => Event::Voted(shard, bytes),
            Action::Decide(_) => {
                let decision = world.model(home).resident().locks.decision(&self.txn).cloned();
                Event::Decided(Some((bytes, decision)))
            }
            Action::Finish(..) => Event::Finished(shard),
            Action::Forget | Action::Reply(_) => return lines,
        };
        lines.extend(self.tell(name, event));
        lines
    }

    /// The coordinator hears nothing of a message, and cannot know if it arrived.
    fn lose(&mut self, name: &str, action: Action) -> Vec<String> {
        match action {
            Action::Prepare(shard, _) => self.tell(name, Event::Silent(shard)),
            Action::Decide(_) => self.tell(name, Event::Decided(None)),
            _ => vec![],
        }
    }

    fn tell(&mut self, name: &str, event: Event) -> Vec<String> {
        let Some(coordinator) = &mut self.coordinator else { return vec![] };
        let mut lines = vec![];
        let actions = coordinator.step(event).into_iter();
        let (replies, sent): (Vec<_>, Vec<_>) =
            actions.partition(|action| matches!(action, Action::Reply(_)));
        for reply in replies {
            if let Action::Reply(reply) = reply {
                lines.extend(self.answered(name, reply));
            }
        }
        if !sent.is_empty() {
            lines.push(format!("{name} sends {}", listed(&sent)));
        }
        self.in_flight.extend(sent);
        lines
    }

    fn answered(&mut self, name: &str, reply: CoordinatorReply) -> Vec<String> {
        let lines = match reply {
            CoordinatorReply::Outcome(bytes) => {
                let outcome: Outcome = decode(&bytes).expect("a coordinator encoded it");
                self.found = Some(bytes);
                print_answer(&self.transact, &outcome)
            }
            CoordinatorReply::Locked(shard, by) => {
                vec![format!("try again: {by} holds something on {shard}")]
            }
            CoordinatorReply::Silent(shard) => vec![format!("try again: {shard} does not answer")],
            CoordinatorReply::Unknown => vec!["unknown: the decision may be made or not".into()],
        };
        lines.iter().map(|line| format!("{name} says {line}")).collect()
    }

    /// The outcome that was found is proposed as the answer of the request, for good.
    fn conclude(&mut self, world: &mut World) -> Vec<String> {
        let found = self.found.clone().expect("the coordinator has found an outcome");
        let outcome = decode(&found).expect("a coordinator encoded it");
        let command = Command::Conclude(Box::new(outcome));
        let kept = world.apply(self.txn.coordinator, Some(self.request), command);
        let kept: Outcome = decode(&kept).expect("apply encoded it");
        let lines = print_answer(&self.transact, &kept).into_iter();
        lines.map(|line| format!("the client is told {line}")).collect()
    }
}

fn decided(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Committed { revision, .. } => format!("committed at revision {}", revision.get()),
        other => print(other).join("; "),
    }
}

fn listed(actions: &[Action]) -> String {
    actions.iter().map(listed_one).collect::<Vec<_>>().join(", ")
}

fn listed_one(action: &Action) -> String {
    match action {
        Action::Prepare(shard, _) => format!("prepare {shard}"),
        Action::Decide(decide) => format!("decide {}", decide.txn.coordinator),
        Action::Finish(shard, Finish { branch: None, .. }) => format!("abort {shard}"),
        Action::Finish(shard, _) => format!("finish {shard}"),
        Action::Forget => "forget".into(),
        Action::Reply(_) => "reply".into(),
    }
}

/// Does what leaders do with locks that nobody drives any more: each asks the coordinator's shard, and
/// finishes as that shard has decided. An attempt that was not decided is aborted.
pub fn sweep(world: &mut World) -> Vec<String> {
    let mut lines = vec![];
    for shard in world.shards() {
        let held = world.model(shard).resident().locks.all_prepared();
        let held: Vec<(TxnId, u64)> = held.map(|(txn, held)| (*txn, held.prepare_id)).collect();
        for (txn, prepare_id) in held {
            let home = txn.coordinator;
            let answer = CommitReply::Results(vec![]);
            let abort = Decide { txn, decision: Decision::Abort, answer };
            let outcome = world.entry(home, None, Command::Decide(abort));
            lines.push(format!("{shard} asks {home} about {txn}: {}", decided(&outcome)));
            let Outcome::Decided(decision) = outcome else { continue };
            let branch = decision.branch_for(shard, prepare_id);
            let finish = Finish { txn, prepare_id: Some(prepare_id), branch };
            let outcome = world.entry(shard, None, Command::Finish(finish));
            let what = if branch.is_some() { "writes and unlocks" } else { "unlocks" };
            lines.push(format!("{shard} {what}: {}", decided(&outcome)));
        }
    }
    if lines.is_empty() { vec!["nothing is locked".into()] } else { lines }
}

/// The prepares that hold locks, and the decisions that are remembered, by shard.
pub fn locks(world: &World) -> Vec<String> {
    let mut lines = vec![];
    for shard in world.shards() {
        let locks = &world.model(shard).resident().locks;
        for (txn, prepared) in locks.all_prepared() {
            lines.push(format!("{shard}: {txn} holds prepare {}", prepared.prepare_id));
        }
        for (txn, decision) in locks.all_decided() {
            lines.push(format!("{shard}: {txn} {}", print_decision(decision)));
        }
    }
    if lines.is_empty() { vec!["nothing is locked or decided".into()] } else { lines }
}
