//! Histories that are right by construction: transactions executed one after the other.
//!
//! Each takes effect at a tick of its own and is seen to begin before and to end after that, so that
//! others overlap it. What a transaction of unknown outcome did is not told to anybody. Shares no
//! code with the checker.

use std::collections::BTreeMap;

use aspen_core::placement::ShardRouter;

use crate::history::{History, Operation, Outcome, Record, Transaction};

/// Ticks between two transactions' moments of effect.
const TICKS: u64 = 100;

/// The plan of one transaction.
#[derive(Clone, Debug)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// The end that the transaction shall have. The revisions are filled in.
    pub outcome: Outcome,
    /// True if the transaction takes effect although its outcome is unknown.
    pub happens: bool,
    /// True if the transaction is told the versions that it wrote, if it commits.
    pub is_told: bool,
    /// Ticks from its beginning to its effect, and from there to its end.
    pub around: (u64, u64),
}

/// One operation, on keys by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Reads a key.
    Get(u8),
    /// Reads the keys from the first number to before the second.
    Scan(u8, u8),
    /// Writes a key.
    Set(u8),
    /// Removes a key.
    Delete(u8),
}

/// Numbers that look like chance and follow from a seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Choices(u64);

impl Choices {
    /// Another sequence for each seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One of 0 to `limit - 1`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// A plan over this many keys: mostly committed, each overlapping a few others.
    pub fn plan(&mut self, keys: u8) -> Plan {
        let keys = u64::from(keys);
        let steps = (0..=self.below(4)).map(|_| {
            let key = self.below(keys) as u8;
            match self.below(8) {
                0..4 => Step::Get(key),
                4 => Step::Scan(key, key.saturating_add(5)),
                5..7 => Step::Set(key),
                _ => Step::Delete(key),
            }
        });
        let steps = steps.collect();
        let outcome = match self.below(20) {
            0 => Outcome::Unknown,
            1 => Outcome::Aborted,
            _ => Outcome::Committed { revisions: BTreeMap::new() },
        };
        let around = (self.below(8 * TICKS), self.below(8 * TICKS));
        Plan { steps, outcome, happens: self.below(2) == 0, is_told: self.below(10) > 0, around }
    }
}

/// The store, one transaction at a time.
#[derive(Clone)]
struct Store {
    router: ShardRouter,
    records: BTreeMap<String, Record>,
    /// Revision of each shard.
    revisions: BTreeMap<u16, u64>,
}

/// Executes plans in order, on keys `k000`, `k001` and so on.
///
/// # Panics
/// If a cluster cannot have that many shards.
pub fn serial(shards: u16, plans: &[Plan]) -> History {
    let router = ShardRouter::new(shards).expect("a cluster has 1 to 256 shards");
    let mut store = Store { router, records: BTreeMap::new(), revisions: BTreeMap::new() };
    let mut transactions = vec![];
    for (at, plan) in plans.iter().enumerate() {
        let effect = 1_000 + at as u64 * TICKS;
        let happens = match plan.outcome {
            Outcome::Committed { .. } => true,
            Outcome::Aborted => false,
            Outcome::Unknown => plan.happens,
        };
        let before = (!happens).then(|| store.clone());
        let (operations, revisions) = store.execute(at, plan);
        if let Some(before) = before {
            store = before;
        }
        let outcome = match &plan.outcome {
            Outcome::Committed { .. } => Outcome::Committed { revisions },
            other => other.clone(),
        };
        let (process, completed) = (at as u64 % 10, effect + plan.around.1);
        let invoked = effect.saturating_sub(plan.around.0).max(1);
        transactions.push(Transaction { process, invoked, completed, outcome, operations });
    }
    History { shards, transactions }
}

fn key(number: u8) -> String {
    format!("k{number:03}")
}

impl Store {
    fn execute(&mut self, at: usize, plan: &Plan) -> (Vec<Operation>, BTreeMap<u16, u64>) {
        let is_told = plan.is_told && matches!(plan.outcome, Outcome::Committed { .. });
        let mut changed = BTreeMap::new();
        let mut operations = vec![];
        for (number, step) in plan.steps.iter().enumerate() {
            let value = format!("{at}.{number}");
            operations.push(self.step(*step, value, is_told, &mut changed));
        }
        let mut revisions = BTreeMap::new();
        for (shard, is_changed) in changed {
            let revision = self.revisions.entry(shard).or_default();
            *revision += u64::from(is_changed);
            revisions.insert(shard, *revision);
        }
        (operations, revisions)
    }

    /// `changed` has the shards that the transaction wrote to, and whether that changed anything.
    fn step(
        &mut self,
        step: Step,
        value: String,
        is_told: bool,
        changed: &mut BTreeMap<u16, bool>,
    ) -> Operation {
        match step {
            Step::Get(number) => {
                let key = key(number);
                Operation::Get { found: self.records.get(&key).cloned(), key }
            }
            Step::Scan(first, last) => {
                let (start, end) = (key(first.min(last)), key(last.max(first)));
                let found = self.records.range(start.clone()..end.clone());
                let found = found.map(|(key, record)| (key.clone(), record.clone())).collect();
                Operation::Scan { start, end: Some(end), found }
            }
            Step::Set(number) => {
                let key = key(number);
                let mod_revision = self.revision(&key, true, changed);
                let old = self.records.get(&key);
                let version = old.map_or(1, |old| old.version + 1);
                let create_revision = old.map_or(mod_revision, |old| old.create_revision);
                let record =
                    Record { value: value.clone(), version, create_revision, mod_revision };
                self.records.insert(key.clone(), record);
                Operation::Set { key, value, version: is_told.then_some(version) }
            }
            Step::Delete(number) => {
                let key = key(number);
                let removed = self.records.remove(&key).map_or(0, |record| record.version);
                self.revision(&key, removed > 0, changed);
                Operation::Delete { key, version: is_told.then_some(removed) }
            }
        }
    }

    /// The revision that the transaction will have on the shard of a key that it writes.
    fn revision(&self, key: &str, changes: bool, changed: &mut BTreeMap<u16, bool>) -> u64 {
        let shard = self.router.shard(key.as_bytes()).get();
        *changed.entry(shard).or_default() |= changes;
        self.revisions.get(&shard).copied().unwrap_or_default() + 1
    }
}
