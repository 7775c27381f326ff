//! The rules of transactions: results, branches, ranges, leases, and their limits.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

mod shard;

use aspen_core::ids::{LeaseId, Revision};
use aspen_core::key::{Key, KeyRange, Value};
use aspen_core::limits::{
    EXPIRE_KEYS_MAX, LEASE_KEYS_MAX, LEASE_TTL_MS_MAX, LEASES_MAX, RANGE_READ_KEYS_MAX, TXN_OPS_MAX,
};
use aspen_core::protocol::{Command, Outcome};
use aspen_core::refusal::Refusal;
use aspen_core::state::State;
use aspen_core::transaction::{
    Compare, Expectation, Expiry, Operation, OperationResult, Read, Relation, Transact,
    WriteCommand, WriteOp,
};
use aspen_core::view::View;
use shard::{Shard, delete, key, read, set, value_of};

fn results(outcome: Outcome) -> Vec<OperationResult> {
    let Outcome::Committed { results, .. } = outcome else { panic!("{outcome:?}") };
    results
}

fn refusal(outcome: Outcome) -> Refusal {
    let Outcome::Refused(refusal) = outcome else { panic!("{outcome:?}") };
    refusal
}

fn conflicts(outcome: Outcome) -> Vec<String> {
    let Outcome::Conflict { conflicts, .. } = outcome else { panic!("{outcome:?}") };
    conflicts.iter().map(ToString::to_string).collect()
}

fn commits(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Committed { succeeded: true, .. })
}

fn get(text: &str) -> Operation {
    Operation::Get(key(text))
}

fn put(text: &str, value: &str, expiry: Expiry) -> Operation {
    WriteOp::Set { key: key(text), value: Value::try_from(value).unwrap(), expiry }.into()
}

fn unchanged(range: impl Into<KeyRange>, revision: u64) -> Read {
    Read::range(range.into(), Revision::new(revision))
}

trait Run {
    fn operate(&mut self, operations: Vec<Operation>) -> Outcome;
    fn check(&mut self, read: Read) -> Outcome;
    fn write(&mut self, command: WriteCommand) -> Outcome;
    fn grant(&mut self, ttl_ms: u64) -> LeaseId;
    fn tick(&mut self, clock: u64);
    fn lease_of(&self, text: &str) -> u64;
}

impl Run for Shard {
    fn operate(&mut self, then: Vec<Operation>) -> Outcome {
        self.run(Command::Transact(Transact { then, ..Transact::default() }))
    }

    fn check(&mut self, read: Read) -> Outcome {
        self.transact(vec![read], vec![])
    }

    fn write(&mut self, command: WriteCommand) -> Outcome {
        self.run(Command::Transact(command.into()))
    }

    fn grant(&mut self, ttl_ms: u64) -> LeaseId {
        match results(self.operate(vec![Operation::Grant { ttl_ms }]))[..] {
            [OperationResult::Granted { lease }] => lease,
            ref other => panic!("{other:?}"),
        }
    }

    fn tick(&mut self, clock: u64) {
        self.clock = clock;
        assert_eq!(self.entry(None, Command::Tick), Outcome::Ticked);
    }

    fn lease_of(&self, text: &str) -> u64 {
        self.model.get(&key(text)).unwrap().map_or(0, |record| record.lease.get())
    }
}

#[test]
fn each_operation_sees_those_before_it() {
    let mut shard = Shard::new();
    shard.transact(vec![], vec![set("a", "1")]);
    let operations = vec![get("a"), set("a", "2").into(), get("a"), delete("a").into(), get("a")];
    let found = results(shard.operate(operations)).into_iter().map(|result| match result {
        OperationResult::Got(record) => record.map(|r| (r.value, r.version.get())),
        OperationResult::Written { version } | OperationResult::Deleted { version } => {
            Some((value_of(""), version.get()))
        }
        other => panic!("{other:?}"),
    });
    let seen = |value: &'static str, version| Some((value_of(value), version));
    let want = [seen("1", 1), seen("", 2), seen("2", 2), seen("", 2), None];
    assert_eq!(found.collect::<Vec<_>>(), want);
}

#[test]
fn compare_decides_between_then_and_else() {
    let mut shard = Shard::new();
    shard.transact(vec![], vec![set("a", "5"), set("n", "x")]);
    let mut check = |compare: Compare, want: bool| {
        let outcome = shard.write(WriteCommand::CompareThenElse {
            compare: vec![read("a", Expectation::Compare(compare.clone()))],
            then: vec![get("a")],
            otherwise: vec![get("n"), get("n")],
        });
        let Outcome::Committed { succeeded, results, .. } = outcome else { panic!("{outcome:?}") };
        assert_eq!((succeeded, results.len()), (want, if want { 1 } else { 2 }), "{compare:?}");
    };
    let value = |text: &'static str| value_of(text);
    let revision = Revision::new;
    use Relation::*;
    for (relation, operand, want) in
        [(Equal, "5", true), (NotEqual, "5", false), (Less, "50", true), (Greater, "4", true)]
    {
        check(Compare::Value(relation, value(operand)), want);
    }
    check(Compare::Version(Equal, aspen_core::ids::Version::new(1)), true);
    check(Compare::CreateRevision(Less, revision(1)), false);
    check(Compare::ModRevision(Greater, revision(0)), true);
    check(Compare::Lease(Equal, LeaseId::NONE), true);
    // An absent key counts as 0, and its value compares with nothing.
    shard.transact(vec![], vec![delete("a")]);
    for relation in [Equal, NotEqual, Less, Greater] {
        let compare = Compare::Value(relation, value_of(""));
        assert!(!commits(shard.check(read("a", compare.into()))), "{relation}");
    }
    let compare = Compare::CreateRevision(Equal, Revision::new(0));
    assert!(commits(shard.check(read("a", compare.into()))));
}

#[test]
fn every_form_of_write_is_one_transaction() {
    let mut shard = Shard::new();
    let (a, b) = (|| key("a"), || key("b"));
    let pairs = vec![(a(), value_of("1")), (b(), value_of("1"))];
    assert!(commits(shard.write(WriteCommand::SetMulti { pairs })));
    let swap = |value: &'static str| WriteCommand::CompareAndSwap {
        key: a(),
        expected: Expectation::Compare(Compare::Value(Relation::Equal, value_of(value))),
        value: value_of("2"),
    };
    assert!(commits(shard.write(swap("1"))));
    assert_eq!(conflicts(shard.write(swap("1"))).len(), 1);
    assert_eq!(shard.numbers("a"), Some([2, 1, 2]));
    let gone = WriteCommand::CompareAndDelete { key: a(), expected: 1.into() };
    assert_eq!(
        conflicts(shard.write(gone)),
        ["key a: expected version 1, is version 2 of mod revision 2"]
    );
    let conditions = vec![read("a", 2.into()), read("b", 9.into())];
    let operations = vec![set("c", "1").into()];
    let batch = WriteCommand::ConditionalBatch { conditions, operations };
    assert_eq!(conflicts(shard.write(batch)).len(), 1);
    assert_eq!(shard.numbers("c"), None);
    assert!(commits(shard.write(WriteCommand::DeleteMulti { keys: vec![a(), b(), a()] })));
    assert_eq!((shard.numbers("a"), shard.numbers("b")), (None, None));
    assert!(commits(shard.write(WriteCommand::Batch { operations: vec![set("a", "3").into()] })));
    assert_eq!(shard.numbers("a"), Some([1, 4, 4]));
}

#[test]
fn range_read_notices_writes_creations_and_removals() {
    let mut shard = Shard::new();
    shard.transact(vec![], vec![set("p/1", "x"), set("p/2", "x"), set("q", "x")]);
    let range = || KeyRange::prefix("p/".as_bytes());
    assert!(commits(shard.check(unchanged(range(), 1))));
    shard.transact(vec![], vec![set("q", "y")]);
    assert!(commits(shard.check(unchanged(range(), 1))), "outside of the range");
    shard.transact(vec![], vec![set("p/3", "x")]);
    shard.transact(vec![], vec![delete("p/1")]);
    shard.transact(vec![], vec![set("p/2", "y")]);
    let want = [
        "key p/2: expected unchanged since revision 1, is version 2 of mod revision 5",
        "key p/3: expected unchanged since revision 1, is version 1 of mod revision 3",
        "key p/1: expected unchanged since revision 1, is absent",
    ];
    assert_eq!(conflicts(shard.check(unchanged(range(), 1))), want);
    assert_eq!(conflicts(shard.check(unchanged(range(), 3))).len(), 2);
    assert!(commits(shard.check(unchanged(range(), 5))));
    // A key of its own is a range of one.
    let since = |revision| read("p/1", Expectation::UnchangedSince(Revision::new(revision)));
    assert_eq!(conflicts(shard.check(since(3))).len(), 1);
    assert!(commits(shard.check(since(4))));
    // Created and removed in between: nothing there before or after, but something happened.
    shard.transact(vec![], vec![set("p/0", "x")]);
    shard.transact(vec![], vec![delete("p/0")]);
    assert_eq!(conflicts(shard.check(unchanged(range(), 5))).len(), 1);
}

#[test]
fn range_read_that_cannot_be_decided_is_refused() {
    let mut shard = Shard::new();
    shard.transact(vec![], vec![set("a", "x")]);
    let future = refusal(shard.check(unchanged(.., 2)));
    assert_eq!(future, Refusal::RevisionInFuture { revision: Revision::new(1) });
    for (start, end) in [("b", "a"), ("a", "a")] {
        assert_eq!(refusal(shard.check(unchanged(start..end, 1))), Refusal::RangeInverted);
    }
    for page in 0..=RANGE_READ_KEYS_MAX / TXN_OPS_MAX {
        let write = |n| set(&format!("many/{page}/{n}"), "x");
        shard.transact(vec![], (0..TXN_OPS_MAX).map(write).collect());
    }
    assert_eq!(refusal(shard.check(unchanged(.., shard.revision()))), Refusal::RangeTooLarge);
    // Keys that the tombstones have forgotten: core's own test fills them, here the state is set up.
    let horizon = Revision::new(5);
    shard.model.resident_mut().tombstones.restore_horizon(horizon);
    let old = refusal(shard.check(unchanged("a".."b", 4)));
    assert_eq!(old, Refusal::RevisionTooOld { oldest: horizon });
    assert!(commits(shard.check(unchanged("a".."b", 5))));
}

#[test]
fn read_set_is_checked_whoever_asks() {
    let shard = Shard::new();
    let check = |reads: Vec<Read>| {
        let (view, resident) = (shard.model.view(), shard.model.resident());
        aspen_core::apply::check_reads(view, resident, &shard.model.header(), &reads).unwrap()
    };
    // Backwards, a range must not even be looked for.
    assert_eq!(check(vec![unchanged("b".."a", 0)]), Err(Refusal::RangeInverted));
    let many = vec![read("a", 1.into()); TXN_OPS_MAX + 1];
    assert_eq!(check(many), Err(Refusal::TooManyOperations { operations: 1025 }));
    let compare = Compare::Value(Relation::Equal, value_of(vec![7; 1 << 20]));
    let large = read("a", compare.into());
    assert_eq!(check(vec![large.clone()]).map(|conflicts| conflicts.len()), Ok(1));
    let twice = check(vec![large.clone(), large]);
    assert_eq!(twice, Err(Refusal::ReadsTooLarge { bytes: (2 << 20) + 2 }));
}

#[test]
fn conflict_carries_the_present_records_if_asked() {
    let mut shard = Shard::new();
    shard.transact(vec![], vec![set("a", "now")]);
    for return_values in [false, true] {
        let reads = vec![read("a", Expectation::Absent), read("b", 1.into())];
        let transact = Transact { reads, return_values, ..Transact::default() };
        let outcome = shard.run(Command::Transact(transact));
        let Outcome::Conflict { conflicts, revision } = outcome else { panic!("both fail") };
        let values: Vec<_> = conflicts.into_iter().map(|c| c.record.map(|r| r.value)).collect();
        assert_eq!(values, [return_values.then(|| value_of("now")), None]);
        assert_eq!(revision, Revision::new(1));
    }
}

#[test]
fn time_to_live_ends_by_entry_time_alone() {
    let mut shard = Shard::new();
    shard.operate(vec![put("a", "x", Expiry::After(500))]);
    shard.tick(1_499);
    assert_eq!(shard.numbers("a"), Some([1, 1, 1]));
    // An entry of an earlier stamp does not turn time back.
    shard.tick(0);
    shard.tick(1_500);
    assert_eq!((shard.numbers("a"), shard.revision()), (None, 2));
    // A key that is due is gone before the command of the same entry runs.
    shard.operate(vec![put("a", "x", Expiry::After(500))]);
    shard.clock = 2_000;
    assert!(commits(shard.transact(vec![read("a", Expectation::Absent)], vec![set("b", "1")])));
    assert_eq!((shard.revision(), shard.numbers("b")), (5, Some([1, 5, 5])));
    assert_eq!(shard.model.resident().leases.len(), 0);
}

#[test]
fn write_decides_anew_how_long_a_key_stays() {
    let mut shard = Shard::new();
    shard.operate(vec![put("a", "x", Expiry::After(500)), put("b", "x", Expiry::After(500))]);
    shard.operate(vec![put("a", "y", Expiry::Never), put("b", "y", Expiry::Keep)]);
    shard.tick(1_500);
    assert_eq!((shard.numbers("a"), shard.numbers("b")), (Some([2, 1, 2]), None));
    // Expire writes the same value again; version and mod revision say so.
    let expire = |text, expiry| WriteOp::Expire { key: key(text), expiry }.into();
    shard.operate(vec![expire("a", Expiry::After(100)), expire("absent", Expiry::After(100))]);
    assert_eq!(shard.numbers("a"), Some([3, 1, 4]));
    shard.operate(vec![expire("a", Expiry::After(1_000))]);
    shard.tick(2_499);
    assert!(shard.numbers("a").is_some());
    shard.tick(2_500);
    assert_eq!(shard.numbers("a"), None);
}

#[test]
fn lease_takes_its_keys_with_it() {
    let mut shard = Shard::new();
    let lease = shard.grant(500);
    let on = Expiry::Lease(lease);
    shard.operate(vec![put("a", "x", on), put("b", "x", on), put("c", "x", on)]);
    shard.transact(vec![], vec![set("c", "y")]);
    shard.write(WriteCommand::LeaseAttach { key: key("b"), lease });
    assert_eq!((shard.lease_of("a"), shard.lease_of("c")), (lease.get(), 0));
    shard.clock = 1_400;
    let kept = results(shard.write(WriteCommand::LeaseKeepAlive { lease }));
    let due = aspen_core::ids::Timestamp::new(1_900);
    assert_eq!(kept, [OperationResult::KeptAlive { due }]);
    shard.tick(1_899);
    assert_eq!(shard.numbers("b"), Some([2, 1, 3]));
    shard.tick(1_900);
    assert_eq!((shard.numbers("a"), shard.numbers("b")), (None, None));
    assert!(shard.numbers("c").is_some());
    let lease = shard.grant(500);
    shard.operate(vec![put("d", "x", Expiry::Lease(lease))]);
    let revoked = results(shard.write(WriteCommand::LeaseRevoke { lease }));
    assert_eq!(revoked, [OperationResult::Revoked { keys: 1 }]);
    assert_eq!(shard.numbers("d"), None);
}

#[test]
fn lease_that_is_gone_refuses_the_whole_transaction() {
    let mut shard = Shard::new();
    let gone = LeaseId::new(9);
    let lease = shard.grant(500);
    shard.operate(vec![put("private", "x", Expiry::After(500))]);
    let private = LeaseId::new(shard.lease_of("private"));
    let unknown = |shard: &mut Shard, operation: Operation, lease| {
        let outcome = shard.operate(vec![set("a", "1").into(), operation]);
        assert_eq!(refusal(outcome), Refusal::LeaseUnknown { lease });
        assert_eq!(shard.numbers("a"), None);
    };
    for lease in [gone, private] {
        unknown(&mut shard, put("b", "x", Expiry::Lease(lease)), lease);
        unknown(&mut shard, Operation::KeepAlive(lease), lease);
        unknown(&mut shard, Operation::Revoke(lease), lease);
    }
    let twice = vec![Operation::Revoke(lease), put("b", "x", Expiry::Lease(lease))];
    assert_eq!(refusal(shard.operate(twice)), Refusal::LeaseUnknown { lease });
    for ttl_ms in [0, LEASE_TTL_MS_MAX + 1] {
        let want = Refusal::TtlOutOfRange { ttl_ms };
        assert_eq!(refusal(shard.operate(vec![Operation::Grant { ttl_ms }])), want);
        assert_eq!(refusal(shard.operate(vec![put("a", "x", Expiry::After(ttl_ms))])), want);
    }
}

#[test]
fn lease_holds_a_bounded_number_of_keys_and_ends_in_bounded_steps() {
    let mut shard = Shard::new();
    let lease = shard.grant(500);
    let fill = |shard: &mut Shard, page: usize, lease| {
        let one = |n| put(&format!("{page}/{n}"), "", Expiry::Lease(lease));
        shard.operate((0..TXN_OPS_MAX).map(one).collect())
    };
    for page in 0..LEASE_KEYS_MAX / TXN_OPS_MAX {
        assert!(commits(fill(&mut shard, page, lease)));
    }
    let one_more = shard.operate(vec![put("more", "", Expiry::Lease(lease))]);
    assert_eq!(refusal(one_more), Refusal::LeaseFull { lease });
    for _ in 0..3 {
        let next = shard.grant(500);
        shard.operate(
            (0..600).map(|n| put(&format!("{next}/{n}"), "", Expiry::Lease(next))).collect(),
        );
    }
    let keys = shard.model.header().keys;
    shard.tick(1_500);
    assert_eq!(
        shard.model.header().keys,
        keys - LEASE_KEYS_MAX as u64,
        "the first lease is enough"
    );
    shard.tick(1_500);
    assert_eq!(shard.model.header().keys, 600, "two leases, to pass {EXPIRE_KEYS_MAX} keys");
    shard.tick(1_500);
    assert_eq!(shard.model.header().keys, 0);
}

#[test]
fn shard_holds_a_bounded_number_of_leases() {
    let mut shard = Shard::new();
    let mut left = LEASES_MAX;
    while left > 0 {
        let grants = left.min(TXN_OPS_MAX);
        let grants = (0..grants).map(|_| Operation::Grant { ttl_ms: 1_000_000 });
        assert!(commits(shard.operate(grants.collect())));
        left = left.saturating_sub(TXN_OPS_MAX);
    }
    assert_eq!(
        refusal(shard.operate(vec![put("a", "", Expiry::After(5))])),
        Refusal::TooManyLeases
    );
}

#[test]
fn results_that_would_not_fit_refuse_the_transaction() {
    let mut shard = Shard::new();
    let large = || value_of(vec![7; 700_000]);
    let set = |text| Operation::from(WriteOp::set(key(text), large()));
    assert!(commits(shard.operate(vec![set("a"), get("a")])));
    let outcome = shard.operate(vec![get("a"), set("b"), get("b")]);
    assert_eq!(refusal(outcome), Refusal::ResultsTooLarge { bytes: 1_400_002 });
    assert_eq!(shard.numbers("b"), None);
    assert!(commits(shard.operate(vec![get("a"), delete("a").into(), get("a"), get("a")])));
}

#[test]
fn key_may_hold_every_byte() {
    let mut shard = Shard::new();
    for byte in 0..=u8::MAX {
        let one = Key::new(vec![byte]).unwrap();
        shard.transact(vec![], vec![WriteOp::set(one.clone(), value_of(vec![byte]))]);
        let found = shard.model.get(&one).unwrap().unwrap();
        assert_eq!(found.value.as_bytes(), [byte]);
    }
    let all = Key::new((0..=u8::MAX).collect::<Vec<_>>()).unwrap();
    shard.transact(vec![], vec![WriteOp::set(all, value_of(""))]);
    assert_eq!(shard.model.header().keys, 257);
}
