//! The answers to clients of transactions and functions across shards: one answer to each request, however
//! its attempts end.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

mod across;

use across::{Attempt, World, key, set, transact};
use aspen_core::across::{Action, CoordinatorReply};
use aspen_core::codec::decode;
use aspen_core::function::CallEnd;
use aspen_core::ids::{ComponentHash, ComponentRef, Fuel, Name, RequestId, SessionId};
use aspen_core::protocol::{Command, Outcome, Upload};
use aspen_core::refusal::Refusal;
use aspen_core::state::{Model, State};
use aspen_core::transaction::{Expectation, Read, WriteOp};
use aspen_core::two_phase::{CommitReply, FunctionRun};
use bytes::Bytes;

/// The client asked twice, for the answer was late. One attempt meets a conflict, which is gone when the
/// other one prepares: whichever has an entry first is the answer of both.
#[test]
fn txn_conflict_that_was_told_is_the_answer_of_every_attempt() {
    let (a, b) = (key(0, "a"), key(1, "b"));
    let reads = vec![Read::key(b.clone(), Expectation::Absent)];
    let wanted = transact(reads, vec![set(&a, "1"), set(&b, "1")]);
    for committed_first in [false, true] {
        let mut world = World::new();
        world.one(1, Command::Transact(transact(vec![], vec![set(&b, "0")])));
        let mut first = Attempt::new(world, 1, &wanted);
        first.run();
        let Some(CoordinatorReply::Outcome(conflict)) = first.reply else {
            panic!("{:?}", first.reply)
        };
        let told: Outcome = decode(&conflict).unwrap();
        assert!(matches!(told, Outcome::Conflict { .. }), "{told:?}");
        let conclude = Command::Conclude(Box::new(told));
        let mut world = first.world;
        world.one(
            1,
            Command::Transact(transact(vec![], vec![WriteOp::Delete { key: b.clone() }.into()])),
        );

        let mut second = Attempt::new(world, 2, &wanted);
        let request = Some(second.request);
        // Both votes; the decision is on its way.
        (0..2).for_each(|_| {
            let next = second.in_flight.remove(0);
            second.deliver(next)
        });
        assert!(matches!(&second.in_flight[..], [Action::Decide(_)]), "{:?}", second.in_flight);
        if committed_first {
            second.run();
            let kept = second.world.apply(0, request, conclude);
            assert_eq!(second.reply, Some(CoordinatorReply::Outcome(kept.clone())));
            assert!(matches!(decode(&kept), Ok(Outcome::Committed { .. })));
        } else {
            assert_eq!(second.world.apply(0, request, conclude), conflict);
            second.run();
            assert_eq!(second.reply, Some(CoordinatorReply::Outcome(conflict)));
        }
        second.world.sweep();
        let done = u64::from(committed_first);
        assert_eq!([&a, &b].map(|key| second.world.version(key)), [done; 2]);
        let locked = |model: &Model| model.resident().locks.all_prepared().count();
        assert!(second.world.models.iter().all(|model| locked(model) == 0));
    }
}

/// A function that ran outside of the log is the one that its caller means when it is decided: another
/// component that becomes active before that undoes the attempt, and nothing of the attempt is kept, so the
/// call is run again.
fn hash(bytes: &str) -> ComponentHash {
    ComponentHash::of(bytes.as_bytes())
}

fn upload(name: &str, bytes: &str) -> Command {
    let (name, bytes) = (Name::new(name).unwrap(), Bytes::copy_from_slice(bytes.as_bytes()));
    Command::Upload(Upload { name, bytes })
}

/// Changes of components, and true for each that gives the reference another meaning.
fn component_changes() -> [(ComponentRef, Command, bool); 9] {
    let name = Name::new("bank").unwrap();
    let canary = |percent| {
        let canary = Some((hash("two"), percent));
        Command::Canary { name: name.clone(), canary }
    };
    let point = |component| Command::Point { name: name.clone(), component };
    let remove = || Command::RemoveName { name: name.clone() };
    let by_name = ComponentRef::Name(name.clone());
    let by_hash = ComponentRef::Hash(hash("one"));
    [
        (by_name.clone(), upload("bank", "three"), true),
        (by_name.clone(), point(hash("two")), true),
        (by_name.clone(), canary(100), true),
        (by_name.clone(), remove(), true),
        (by_hash.clone(), remove(), true),
        (by_hash, point(hash("two")), false),
        (by_name.clone(), canary(0), false),
        (by_name.clone(), point(hash("one")), false),
        (by_name, upload("other", "three"), false),
    ]
}

#[test]
fn txn_call_across_shards_is_decided_only_for_the_component_that_is_meant() {
    let (a, b) = (key(0, "a"), key(1, "b"));
    let wanted = transact(vec![], vec![set(&a, "1"), set(&b, "1")]);
    let answer = |named: &ComponentRef, component| {
        let end = CallEnd::Returned(Bytes::from_static(&[1, 0]));
        let (named, key, function) = (named.clone(), a.clone(), "f".into());
        let (fuel, writes, log, micros) = (Fuel::new(9), 2, vec![], 1);
        let ran = FunctionRun { named, key, component, function, end, fuel, writes, log, micros };
        Some(CommitReply::Function(Box::new(ran)))
    };
    for (named, change, is_another) in component_changes() {
        // After so many messages: none, one vote, both, the decision.
        for after in 0..4 {
            let mut world = World::new();
            world.one(0, upload("bank", "one"));
            world.one(0, upload("spare", "two"));
            let mut first = Attempt::answering(world, 1, &wanted, answer(&named, hash("one")));
            (0..after).for_each(|_| {
                let next = first.in_flight.remove(0);
                first.deliver(next)
            });
            first.world.one(0, change.clone());
            first.run();
            let Some(CoordinatorReply::Outcome(told)) = &first.reply else {
                panic!("{:?}", first.reply)
            };
            let undone = is_another && after < 3;
            match decode(told).unwrap() {
                Outcome::Refused(Refusal::ComponentChanged) if undone => {}
                Outcome::Returned { .. } if !undone => {}
                other => panic!("{change:?} after {after}: {other:?}"),
            }
            let done = u64::from(!undone);
            assert_eq!([&a, &b].map(|key| first.world.version(key)), [done; 2], "all or none");
            let locked = |world: &World| {
                let of = |model: &Model| model.resident().locks.all_prepared().count();
                world.models.iter().map(of).sum::<usize>()
            };
            assert_eq!(locked(&first.world), 0);
            // Once more, as the node does: it is done, once.
            let answer = answer(&ComponentRef::Hash(hash("two")), hash("two"));
            let mut again = Attempt::answering(first.world, 2, &wanted, answer);
            again.run();
            assert!(
                matches!(again.reply, Some(CoordinatorReply::Outcome(told)) if !Outcome::is_refusal(&told))
            );
            assert_eq!([&a, &b].map(|key| again.world.version(key)), [1; 2]);
            again.world.sweep();
            assert_eq!(locked(&again.world), 0);
        }
    }
}

/// An outcome "nothing done, try again" is kept as well once a client was told.
#[test]
fn txn_concluded_request_keeps_what_would_pass_otherwise() {
    let mut world = World::new();
    let request = Some(RequestId { session: SessionId::new(1), sequence: 1, acknowledged: 0 });
    let full = Outcome::Refused(Refusal::TooManyPrepared);
    let told = world.apply(0, request, Command::Conclude(Box::new(full.clone())));
    assert_eq!(decode::<Outcome>(&told).unwrap(), full);
    let write = Command::Transact(transact(vec![], vec![set(&key(0, "a"), "1")]));
    assert_eq!(world.apply(0, request, write), told);
}

/// A late conclusion, for a client that has gone on or whose session is closed, changes nothing.
#[test]
fn txn_conclusion_that_nobody_waits_for_is_not_kept() {
    let mut world = World::new();
    let request = |session, sequence, acknowledged| {
        Some(RequestId { session: SessionId::new(session), sequence, acknowledged })
    };
    let write = || Command::Transact(transact(vec![], vec![set(&key(0, "a"), "1")]));
    world.apply(0, request(1, 5, 5), write());
    let kept = |world: &World| {
        let sessions = &world.models[0].resident().sessions;
        sessions.all().map(|(_, outcomes)| outcomes.len()).sum::<usize>()
    };
    assert_eq!(kept(&world), 1);
    let conclude = || Command::Conclude(Box::new(Outcome::Refused(Refusal::TooManyPrepared)));
    let late = [
        (request(1, 4, 0), Refusal::SequenceForgotten),
        (request(1, 4, 4), Refusal::SequenceForgotten),
        (request(9, 1, 0), Refusal::SessionUnknown),
    ];
    for (request, refusal) in late {
        let told: Outcome = decode(&world.apply(0, request, conclude())).unwrap();
        assert_eq!(told, Outcome::Refused(refusal));
        assert_eq!(kept(&world), 1);
    }
}
