//! The rules of `apply`, one test for each, on the model and with functions as native code.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

mod shard;

use aspen_core::apply::apply;
use aspen_core::codec::decode;
use aspen_core::function::{Call, GuestFault};
use aspen_core::ids::{
    Caller, ComponentHash, ComponentRef, Fuel, Name, Revision, ShardId, Timestamp, Version,
};
use aspen_core::limits::{COMPONENT_BYTES_MAX, SESSION_IDLE_MS, TXN_OPS_MAX};
use aspen_core::protocol::{Command, Entry, Outcome, Upload};
use aspen_core::refusal::Refusal;
use aspen_core::state::State;
use aspen_core::transaction::{Actual, Expectation, WriteOp};
use aspen_core::val::encode_vals;
use aspen_core::view::{Components, View};
use shard::{Native, Shard, call, delete, key, read, request, set, value_of, versions};

#[test]
fn every_write_counts_version_and_revision() {
    let mut shard = Shard::new();
    assert_eq!(versions(shard.transact(vec![], vec![set("a", "1"), set("b", "1")])), [1, 1]);
    assert_eq!(versions(shard.transact(vec![], vec![set("a", "2")])), [2]);
    assert_eq!(shard.numbers("a"), Some([2, 1, 2]));
    assert_eq!(shard.numbers("b"), Some([1, 1, 1]));
}

#[test]
fn recreated_key_counts_from_one_at_a_later_revision() {
    let mut shard = Shard::new();
    shard.transact(vec![], vec![set("a", "1")]);
    assert_eq!(versions(shard.transact(vec![], vec![delete("a")])), [1]);
    assert_eq!(shard.numbers("a"), None);
    shard.transact(vec![], vec![set("a", "1")]);
    assert_eq!(shard.numbers("a"), Some([1, 3, 3]));
    // A comparison of versions cannot see it; one of revisions can.
    let blind = read("a", Expectation::Version(Version::new(1)));
    assert!(matches!(shard.transact(vec![blind], vec![]), Outcome::Committed { .. }));
    let seeing = read("a", Expectation::ModRevision(Revision::new(1)));
    assert!(matches!(shard.transact(vec![seeing], vec![]), Outcome::Conflict { .. }));
}

#[test]
fn transaction_without_effect_leaves_the_revision() {
    let mut shard = Shard::new();
    assert_eq!(versions(shard.transact(vec![], vec![delete("nothing")])), [0]);
    shard.transact(vec![], vec![]);
    assert_eq!(shard.revision(), 0);
}

#[test]
fn key_written_twice_in_one_transaction_keeps_the_last_value() {
    let mut shard = Shard::new();
    let writes = vec![set("a", "1"), set("a", "2"), delete("b"), set("b", "3")];
    assert_eq!(versions(shard.transact(vec![], writes)), [1, 2, 0, 1]);
    assert_eq!(shard.numbers("a"), Some([2, 1, 1]));
}

#[test]
fn conflict_names_every_failed_read_and_writes_nothing() {
    let mut shard = Shard::new();
    shard.transact(vec![], vec![set("a", "1")]);
    let reads = vec![
        read("a", Expectation::Absent),
        read("a", Expectation::Version(Version::new(1))),
        read("b", Expectation::ModRevision(Revision::new(1))),
    ];
    let Outcome::Conflict { conflicts, .. } = shard.transact(reads, vec![set("c", "1")]) else {
        panic!("two reads fail")
    };
    let found: Vec<_> = conflicts.iter().map(|c| (c.key.to_string(), c.actual)).collect();
    let actual = |version, revision| Actual {
        version: Version::new(version),
        mod_revision: Revision::new(revision),
    };
    assert_eq!(found, [("a".to_string(), actual(1, 1)), ("b".to_string(), actual(0, 0))]);
    assert_eq!(conflicts[0].to_string(), "key a: expected absent, is version 1 of mod revision 1");
    assert_eq!(shard.numbers("c"), None);
}

#[test]
fn second_writer_conflicts() {
    let mut shard = Shard::new();
    shard.transact(vec![], vec![set("stock", "1")]);
    let take = |shard: &mut Shard| {
        let seen = read("stock", Expectation::ModRevision(Revision::new(1)));
        shard.transact(vec![seen], vec![set("stock", "0")])
    };
    assert!(matches!(take(&mut shard), Outcome::Committed { .. }));
    assert!(matches!(take(&mut shard), Outcome::Conflict { .. }));
}

#[test]
fn repeated_request_is_applied_once_and_gets_the_first_outcome() {
    let mut shard = Shard::new();
    let first = shard.call("append");
    let repeat = shard.entry(Some(request(1)), call("append"));
    assert_eq!(first, repeat);
    assert_eq!(shard.model.get(&key("log")).unwrap().unwrap().value.as_bytes(), b"x");
}

#[test]
fn request_of_a_stranger_to_the_session_is_refused() {
    let mut shard = Shard::new();
    let (stamp, request) = (Timestamp::new(1), shard.next());
    let caller = Caller::new([9; 32]);
    let entry = Entry { stamp, seed: 1, caller, request, command: call("append") };
    let applied = apply(&mut shard.model, &Native, ShardId::new(0), shard.router, &entry).unwrap();
    let outcome: Outcome = decode(&applied.outcome).unwrap();
    assert_eq!(outcome, Outcome::Refused(Refusal::SessionUnknown));
    assert_eq!(shard.numbers("log"), None);
}

#[test]
fn session_expires_by_entry_time_alone() {
    let mut shard = Shard::new();
    shard.clock += SESSION_IDLE_MS;
    assert!(matches!(shard.call("append"), Outcome::Returned { .. }));
    shard.clock += SESSION_IDLE_MS + 1;
    assert_eq!(shard.call("append"), Outcome::Refused(Refusal::SessionUnknown));
}

#[test]
fn entry_time_never_goes_back() {
    let mut shard = Shard::new();
    shard.clock = 500;
    let Outcome::Committed { time, .. } = shard.transact(vec![], vec![set("a", "1")]) else {
        panic!("nothing stands against it")
    };
    assert_eq!(time, Timestamp::new(1_000));
}

#[test]
fn function_that_fails_writes_nothing_and_the_next_call_works() {
    let mut shard = Shard::new();
    let fuel = Fuel::new(7);
    let error = encode_vals(&[]).unwrap();
    assert_eq!(shard.call("abort"), Outcome::Aborted { error, fuel });
    let fault = GuestFault::OutOfFuel;
    assert_eq!(shard.call("fault"), Outcome::Faulted { fault, fuel });
    assert_eq!(shard.call("nothing"), Outcome::Refused(Refusal::FunctionUnknown));
    assert_eq!(shard.revision(), 0);
    assert!(matches!(shard.call("append"), Outcome::Returned { .. }));
    assert_eq!(shard.numbers("log"), Some([1, 1, 1]));
}

#[test]
fn fault_of_the_machine_is_no_outcome() {
    let mut shard = Shard::new();
    let request = shard.next();
    assert!(shard.try_entry(request, call("break")).is_err());
}

#[test]
fn call_runs_only_if_its_reads_hold() {
    let mut shard = Shard::new();
    shard.transact(vec![], vec![set("gate", "open")]);
    let gated = |version| {
        let Command::Call(call) = call("append") else { unreachable!() };
        let reads = vec![read("gate", Expectation::Version(Version::new(version)))];
        Command::Call(Call { reads, ..call })
    };
    assert!(matches!(shard.run(gated(2)), Outcome::Conflict { .. }));
    assert!(matches!(shard.run(gated(1)), Outcome::Returned { .. }));
}

#[test]
fn sharding_key_of_another_shard_is_refused() {
    let mut shard = Shard::of(8);
    let foreign = (0..)
        .map(|n: u32| format!("k{n}"))
        .find(|text| shard.router.shard(text.as_bytes()) != ShardId::new(0));
    let foreign = foreign.unwrap();
    let home = shard.router.shard(foreign.as_bytes());
    let outcome = shard.transact(vec![], vec![set(&foreign, "1")]);
    assert_eq!(outcome, Outcome::Refused(Refusal::WrongShard { shard: home }));
}

#[test]
fn transaction_over_the_limits_is_refused_whole() {
    let mut shard = Shard::new();
    let many = (0..=TXN_OPS_MAX).map(|n| set(&format!("k{n}"), "")).collect();
    let refusal = Refusal::TooManyOperations { operations: TXN_OPS_MAX as u64 + 1 };
    assert_eq!(shard.transact(vec![], many), Outcome::Refused(refusal));
    let large = (0..5).map(|n| WriteOp::set(key(&format!("k{n}")), value_of(vec![0; 1 << 20])));
    let outcome = shard.transact(vec![], large.collect());
    assert!(matches!(outcome, Outcome::Refused(Refusal::TransactionTooLarge { .. })));
    assert_eq!(shard.revision(), 0);
}

#[test]
fn upload_names_a_component_and_a_second_one_replaces_the_name() {
    let mut shard = Shard::new();
    let name = Name::new("bank").unwrap();
    let upload = |bytes: &'static [u8]| {
        Command::Upload(Upload { name: Name::new("bank").unwrap(), bytes: bytes.into() })
    };
    let by_name = |shard: &mut Shard| {
        let Command::Call(call) = call("append") else { unreachable!() };
        let component = ComponentRef::Name(Name::new("bank").unwrap());
        shard.run(Command::Call(Call { component, ..call }))
    };
    assert_eq!(by_name(&mut shard), Outcome::Refused(Refusal::ComponentUnknown));
    for bytes in [&b"one"[..], b"two", b"one"] {
        let component = ComponentHash::of(bytes);
        assert_eq!(shard.run(upload(bytes)), Outcome::Uploaded { component });
        assert_eq!(shard.model.alias(&name).unwrap().unwrap().now().component, component);
    }
    assert_eq!(shard.model.header().components, 3, "with the one that the shard began with");
    assert!(matches!(by_name(&mut shard), Outcome::Returned { .. }));
    let bytes = vec![0; COMPONENT_BYTES_MAX + 1].into();
    let large = shard.run(Command::Upload(Upload { name, bytes }));
    assert!(matches!(large, Outcome::Refused(Refusal::ComponentTooLarge { .. })));
}

#[test]
fn digest_tells_shards_that_applied_something_else() {
    let digest = |values: &[&str]| {
        let mut shard = Shard::new();
        for value in values {
            shard.transact(vec![], vec![set("a", value)]);
        }
        shard.model.header().digest
    };
    assert_eq!(digest(&["1", "2"]), digest(&["1", "2"]));
    assert_ne!(digest(&["1", "2"]), digest(&["1", "3"]));
    assert_ne!(digest(&["1", "2"]), digest(&["2", "1"]));
}
