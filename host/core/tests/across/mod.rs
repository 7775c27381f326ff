//! Three shards under test, and an attempt at a transaction across them whose messages a test delivers.

#![allow(dead_code, reason = "each test file uses another part")]

use aspen_core::across::{Action, Coordinator, CoordinatorReply, Event, Split};
use aspen_core::apply::apply;
use aspen_core::codec::decode;
use aspen_core::function::NoFunctions;
use aspen_core::ids::{Caller, RequestId, SessionId, ShardId, Timestamp, TxnId, Version};
use aspen_core::key::{Key, Value};
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{Command, Entry, Outcome};
use aspen_core::state::{Model, State};
use aspen_core::transaction::{Operation, Read, Transact, WriteOp};
use aspen_core::two_phase::{CommitReply, Decide, Decision, Finish};
use aspen_core::view::View;
use bytes::Bytes;

pub const SHARDS: u16 = 3;

pub fn router() -> ShardRouter {
    ShardRouter::new(SHARDS).unwrap()
}

/// A key of this shard.
pub fn key(shard: u16, name: &str) -> Key {
    let keys = (0..).map(|n| Key::try_from(format!("{name}{n}").as_str()).unwrap());
    keys.into_iter().find(|key| router().shard(key.as_bytes()).get() == shard).unwrap()
}

pub fn set(key: &Key, value: &str) -> Operation {
    WriteOp::set(key.clone(), Value::try_from(value).unwrap()).into()
}

pub fn txn(nonce: u64) -> TxnId {
    TxnId { begun: Timestamp::new(1_000), coordinator: ShardId::new(0), nonce }
}

#[derive(Clone)]
pub struct World {
    pub models: Vec<Model>,
    pub clock: u64,
}

impl World {
    pub fn new() -> Self {
        let models = vec![Model::new(); usize::from(SHARDS)];
        let mut world = Self { models, clock: 1_000 };
        for shard in 0..SHARDS {
            world.apply(shard, None, Command::OpenSession);
        }
        world
    }

    pub fn apply(&mut self, shard: u16, request: Option<RequestId>, command: Command) -> Bytes {
        let stamp = Timestamp::new(self.clock);
        let entry = Entry { stamp, seed: 1, caller: Caller::LOCAL, request, command };
        let (model, shard) = (&mut self.models[usize::from(shard)], ShardId::new(shard));
        let applied = apply(model, &NoFunctions, shard, router(), &entry).unwrap();
        model.check();
        let locks = &model.resident().locks;
        assert_eq!(model.header().prepared, locks.all_prepared().count() as u64);
        applied.outcome
    }

    pub fn one(&mut self, shard: u16, command: Command) -> Outcome {
        decode(&self.apply(shard, None, command)).unwrap()
    }

    pub fn version(&self, key: &Key) -> u64 {
        let shard = router().shard(key.as_bytes()).get();
        let record = self.models[usize::from(shard)].get(key).unwrap();
        record.map_or(Version::ABSENT, |record| record.version).get()
    }

    /// Does as leaders do with locks and decisions without a driver.
    pub fn sweep(&mut self) {
        for shard in 0..SHARDS {
            let locks = &self.models[usize::from(shard)].resident().locks;
            let held: Vec<_> =
                locks.all_prepared().map(|(txn, held)| (*txn, held.prepare_id)).collect();
            for (txn, prepare_id) in held {
                let decide =
                    Decide { txn, decision: Decision::Abort, answer: CommitReply::Results(vec![]) };
                let asked = self.one(txn.coordinator.get(), Command::Decide(decide));
                let Outcome::Decided(decision) = asked else { panic!("{asked:?}") };
                let branch = decision.branch_for(ShardId::new(shard), prepare_id);
                let finish = Finish { txn, prepare_id: Some(prepare_id), branch };
                self.one(shard, Command::Finish(finish));
            }
        }
        let locks = &self.models[0].resident().locks;
        let done =
            |(txn, decision): (&TxnId, &Decision)| (*decision != Decision::Abort).then_some(*txn);
        let done: Vec<TxnId> = locks.all_decided().filter_map(done).collect();
        self.one(0, Command::Forget(done));
    }
}

/// An attempt under way.
#[derive(Clone)]
pub struct Attempt {
    pub world: World,
    /// `None` once it has crashed.
    pub coordinator: Option<Coordinator>,
    pub request: RequestId,
    pub in_flight: Vec<Action>,
    pub reply: Option<CoordinatorReply>,
}

impl Attempt {
    pub fn new(world: World, nonce: u64, transact: &Transact) -> Self {
        Self::answering(world, nonce, transact, None)
    }

    pub fn answering(
        world: World,
        nonce: u64,
        transact: &Transact,
        answer: Option<CommitReply>,
    ) -> Self {
        let split = Split::new(&router(), transact).unwrap();
        let coordinator = Coordinator::new(txn(nonce), split, answer);
        let request = RequestId { session: SessionId::new(1), sequence: 1, acknowledged: 0 };
        let in_flight = coordinator.begin();
        Self { world, coordinator: Some(coordinator), request, in_flight, reply: None }
    }

    /// A message reaches its shard; the result that the coordinator hears leads to more messages.
    pub fn deliver(&mut self, action: Action) {
        let event = match action {
            Action::Prepare(shard, prepare) => {
                let is_home = shard == prepare.txn.coordinator;
                let request = is_home.then_some(self.request);
                let outcome = self.world.apply(shard.get(), request, Command::Prepare(prepare));
                Event::Voted(shard, outcome)
            }
            Action::Decide(decide) => {
                let (home, txn) = (decide.txn.coordinator.get(), decide.txn);
                let outcome = self.world.apply(home, Some(self.request), Command::Decide(decide));
                let decision = self.world.models[0].resident().locks.decision(&txn).cloned();
                Event::Decided(Some((outcome, decision)))
            }
            Action::Finish(shard, finish) => {
                self.world.one(shard.get(), Command::Finish(finish));
                Event::Finished(shard)
            }
            Action::Forget => {
                self.world.one(0, Command::Forget(vec![txn(1)]));
                return;
            }
            Action::Reply(_) => unreachable!("it is taken when it is made"),
        };
        self.tell(event);
    }

    pub fn tell(&mut self, event: Event) {
        let Some(coordinator) = &mut self.coordinator else { return };
        for action in coordinator.step(event) {
            match action {
                Action::Reply(reply) => {
                    assert!(self.reply.is_none(), "one reply");
                    self.reply = Some(reply);
                }
                other => self.in_flight.push(other),
            }
        }
    }

    pub fn run(&mut self) {
        while !self.in_flight.is_empty() {
            let next = self.in_flight.remove(0);
            self.deliver(next);
        }
    }
}

pub fn transact(reads: Vec<Read>, then: Vec<Operation>) -> Transact {
    Transact { reads, then, ..Transact::default() }
}
