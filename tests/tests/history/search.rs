//! The checker against the definition: small histories, and a search through all their orders.
//!
//! A history is strictly serializable if executing its transactions one by one in some order, which
//! time must allow, gives everyone what he was given; those of unknown outcome may be left out. The
//! search tries every order. Histories come from an execution, with a few things changed at random,
//! so that many are right. Whatever the checker calls a violation, no order explains. What it
//! misses are, most of all, revisions of a shard that do not add up over several keys.

use std::collections::BTreeMap;

use aspen_tests::history::{
    Choices, History, Operation, Outcome, Plan, Record, Transaction, check, serial,
};

const TRANSACTIONS: u64 = 7;
const KEYS: u8 = 2;

/// A history that may be right or wrong.
fn random(seed: u64) -> History {
    let mut choices = Choices::new(seed);
    let plan = |choices: &mut Choices| {
        let mut plan: Plan = choices.plan(KEYS);
        plan.steps.truncate(3);
        match choices.below(5) {
            0 => plan.outcome = Outcome::Unknown,
            1 => plan.is_told = false,
            _ => {}
        }
        plan
    };
    let count = 2 + choices.below(TRANSACTIONS - 1);
    let plans: Vec<Plan> = (0..count).map(|_| plan(&mut choices)).collect();
    let mut history = serial(1, &plans);
    for _ in 0..choices.below(4) {
        change(&mut history, &mut choices);
    }
    history
}

/// Changes one thing: an interval, an outcome, a version that was told, or what was read.
fn change(history: &mut History, choices: &mut Choices) {
    let reads = history.transactions.iter().flat_map(|transaction| &transaction.operations);
    let pool: Vec<(String, Record)> = reads.filter_map(record_of).collect();
    let at = choices.below(history.transactions.len() as u64) as usize;
    let transaction = &mut history.transactions[at];
    match choices.below(8) {
        0 => {
            transaction.invoked = 1 + choices.below(2_000);
            transaction.completed = transaction.invoked + choices.below(1_000);
            return;
        }
        1 => {
            transaction.outcome = Outcome::Unknown;
            return;
        }
        _ => {}
    }
    let place = choices.below(transaction.operations.len().max(1) as u64) as usize;
    match transaction.operations.get_mut(place) {
        Some(Operation::Get { key, found }) => {
            let fitting = pool.iter().filter(|(other, _)| other == key);
            let fitting: Vec<&Record> = fitting.map(|(_, record)| record).collect();
            let chosen = choices.below(fitting.len() as u64 + 1) as usize;
            *found = fitting.get(chosen).map(|record| (*record).clone());
        }
        Some(Operation::Scan { found, .. }) => {
            found.pop();
        }
        Some(Operation::Set { version, .. } | Operation::Delete { version, .. }) => {
            let other = version.map(|version| version + choices.below(3));
            *version = other.and_then(|version| version.checked_sub(1));
        }
        None => {}
    }
}

fn record_of(operation: &Operation) -> Option<(String, Record)> {
    match operation {
        Operation::Get { key, found: Some(record) } => Some((key.clone(), record.clone())),
        _ => None,
    }
}

/// The store in the middle of an order.
#[derive(Clone, Default)]
struct State {
    records: BTreeMap<String, Record>,
    revision: u64,
    /// Every record that there was.
    past: Vec<(String, Record)>,
}

impl State {
    /// Executes a transaction, if that gives it what it was given.
    fn execute(&self, transaction: &Transaction) -> Option<State> {
        let mut state = self.clone();
        let next = self.revision + 1;
        for operation in &transaction.operations {
            let fits = match operation {
                Operation::Get { key, found } => state.records.get(key) == found.as_ref(),
                Operation::Scan { start, end, found } => {
                    let inside = |key: &&String| end.as_ref().is_none_or(|end| **key < *end);
                    let range = state.records.range(start.clone()..);
                    let range = range.take_while(|(key, _)| inside(key));
                    range.eq(found.iter().map(|(key, record)| (key, record)))
                }
                Operation::Set { key, value, version } => {
                    let old = state.records.get(key);
                    let record = Record {
                        value: value.clone(),
                        version: old.map_or(1, |old| old.version + 1),
                        create_revision: old.map_or(next, |old| old.create_revision),
                        mod_revision: next,
                    };
                    let told = version.is_none_or(|told| told == record.version);
                    state.records.insert(key.clone(), record);
                    state.revision = next;
                    told
                }
                Operation::Delete { key, version } => {
                    let old = state.records.remove(key).map_or(0, |old| old.version);
                    if old > 0 {
                        state.revision = next;
                    }
                    version.is_none_or(|told| told == old)
                }
            };
            if !fits {
                return None;
            }
        }
        if let Outcome::Committed { revisions } = &transaction.outcome
            && revisions.values().any(|told| *told != state.revision)
        {
            return None;
        }
        state.past.extend(state.records.clone());
        Some(state)
    }

    /// Returns true if each record that a transaction without effect read was there at some moment.
    fn has_seen(&self, transaction: &Transaction) -> bool {
        let mut own: Vec<&str> = vec![];
        transaction.operations.iter().all(|operation| {
            let is_there = |key: &String, record: &Record| {
                own.contains(&&key[..]) || self.past.contains(&(key.clone(), record.clone()))
            };
            let fits = match operation {
                Operation::Get { key, found: Some(record) } => is_there(key, record),
                Operation::Scan { found, .. } => found.iter().all(|(key, r)| is_there(key, r)),
                _ => true,
            };
            own.extend(operation.written());
            fits
        })
    }
}

/// Returns true if some order of the transactions that are left explains all of them.
fn explains(history: &History, state: &State, left: &[usize]) -> bool {
    let transaction = |at: &usize| &history.transactions[*at];
    let may_stay_out = |at: &usize| !matches!(transaction(at).outcome, Outcome::Committed { .. });
    // Reads without effect may be of any state: a complete order is judged with all of them.
    if left.iter().all(|at| may_stay_out(at) && state.has_seen(transaction(at))) {
        return true;
    }
    left.iter().any(|next| {
        let others: Vec<usize> = left.iter().copied().filter(|other| other != next).collect();
        let is_aborted = |at: &usize| transaction(at).outcome == Outcome::Aborted;
        let is_due = |at: &&usize| !is_aborted(at) && transaction(at).is_before(transaction(next));
        let after = || state.execute(transaction(next));
        !is_aborted(next)
            && !others.iter().any(|other| is_due(&other))
            && after().is_some_and(|after| explains(history, &after, &others))
    })
}

#[test]
fn history_verdict_holds_against_a_search_of_all_orders() {
    let (mut right, mut found, mut missed) = (0, 0, 0);
    for seed in 0..3_000 {
        let history = random(seed);
        let all: Vec<usize> = (0..history.transactions.len()).collect();
        let is_right = explains(&history, &State::default(), &all);
        let report = check(&history);
        assert!(
            !is_right || report.is_good(),
            "seed {seed}: {report}\n{}",
            history.to_json_lines()
        );
        match (is_right, report.is_good()) {
            (true, _) => right += 1,
            (false, false) => found += 1,
            (false, true) => missed += 1,
        }
    }
    println!("{right} right, {found} violations found, {missed} missed");
    assert!(right > 500 && found > 500 && missed * 5 < found, "{right} {found} {missed}");
}
