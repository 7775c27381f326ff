//! The checker of histories: each anomaly by its name, and the same history without it.
//!
//! Histories are written by hand, as small as they can be. Ticks say who overlaps whom: `t(3, 9)` is
//! a transaction invoked at 3 and completed at 9. Random ones are in `random.rs`.

use std::collections::BTreeMap;

use aspen_core::placement::ShardRouter;
use aspen_tests::history::{
    History, Kind, Operation, Outcome, Record, Recorder, Report, Transaction, check,
};

/// A transaction in the making; committed, unless it says otherwise.
#[derive(Clone)]
struct T(Transaction);

fn t(invoked: u64, completed: u64) -> T {
    T(Transaction::new(invoked, completed))
}

/// A record: value, version, create revision, mod revision.
type R<'a> = (&'a str, u64, u64, u64);

fn record((value, version, create_revision, mod_revision): R<'_>) -> Record {
    Record { value: value.into(), version, create_revision, mod_revision }
}

impl T {
    fn op(mut self, operation: Operation) -> T {
        self.0.operations.push(operation);
        self
    }

    fn get(self, key: &str, found: R<'_>) -> T {
        self.op(Operation::Get { key: key.into(), found: Some(record(found)) })
    }

    fn absent(self, key: &str) -> T {
        self.op(Operation::Get { key: key.into(), found: None })
    }

    fn scan(self, start: &str, end: &str, found: &[(&str, R<'_>)]) -> T {
        let found = found.iter().map(|(key, found)| (key.to_string(), record(*found))).collect();
        self.op(Operation::Scan { start: start.into(), end: Some(end.into()), found })
    }

    fn set(self, key: &str, value: &str, version: u64) -> T {
        let (key, value) = (key.into(), value.into());
        self.op(Operation::Set { key, value, version: Some(version) })
    }

    fn delete(self, key: &str, version: u64) -> T {
        self.op(Operation::Delete { key: key.into(), version: Some(version) })
    }

    /// The revision of shard 0 after it.
    fn at(self, revision: u64) -> T {
        self.at_shard(0, revision)
    }

    fn at_shard(mut self, shard: u16, revision: u64) -> T {
        if let Outcome::Committed { revisions } = &mut self.0.outcome {
            revisions.insert(shard, revision);
        }
        self
    }

    fn aborted(mut self) -> T {
        self.0.outcome = Outcome::Aborted;
        self
    }

    /// Nobody knows whether it happened; so nobody was told versions.
    fn unknown(mut self) -> T {
        self.0.outcome = Outcome::Unknown;
        for operation in &mut self.0.operations {
            if let Operation::Set { version, .. } | Operation::Delete { version, .. } = operation {
                *version = None;
            }
        }
        self
    }
}

fn report(shards: u16, transactions: &[T]) -> Report {
    let transactions = transactions.iter().map(|t| t.0.clone()).collect();
    let history = History { shards, transactions };
    let report = check(&history);
    let again: History = history.to_json_lines().parse().unwrap();
    assert_eq!(again, history, "a stored history is the same");
    report
}

/// The bad history has violations of this kind and no other; with its last transactions replaced by
/// the good ones, it has none.
fn finds_on(shards: u16, kind: Kind, common: &[T], bad: &[T], good: &[T]) -> Report {
    let found = report(shards, &[common, bad].concat());
    let kinds: Vec<Kind> = found.violations.iter().map(|violation| violation.kind).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|found| *found == kind), "{kind}? {found}");
    let clean = report(shards, &[common, good].concat());
    assert!(clean.is_good(), "without the {kind}: {clean}");
    found
}

fn finds(kind: Kind, common: &[T], bad: &[T], good: &[T]) -> Report {
    finds_on(1, kind, common, bad, good)
}

fn passes(transactions: &[T]) -> Report {
    let report = report(1, transactions);
    assert!(report.is_good(), "{report}");
    report
}

#[test]
fn history_lost_update_is_found() {
    let common =
        [t(1, 2).set("x", "0", 1).at(1), t(3, 10).get("x", ("0", 1, 1, 1)).set("x", "a", 2).at(2)];
    let second = |seen| t(4, 11).get("x", seen).set("x", "b", 3).at(3);
    let (bad, good) = (second(("0", 1, 1, 1)), second(("a", 2, 1, 2)));
    finds(Kind::LostUpdate, &common, &[bad], &[good]);
    // The same with a key that both create.
    let common = [t(1, 10).absent("x").set("x", "a", 1).at(1)];
    let bad = t(2, 11).absent("x").set("x", "b", 2).at(2);
    let good = t(2, 11).get("x", ("a", 1, 1, 1)).set("x", "b", 2).at(2);
    finds(Kind::LostUpdate, &common, &[bad], &[good]);
}

#[test]
fn history_write_skew_is_found() {
    let (x, y) = (("0", 1, 1, 1), ("0", 1, 1, 1));
    let common = [
        t(1, 2).set("x", "0", 1).set("y", "0", 1).at(1),
        t(3, 10).get("x", x).get("y", y).set("x", "a", 2).at(2),
    ];
    let bad = t(4, 11).get("x", x).get("y", y).set("y", "b", 2).at(3);
    let good = t(4, 11).get("x", ("a", 2, 1, 2)).get("y", y).set("y", "b", 2).at(3);
    finds(Kind::WriteSkew, &common, &[bad], &[good]);
}

#[test]
fn history_stale_read_is_found() {
    let common = [t(1, 2).set("x", "a", 1).at(1), t(3, 4).set("x", "b", 2).at(2)];
    let stale = |from| t(from, 9).get("x", ("a", 1, 1, 1));
    let found = finds(Kind::StaleRead, &common, &[stale(5)], &[stale(4)]);
    let text = found.violations[0].to_string();
    assert_eq!(text, STALE_READ);
    // Absence is as stale, and so is a read older than another read.
    let absent = |from| t(from, 9).absent("x");
    finds(Kind::StaleRead, &common, &[absent(3)], &[absent(2)]);
    let scan = |from| t(from, 9).scan("a", "z", &[]);
    finds(Kind::StaleRead, &common, &[scan(3)], &[scan(2)]);
    let common = [
        t(1, 20).set("x", "a", 1).at(1),
        t(1, 20).set("x", "b", 2).at(2),
        t(3, 4).get("x", ("b", 2, 1, 2)),
    ];
    finds(Kind::StaleRead, &common, &[stale(5)], &[stale(4)]);
}

const STALE_READ: &str = r#"stale read: each before the next: T1, T2, T1
  T1 (process 0, 3..4, committed s0:r2)
      set x "b": v2
  T2 (process 0, 5..9, committed)
      get x: "a" (v1 r1, created r1)
  T1 before T2: T1 was over at 4, T2 began at 5
  T2 before T1: T2 saw x from before T1 wrote it at s0:r2"#;

/// Between creations and deletions it is not known which absence was read; time may still say.
#[test]
fn history_stale_absence_is_found_only_if_certain() {
    let common = [
        t(1, 2).set("x", "a", 1).at(1),
        t(3, 4).delete("x", 1).at(2),
        t(5, 6).set("x", "b", 1).at(3),
        t(11, 12).delete("x", 1).at(4),
    ];
    let absent = |from, to| t(from, to).absent("x");
    finds(Kind::StaleRead, &common, &[absent(7, 8)], &[absent(7, 11)]);
    finds(Kind::StaleRead, &common, &[absent(7, 8)], &[absent(6, 8)]);
    // A delete that finds nothing is a read of absence.
    let delete = |from, to| t(from, to).delete("x", 0).at(3);
    finds(Kind::StaleRead, &common, &[delete(7, 8)], &[delete(7, 11)]);
    // A delete that may have happened explains it.
    passes(
        &[
            t(1, 2).set("x", "a", 1).at(1),
            t(3, 4).delete("x", 1).unknown(),
            t(5, 6).absent("x"),
            t(7, 8).get("x", ("a", 1, 1, 1)),
        ][..3],
    );
}

#[test]
fn history_phantom_is_found() {
    let common = [t(1, 10).scan("k", "l", &[]).set("k1", "a", 1).at(1)];
    let bad = t(2, 11).scan("k", "l", &[]).set("k2", "b", 1).at(2);
    let good = t(2, 11).scan("k", "l", &[("k1", ("a", 1, 1, 1))]).set("k2", "b", 1).at(2);
    finds(Kind::Phantom, &common, &[bad], &[good]);
    // Out of the range is no phantom.
    passes(&[&common[..], &[t(2, 11).scan("k2", "l", &[]).set("k2", "b", 1).at(2)]].concat());
}

#[test]
fn history_aborted_read_is_found() {
    let write = t(1, 4).set("x", "a", 1);
    let read = t(2, 5).get("x", ("a", 1, 1, 1));
    let bad = [write.clone().aborted(), read.clone()];
    finds(Kind::AbortedRead, &[], &bad, &[write.clone().at(1), read.clone()]);
    let unknown = passes(&[write.unknown(), read]);
    assert_eq!(unknown.proven, 1, "somebody saw it");
}

#[test]
fn history_duplicate_write_is_found() {
    let first = t(2, 3).get("x", ("a", 1, 1, 1));
    let bad = [t(1, 9).set("x", "a", 2).at(2), t(10, 11).get("x", ("a", 2, 1, 2))];
    let good = [t(1, 9).set("x", "a", 1).at(1), t(10, 11).get("x", ("a", 1, 1, 1))];
    finds(Kind::DuplicateWrite, std::slice::from_ref(&first), &bad, &good);
    // Of unknown outcome, and seen twice.
    let common = [t(1, 9).set("x", "a", 0).unknown(), first];
    let (bad, good) = (t(4, 5).get("x", ("a", 2, 1, 2)), t(4, 5).get("x", ("a", 1, 1, 1)));
    finds(Kind::DuplicateWrite, &common, &[bad], &[good]);
}

/// Nobody reads the first of two applications, but the version counts it.
#[test]
fn history_version_gap_is_found() {
    let common = [t(1, 2).set("x", "a", 1).at(1)];
    let next = |version, revision| t(3, 4).set("x", "b", version).at(revision);
    finds(Kind::VersionGap, &common, &[next(3, 3)], &[next(2, 2)]);
    let may = t(2, 3).set("x", "c", 0).unknown();
    let proven = passes(&[common[0].clone(), may, next(3, 3)]);
    assert_eq!(proven.proven, 1, "only it can have written in between");
    // A value that was written before it began is not its work.
    let late = |from| t(from, from + 1).set("x", "c", 0).unknown();
    finds(Kind::WriteOrder, &[&common[..], &[next(3, 3)]].concat(), &[late(5)], &[late(4)]);
}

#[test]
fn history_lost_write_is_found() {
    let common = [t(1, 2).set("x", "a", 1).at(1)];
    let next = |version| t(5, 6).set("x", "b", version).at(3);
    let deleted = [t(3, 4).delete("x", 1).at(2), next(1)];
    finds(Kind::LostWrite, &common, &[next(1)], &deleted);
    let may = t(3, 4).delete("x", 0).unknown();
    assert_eq!(passes(&[common[0].clone(), may, next(1)]).proven, 1);
    // A reader tells of the new creation.
    let next = [t(5, 6).set("x", "b", 0).unknown(), t(7, 8).get("x", ("b", 1, 3, 3))];
    finds(Kind::LostWrite, &common, &next, &[&[deleted[0].clone()], &next[..]].concat());
}

#[test]
fn history_long_fork_is_found() {
    let (x, y) = (("a", 1, 1, 1), ("b", 1, 2, 2));
    let common = [
        t(1, 10).set("x", "a", 1).at(1),
        t(1, 10).set("y", "b", 1).at(2),
        t(2, 9).get("x", x).absent("y"),
    ];
    let (bad, good) = (t(2, 9).absent("x").get("y", y), t(2, 9).get("x", x).get("y", y));
    finds(Kind::LongFork, &common, &[bad], &[good]);
}

#[test]
fn history_non_monotonic_versions_are_found() {
    let common = [t(1, 2).set("x", "a", 1).at(1), t(3, 4).set("x", "b", 2).at(2)];
    let next = |version| t(5, 6).set("x", "c", version).at(3);
    finds(Kind::NonMonotonicVersions, &common, &[next(2)], &[next(3)]);
    let twice = |second| t(5, 6).set("x", "c", 3).set("x", "d", second).at(3);
    finds(Kind::NonMonotonicVersions, &common, &[twice(3)], &[twice(4)]);
    let removed = |version| t(5, 6).delete("x", version).at(3);
    finds(Kind::NonMonotonicVersions, &common, &[removed(1)], &[removed(2)]);
    // Created after it was written; created by a write that others came before.
    let read = |created| t(2, 6).get("x", ("b", 2, created, 2));
    finds(Kind::NonMonotonicVersions, &common, &[read(3)], &[read(1)]);
    finds(Kind::NonMonotonicVersions, &common, &[read(2)], &[read(1)]);
}

#[test]
fn history_intermediate_read_is_found() {
    let common = [t(1, 4).set("x", "a", 1).set("x", "b", 2).at(1)];
    let (bad, good) = (t(2, 5).get("x", ("a", 1, 1, 1)), t(2, 5).get("x", ("b", 2, 1, 1)));
    finds(Kind::IntermediateRead, &common, &[bad], &[good]);
}

#[test]
fn history_future_read_is_found() {
    let read = t(1, 2).get("x", ("a", 1, 1, 1));
    let write = |from| t(from, 4).set("x", "a", 1).at(1);
    finds(Kind::FutureRead, &[read], &[write(3)], &[write(2)]);
    let own = t(1, 2).get("x", ("a", 1, 1, 1)).set("x", "a", 1).at(1);
    let good = t(1, 2).set("x", "a", 1).get("x", ("a", 1, 1, 1)).at(1);
    finds(Kind::FutureRead, &[], &[own], &[good]);
}

#[test]
fn history_write_order_against_time_is_found() {
    let second = t(1, 2).set("x", "b", 2).at(2);
    let first = |from| t(from, 4).set("x", "a", 1).at(1);
    finds(Kind::WriteOrder, &[second], &[first(3)], &[first(2)]);
}

#[test]
fn history_read_skew_is_found() {
    let common = [t(1, 2).set("x", "0", 1).set("y", "0", 1).at(1)];
    let write = t(3, 9).set("x", "a", 2).set("y", "a", 2).at(2);
    let read = |y| t(4, 8).get("x", ("a", 2, 1, 2)).get("y", y);
    let (bad, good) = (read(("0", 1, 1, 1)), read(("a", 2, 1, 2)));
    finds(Kind::ReadSkew, &common, &[write.clone(), bad.clone()], &[write.clone(), good.clone()]);
    // Its outcome is not known, but half of it was seen: so all of it was there.
    let write = write.unknown();
    finds(Kind::ReadSkew, &common, &[write.clone(), bad.clone()], &[write, good]);
    // One transaction reads a key twice.
    let twice = |kind, t: T| finds(kind, &common, &[t.get("x", ("0", 1, 1, 1))], &[]);
    twice(Kind::ReadSkew, t(1, 8).absent("x"));
    twice(Kind::Phantom, t(1, 8).scan("w", "y", &[]));
    // A transaction that aborted need not have read at one moment.
    passes(&[common[0].clone(), t(3, 9).set("x", "a", 2).set("y", "a", 2).at(2), bad.aborted()]);
}

#[test]
fn history_circular_reads_are_found() {
    let common = [t(1, 10).get("y", ("b", 1, 2, 2)).set("x", "a", 1).at(1)];
    let second = |read: T| read.set("y", "b", 1).at(2);
    let (bad, good) = (second(t(2, 9).get("x", ("a", 1, 1, 1))), second(t(2, 9).absent("x")));
    finds(Kind::CircularReads, &common, &[bad], &[good]);
}

#[test]
fn history_single_reads_are_checked() {
    let common = [t(1, 2).set("x", "a", 1).set("y", "b", 1).at(1)];
    let read = |found| t(3, 4).get("x", found);
    let good = [read(("a", 1, 1, 1))];
    finds(Kind::UnwrittenRead, &common, &[read(("b", 1, 1, 1))], &good);
    finds(Kind::RecordsDisagree, &common, &[read(("a", 2, 1, 1))], &good);
    finds(Kind::DuplicateWrite, &common, &[read(("a", 1, 1, 2))], &good);
    let own = |found| t(3, 4).set("x", "c", 2).get("x", found).at(2);
    finds(Kind::InternalRead, &common, &[own(("a", 1, 1, 1))], &[own(("c", 2, 1, 2))]);
    let scan = |end| t(3, 4).scan("x", end, &[("x", ("a", 1, 1, 1)), ("y", ("b", 1, 1, 1))]);
    finds(Kind::BadScan, &common, &[scan("y")], &[scan("z")]);
}

#[test]
fn history_one_state_has_one_writer() {
    let common = [t(1, 4).set("x", "a", 1).at(1)];
    let second = |version, revision| t(1, 4).set("x", "b", version).at(revision);
    finds(Kind::TwoWriters, &common, &[second(1, 1)], &[second(2, 2)]);
}

#[test]
fn history_transaction_is_whole_on_a_shard() {
    let common = [t(1, 9).set("x", "a", 1).set("y", "a", 1).unknown()];
    let reads = |y| [t(2, 3).get("x", ("a", 1, 1, 1)), t(4, 5).get("y", y)];
    let (bad, good) = (reads(("a", 1, 2, 2)), reads(("a", 1, 1, 1)));
    finds(Kind::TornTransaction, &common, &bad, &good);
}

/// Two keys on two shards: revisions of one say nothing of the other.
#[test]
fn history_cycle_over_two_shards_is_found() {
    let router = ShardRouter::new(2).unwrap();
    let key = |shard: u16| {
        let mut keys = (0..).map(|number| format!("k{number}"));
        keys.find(|key| router.shard(key.as_bytes()).get() == shard).unwrap()
    };
    let (x, y) = (&key(0), &key(1));
    let write = |value, versions: (u64, u64)| {
        let both = t(1, 9).set(x, value, versions.0).set(y, value, versions.1);
        both.at_shard(0, versions.0).at_shard(1, versions.1)
    };
    let common = [write("a", (1, 2))];
    let (bad, good) = ([write("b", (2, 1))], [write("b", (3, 3))]);
    let between = t(1, 9).set(x, "c", 2).at_shard(0, 2);
    let before = t(1, 9).set(y, "d", 1).at_shard(1, 1);
    finds_on(2, Kind::WriteCycle, &common, &bad, &[between, before, good[0].clone()]);

    // A read between the two halves of a commit.
    let common = [write("a", (1, 1)), t(3, 4).get(x, ("a", 1, 1, 1))];
    let bad = t(2, 4).get(x, ("a", 1, 1, 1)).absent(y);
    let good = t(2, 4).get(x, ("a", 1, 1, 1)).get(y, ("a", 1, 1, 1));
    finds_on(2, Kind::ReadSkew, &common, &[bad], &[good]);

    // Write skew, with equal revisions on both sides.
    let common =
        [write("a", (1, 1)), t(10, 19).get(x, ("a", 1, 1, 1)).set(y, "b", 2).at_shard(1, 2)];
    let second = |seen| t(11, 18).get(y, seen).set(x, "b", 2).at_shard(0, 2);
    let (bad, good) = (second(("a", 1, 1, 1)), second(("b", 2, 1, 2)));
    finds_on(2, Kind::WriteSkew, &common, &[bad], &[good]);
    // On one shard no transaction may be in two places; on two it must not matter.
    let seen = t(20, 21).get(x, ("a", 1, 7, 7)).get(y, ("a", 1, 3, 3));
    let unknown = T(Transaction { outcome: Outcome::Unknown, ..write("a", (0, 0)).0 }).unknown();
    assert!(report(2, &[unknown, seen]).is_good());
}

#[test]
fn history_reports_count_outcomes() {
    let transactions = [
        t(1, 2).set("x", "a", 1).at(1),
        t(3, 4).set("x", "b", 0).aborted(),
        t(5, 6).set("x", "c", 0).unknown(),
        t(7, 8).set("x", "d", 0).unknown(),
        t(9, 10).get("x", ("c", 2, 1, 2)),
    ];
    let text =
        "2 committed, 1 aborted, 1 unknown and 1 proven to have happened; strictly serializable";
    assert_eq!(passes(&transactions).to_string(), text);
    assert!("{\"shards\":1}\nno json".parse::<History>().is_err());
    let empty = History { shards: 1, transactions: vec![] };
    assert!(check(&empty).is_good());
    let committed = Outcome::Committed { revisions: BTreeMap::new() };
    assert_eq!(transactions[4].0.outcome, committed);
}

#[test]
fn history_recorder_keeps_time_and_what_may_have_happened() {
    let recorder = Recorder::new(1);
    let set = |value: &str| t(0, 0).set("x", value, 1).unknown().0.operations;
    let mut lost = recorder.begin(1);
    lost.attempt(set("a"));
    let aborted = recorder.begin(2);
    aborted.end(Outcome::Aborted, set("b"));
    let next = recorder.begin(2);
    drop(lost);
    next.end(t(0, 0).at(1).0.outcome, set("c"));
    let History { transactions, .. } = recorder.history();
    let [aborted, lost, next] = &transactions[..] else { panic!("{transactions:?}") };
    assert!(aborted.is_before(next) && !next.is_before(aborted));
    assert!(!lost.is_before(next) && !aborted.is_before(lost), "they overlap");
    assert_eq!((&lost.outcome, lost.operations.clone()), (&Outcome::Unknown, set("a")));
}
