//! Random histories: right ones always pass, and one thing changed in them is always found.
//!
//! The right ones come from executing transactions one after the other. What is changed is chosen
//! where it certainly breaks a rule: a stale read, say, only if time rules the older state out.

use std::collections::{BTreeMap, BTreeSet};

use aspen_tests::history::{
    Choices, History, Kind, Operation, Outcome, Plan, Record, Report, Step, Transaction, check,
    serial,
};
use proptest::prelude::*;

const KEYS: u8 = 6;

fn step() -> impl Strategy<Value = Step> {
    let key = || 0..KEYS;
    prop_oneof![
        4 => key().prop_map(Step::Get),
        1 => (key(), key()).prop_map(|(first, last)| Step::Scan(first, last)),
        3 => key().prop_map(Step::Set),
        1 => key().prop_map(Step::Delete),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let outcome = prop_oneof![
        8 => Just(Outcome::Committed { revisions: BTreeMap::new() }),
        1 => Just(Outcome::Aborted),
        2 => Just(Outcome::Unknown),
    ];
    let steps = prop::collection::vec(step(), 1..6);
    let around = (0..1_000u64, 0..1_000u64);
    (steps, outcome, any::<bool>(), prop::bool::weighted(0.9), around).prop_map(
        |(steps, outcome, happens, is_told, around)| Plan {
            steps,
            outcome,
            happens,
            is_told,
            around,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    /// Soundness: no violation is reported where there is none.
    #[test]
    fn history_of_a_serial_execution_passes(
        plans in prop::collection::vec(plan(), 1..80),
        shards in 1u16..4,
    ) {
        let history = serial(shards, &plans);
        let report = check(&history);
        prop_assert!(report.is_good(), "{report}\n{}", history.to_json_lines());
    }

    #[test]
    fn history_with_one_thing_changed_fails(seed: u64, place: u64, change in change()) {
        let mut history = random(seed, 150, change != Change::HideScanned);
        let sites = sites(&history, change);
        prop_assume!(!sites.is_empty());
        let site = &sites[(place % sites.len() as u64) as usize];
        prop_assert!(check(&history).is_good());
        apply(&mut history, site);
        let report = check(&history);
        prop_assert!(is_found(&report, change), "{change:?}: {report}");
    }
}

/// A history from a seed.
fn random(seed: u64, transactions: usize, with_deletes: bool) -> History {
    let mut choices = Choices::new(seed);
    let mut plans: Vec<Plan> = (0..transactions).map(|_| choices.plan(KEYS)).collect();
    if !with_deletes {
        let keeps = |step: &Step| !matches!(step, Step::Delete(_));
        plans.iter_mut().for_each(|plan| plan.steps.retain(keeps));
    }
    serial(1 + (seed % 2) as u16, &plans)
}

/// One way to break a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// A read gets a record that was replaced before it began.
    ReadStale,
    /// A read gets a record of a transaction that began after it was over.
    ReadFuture,
    /// A transaction that writes what it read gets an older record.
    LoseUpdate,
    /// A scan does not show a key that was there before it began.
    HideScanned,
    /// The writer of what was read aborted.
    Abort,
    /// A value is read that nobody wrote.
    Invent,
    /// A record is read at another mod revision.
    Duplicate,
    /// A record is read with another version.
    Recount,
    /// A record is read that was written before it was created.
    Recreate,
    /// The writer of what was read wrote the key once more.
    Overwrite,
}

const CHANGES: [Change; 10] = [
    Change::ReadStale,
    Change::ReadFuture,
    Change::LoseUpdate,
    Change::HideScanned,
    Change::Abort,
    Change::Invent,
    Change::Duplicate,
    Change::Recount,
    Change::Recreate,
    Change::Overwrite,
];

fn change() -> impl Strategy<Value = Change> {
    prop::sample::select(&CHANGES[..])
}

/// Kinds of cycle. Which one it is depends on what else the transactions did.
const CYCLES: [Kind; 9] = [
    Kind::CircularReads,
    Kind::LostUpdate,
    Kind::ReadSkew,
    Kind::LongFork,
    Kind::WriteSkew,
    Kind::Phantom,
    Kind::StaleRead,
    Kind::FutureRead,
    Kind::WriteOrder,
];

fn is_found(report: &Report, change: Change) -> bool {
    match change {
        Change::ReadStale | Change::ReadFuture | Change::LoseUpdate | Change::HideScanned => {
            CYCLES.iter().any(|kind| report.has(*kind))
        }
        Change::Abort => report.has(Kind::AbortedRead),
        Change::Invent => report.has(Kind::UnwrittenRead),
        Change::Duplicate => report.has(Kind::DuplicateWrite),
        Change::Recount => report.has(Kind::RecordsDisagree),
        Change::Recreate => report.has(Kind::NonMonotonicVersions),
        Change::Overwrite => report.has(Kind::IntermediateRead),
    }
}

/// A transaction to be replaced.
struct Site {
    at: usize,
    by: Transaction,
}

fn apply(history: &mut History, site: &Site) {
    history.transactions[site.at] = site.by.clone();
}

/// The records of a history that were read, and their writers.
struct Origins<'a> {
    history: &'a History,
    records: BTreeMap<&'a str, BTreeMap<u64, &'a Record>>,
    writers: BTreeMap<(&'a str, &'a str), usize>,
}

impl<'a> Origins<'a> {
    fn new(history: &'a History) -> Self {
        let mut origins = Origins { history, records: BTreeMap::new(), writers: BTreeMap::new() };
        for (at, transaction) in history.transactions.iter().enumerate() {
            let mut own = BTreeSet::new();
            for operation in &transaction.operations {
                match operation {
                    // A transaction that did not happen never stored the records that it read of itself.
                    Operation::Get { key, found: Some(record) } if !own.contains(key) => {
                        let records = origins.records.entry(key).or_default();
                        records.insert(record.mod_revision, record);
                    }
                    Operation::Set { key, value, .. } => {
                        origins.writers.insert((key, value), at);
                    }
                    _ => {}
                }
                own.extend(operation.written().map(String::from));
            }
        }
        origins
    }

    fn transaction(&self, at: usize) -> &'a Transaction {
        &self.history.transactions[at]
    }

    fn is_committed(&self, at: usize) -> bool {
        matches!(self.transaction(at).outcome, Outcome::Committed { .. })
    }

    /// Returns the writer of a record, if it committed and nobody else did.
    fn writer(&self, key: &str, record: &Record) -> Option<usize> {
        let writer = self.writers.get(&(key, &record.value[..])).copied();
        writer.filter(|writer| self.is_committed(*writer))
    }

    /// Reads of one present key by transactions that committed, before their own writes of it.
    fn reads(&self) -> Vec<(usize, usize, &'a str, &'a Record)> {
        let mut reads = vec![];
        for (at, transaction) in self.history.transactions.iter().enumerate() {
            let mut own = BTreeSet::new();
            for (number, operation) in transaction.operations.iter().enumerate() {
                if let Operation::Get { key, found: Some(record) } = operation
                    && self.is_committed(at)
                    && !own.contains(&key[..])
                {
                    reads.push((at, number, &key[..], record));
                }
                own.extend(operation.written());
            }
        }
        reads
    }
}

/// Every place where a change certainly breaks a rule.
fn sites(history: &History, change: Change) -> Vec<Site> {
    let origins = Origins::new(history);
    if change == Change::HideScanned {
        return hidden(&origins);
    }
    let mut sites = vec![];
    for (at, number, key, record) in origins.reads() {
        let Some(writer) = origins.writer(key, record) else { continue };
        let reader = origins.transaction(at);
        let read = |record: Record| {
            let mut by = reader.clone();
            by.operations[number] = Operation::Get { key: key.into(), found: Some(record) };
            Site { at, by }
        };
        let older = origins.records[key].range(..record.mod_revision).next_back();
        match change {
            Change::ReadStale => {
                let is_over = origins.transaction(writer).is_before(reader);
                sites.extend(older.filter(|_| is_over).map(|(_, older)| read((*older).clone())));
            }
            Change::ReadFuture => {
                let newer = origins.records[key].range(record.mod_revision + 1..).next_back();
                let is_later = |newer: &Record| {
                    let writer = origins.writer(key, newer);
                    writer.is_some_and(|writer| reader.is_before(origins.transaction(writer)))
                };
                let newer = newer.filter(|(_, newer)| is_later(newer));
                sites.extend(newer.map(|(_, newer)| read((*newer).clone())));
            }
            Change::LoseUpdate => {
                let sets = |operation: &Operation| matches!(operation, Operation::Set { key: set, .. } if set == key);
                let older = older.filter(|_| reader.operations.iter().any(sets));
                sites.extend(older.map(|(_, older)| read((*older).clone())));
            }
            Change::Abort => {
                let by = origins.transaction(writer).clone();
                sites
                    .push(Site { at: writer, by: Transaction { outcome: Outcome::Aborted, ..by } });
            }
            Change::Invent => sites.push(read(Record { value: "?".into(), ..record.clone() })),
            Change::Duplicate => {
                let mod_revision = record.mod_revision + 1_000;
                sites.push(read(Record { mod_revision, ..record.clone() }));
            }
            Change::Recount if is_told(origins.transaction(writer)) => {
                sites.push(read(Record { version: record.version + 1, ..record.clone() }));
            }
            Change::Recount => {}
            Change::Recreate => {
                let create_revision = record.mod_revision + 1;
                sites.push(read(Record { create_revision, ..record.clone() }));
            }
            Change::Overwrite => {
                let mut by = origins.transaction(writer).clone();
                let (key, value) = (key.into(), "once more".into());
                by.operations.push(Operation::Set { key, value, version: None });
                sites.push(Site { at: writer, by });
            }
            Change::HideScanned => {}
        }
    }
    sites
}

fn is_told(transaction: &Transaction) -> bool {
    transaction.operations.iter().all(|operation| match operation {
        Operation::Set { version, .. } | Operation::Delete { version, .. } => version.is_some(),
        Operation::Get { .. } | Operation::Scan { .. } => true,
    })
}

/// Scans without one key that was written before they began; nobody deletes keys.
fn hidden(origins: &Origins<'_>) -> Vec<Site> {
    let mut sites = vec![];
    for (at, reader) in origins.history.transactions.iter().enumerate() {
        let first = reader.operations.first();
        let Some(Operation::Scan { start, end, found }) = first else { continue };
        for (hidden, (key, record)) in found.iter().enumerate() {
            let is_before = |writer: usize| origins.transaction(writer).is_before(reader);
            let is_over = origins.writer(key, record).is_some_and(is_before);
            if !origins.is_committed(at) || !is_over {
                continue;
            }
            let mut by = reader.clone();
            let mut found = found.clone();
            found.remove(hidden);
            let (start, end) = (start.clone(), end.clone());
            by.operations[0] = Operation::Scan { start, end, found };
            sites.push(Site { at, by });
        }
    }
    sites
}

/// Each change is possible in most histories, so that the test above tests something.
#[test]
fn history_changes_have_places() {
    for change in CHANGES {
        let has_sites = |seed: &u64| {
            let history = random(*seed, 150, change != Change::HideScanned);
            !sites(&history, change).is_empty()
        };
        let count = (0..20).filter(has_sites).count();
        assert!(count >= 15, "{change:?}: {count} of 20");
    }
}

/// Nothing recurses and nothing is quadratic: one read among 100,000 transactions is found to be
/// stale, in a cycle of two.
#[test]
fn history_of_many_transactions_is_checked() {
    let mut history = random(1, 100_000, true);
    let report = check(&history);
    assert!(report.is_good(), "{}", report.violations[0]);
    let origins = Origins::new(&history);
    let (at, number, key, _) = origins.reads().pop().unwrap();
    let (_, oldest) = origins.records[key].first_key_value().unwrap();
    let found = Some((*oldest).clone());
    let operation = Operation::Get { key: key.into(), found };
    history.transactions[at].operations[number] = operation;
    let report = check(&history);
    assert_eq!(report.violations.len(), 1);
    assert!(report.violations[0].transactions.len() <= 3, "{report}");
}
