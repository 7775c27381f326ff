//! Transactions across shards: every order of messages, with a crash, a silence or a duplicate at
//! every step, ends with all shards or none having done it, once, and with nothing locked.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

mod across;

use std::collections::BTreeSet;

use across::{Attempt, SHARDS, World, key, router, set, transact, txn};
use aspen_core::across::{Action, CoordinatorReply, Event, Split};
use aspen_core::codec::decode;
use aspen_core::ids::{ShardId, Version};
use aspen_core::key::Key;
use aspen_core::limits::TXN_AGE_MS_MAX;
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{Command, Outcome};
use aspen_core::refusal::Refusal;
use aspen_core::state::{ResidentChanges, State};
use aspen_core::transaction::{Expectation, Operation, Read, Transact, WriteOp};
use aspen_core::two_phase::{Branch, CommitReply, Decide, Decision, Finish, Prepare};

/// Everything that may still go wrong.
#[derive(Clone, Copy)]
struct Budget {
    crash: bool,
    silence: bool,
    duplicate: bool,
}

/// Goes through all that may happen next; calls `end` when nothing is in flight any more.
fn explore(attempt: Attempt, budget: Budget, end: &mut dyn FnMut(&Attempt)) {
    end(&attempt);
    if budget.crash && attempt.coordinator.is_some() {
        let mut crashed = attempt.clone();
        crashed.coordinator = None;
        explore(crashed, Budget { crash: false, ..budget }, end);
    }
    for at in 0..attempt.in_flight.len() {
        let mut next = attempt.clone();
        let action = next.in_flight.remove(at);
        if budget.duplicate {
            let mut twice = attempt.clone();
            twice.deliver(action.clone());
            explore(twice, Budget { duplicate: false, ..budget }, end);
        }
        if budget.silence
            && let Action::Prepare(shard, _) = &action
        {
            let mut silent = attempt.clone();
            silent.tell(Event::Silent(*shard));
            explore(silent, Budget { silence: false, ..budget }, end);
        }
        next.deliver(action);
        explore(next, budget, end);
    }
}

/// At any moment: the attempt is swept, done again as the client would, swept, and the messages that were
/// in flight arrive late.
fn check_moment(attempt: &Attempt, transact: &Transact, keys: &[Key]) {
    let committed = |reply: &Option<CoordinatorReply>| {
        let Some(CoordinatorReply::Outcome(outcome)) = reply else { return false };
        matches!(decode(outcome).unwrap(), Outcome::Committed { .. })
    };
    let mut swept = attempt.world.clone();
    swept.sweep();
    let versions: BTreeSet<u64> = keys.iter().map(|key| swept.version(key)).collect();
    assert_eq!(versions.len(), 1, "all or none: {versions:?}");
    assert!(!committed(&attempt.reply) || versions == BTreeSet::from([1]), "what was promised");
    assert!(swept.models.iter().all(|model| model.resident().locks.is_free()));

    let mut again = Attempt::new(swept, 2, transact);
    again.run();
    assert!(committed(&again.reply), "{:?}", again.reply);
    // Meanwhile the first driver may have gone on as if nothing had happened.
    let mut late = Attempt { world: again.world, ..attempt.clone() };
    late.run();
    let mut world = late.world;
    world.sweep();
    assert!(keys.iter().all(|key| world.version(key) == 1), "once");
    assert!(world.models.iter().all(|model| model.resident().locks.is_free()));
    world.clock += TXN_AGE_MS_MAX + 1;
    world.one(0, Command::Tick);
    assert_eq!(world.models[0].resident().locks.all_decided().count(), 0);
}

#[test]
fn txn_across_shards_is_done_everywhere_once_or_nowhere() {
    for shards in [2, 3] {
        let keys: Vec<Key> = (0..shards).map(|shard| key(shard, "k")).collect();
        let then = keys.iter().map(|key| set(key, "x")).collect();
        let transact = Transact { then, ..Transact::default() };
        let attempt = Attempt::new(World::new(), 1, &transact);
        let budgets = [(true, true, false), (true, false, true), (false, true, true)];
        let mut moments = 0;
        for (crash, silence, duplicate) in budgets {
            let budget = Budget { crash, silence, duplicate };
            explore(attempt.clone(), budget, &mut |moment| {
                moments += 1;
                check_moment(moment, &transact, &keys);
            });
        }
        println!("{shards} shards: {moments} moments");
    }
}

fn prepare(world: &mut World, shard: u16, nonce: u64, part: Transact) -> Outcome {
    world.one(shard, Command::Prepare(Prepare { txn: txn(nonce), part }))
}

fn finish(world: &mut World, shard: u16, nonce: u64, branch: Option<Branch>) -> Outcome {
    let finish = Finish { txn: txn(nonce), prepare_id: None, branch };
    world.one(shard, Command::Finish(finish))
}

#[test]
fn txn_lock_keeps_others_out_until_it_is_finished() {
    let (written, read, free) = (key(1, "w"), key(1, "r"), key(1, "f"));
    let mut world = World::new();
    let holds = |key: &Key| Read::key(key.clone(), Expectation::Absent);
    let part = transact(vec![holds(&read)], vec![set(&written, "new")]);
    assert!(matches!(prepare(&mut world, 1, 1, part), Outcome::Prepared(_)));
    let by = txn(1);
    let tried = |world: &World, reads, then| {
        let mut world = world.clone();
        let done = world.one(1, Command::Transact(transact(reads, then)));
        match done {
            Outcome::Committed { .. } => true,
            Outcome::Refused(Refusal::Locked { by: found }) if found == by => false,
            other => panic!("{other:?}"),
        }
    };
    let get = |key: &Key| Operation::Get(key.clone());
    assert!(!tried(&world, vec![], vec![set(&written, "x")]));
    assert!(!tried(&world, vec![], vec![get(&written)]));
    assert!(!tried(&world, vec![holds(&written)], vec![set(&free, "x")]));
    assert!(!tried(&world, vec![], vec![set(&read, "x")]), "it would break what was read");
    assert!(tried(&world, vec![holds(&read)], vec![get(&read), set(&free, "x")]));
    let second = transact(vec![holds(&read)], vec![set(&free, "x")]);
    assert!(matches!(prepare(&mut world, 1, 2, second), Outcome::Prepared(_)), "reads are shared");
    let third = transact(vec![], vec![set(&read, "x")]);
    assert_eq!(prepare(&mut world, 1, 3, third), Outcome::Refused(Refusal::Locked { by }));

    assert_eq!(finish(&mut world, 1, 1, Some(Branch::Then)), Outcome::Finished);
    assert_eq!(finish(&mut world, 1, 1, Some(Branch::Then)), Outcome::Finished, "again");
    assert_eq!(finish(&mut world, 1, 2, None), Outcome::Finished);
    assert_eq!((world.version(&written), world.version(&free)), (1, 0));
    assert!(tried(&world, vec![], vec![set(&written, "x"), set(&read, "x")]));
}

#[test]
fn txn_lock_covers_ranges_and_their_absent_keys() {
    let tagged =
        |text: &str| Key::try_from(format!("{{{}}}/{text}", key(2, "t")).as_str()).unwrap();
    let range = aspen_core::key::KeyRange::prefix(format!("{{{}}}/", key(2, "t")).into_bytes());
    let mut world = World::new();
    let unchanged_since = world.models[2].header().revision;
    let reads = vec![Read::range(range.clone(), unchanged_since)];
    assert!(matches!(prepare(&mut world, 2, 1, transact(reads, vec![])), Outcome::Prepared(_)));
    let by = txn(1);
    let blocked = Outcome::Refused(Refusal::Locked { by });
    let write = transact(vec![], vec![set(&tagged("new"), "x")]);
    assert_eq!(world.one(2, Command::Transact(write.clone())), blocked);
    finish(&mut world, 2, 1, None);
    assert!(matches!(prepare(&mut world, 2, 2, write), Outcome::Prepared(_)));
    let reads = vec![Read::range(range, unchanged_since)];
    let by = txn(2);
    let reader = Command::Transact(transact(reads, vec![]));
    assert_eq!(world.one(2, reader), Outcome::Refused(Refusal::Locked { by }));
}

/// A range of all shards: whatever is written to it on one of them, or was since it was read, undoes it.
#[test]
fn txn_range_of_all_shards_is_checked_on_each() {
    let range = aspen_core::key::KeyRange::prefix("k");
    let writes = |shard| transact(vec![], vec![set(&key(shard, "k"), "x")]);
    for changed in [None, Some(0), Some(1), Some(2)] {
        let mut world = World::new();
        let reads = (0..SHARDS).map(|shard| {
            let unchanged_since = world.models[usize::from(shard)].header().revision;
            let shard = Some(ShardId::new(shard));
            Read::Range { range: range.clone(), unchanged_since, shard }
        });
        let wanted = transact(reads.collect(), vec![set(&key(0, "sum"), "0")]);
        if let Some(shard) = changed {
            world.one(shard, Command::Transact(writes(shard)));
        }
        let mut attempt = Attempt::new(world, 1, &wanted);
        for _ in 0..SHARDS {
            let prepare = attempt.in_flight.remove(0);
            attempt.deliver(prepare);
        }
        if changed.is_none() {
            for shard in 0..SHARDS {
                let late = attempt.world.one(shard, Command::Transact(writes(shard)));
                assert!(matches!(late, Outcome::Refused(Refusal::Locked { .. })), "{late:?}");
            }
        }
        attempt.run();
        let Some(CoordinatorReply::Outcome(told)) = &attempt.reply else {
            panic!("{:?}", attempt.reply)
        };
        match (changed, decode(told).unwrap()) {
            (None, Outcome::Committed { .. }) => {}
            (Some(shard), Outcome::Conflict { conflicts, .. }) => {
                assert_eq!(conflicts[0].key, key(shard, "k"));
            }
            (_, other) => panic!("{changed:?}: {other:?}"),
        }
        assert!(attempt.world.models.iter().all(|model| model.resident().locks.is_free()));
    }
}

#[test]
fn txn_votes_say_what_the_operations_come_to() {
    let (a, b) = (key(0, "a"), key(1, "b"));
    let mut world = World::new();
    world.one(0, Command::Transact(transact(vec![], vec![set(&a, "1"), set(&a, "2")])));
    let delete = Operation::Write(WriteOp::Delete { key: a.clone() });
    let get = Operation::Get(a.clone());
    let whole = Transact {
        reads: vec![Read::key(b.clone(), Expectation::Version(Version::new(7)))],
        then: vec![set(&b, "then")],
        otherwise: Some(vec![get, set(&b, "else"), set(&a, "3"), delete, set(&a, "4")]),
        return_values: false,
    };
    let mut attempt = Attempt::new(world, 1, &whole);
    attempt.run();
    let Some(CoordinatorReply::Outcome(outcome)) = attempt.reply else {
        panic!("{:?}", attempt.reply)
    };
    let Outcome::Committed { succeeded, results, .. } = decode(&outcome).unwrap() else { panic!() };
    assert!(!succeeded);
    let shown: Vec<String> = results.iter().map(|result| format!("{result:?}")).collect();
    assert!(shown[0].starts_with("Got(Some(Record"), "{}", shown[0]);
    let version = |n: usize| shown[n].split("Version(").nth(1).unwrap().split(')').next().unwrap();
    assert_eq!([1, 2, 3, 4].map(version), ["1", "3", "3", "1"]);
    assert_eq!((attempt.world.version(&a), attempt.world.version(&b)), (1, 1));
}

#[test]
fn txn_across_shards_refuses_what_it_cannot_do() {
    let (a, b) = (key(0, "a"), key(1, "b"));
    let split = |transact: &Transact| Split::new(&router(), transact).unwrap_err();
    let both =
        |more: Vec<Operation>| transact(vec![], [vec![set(&a, "1"), set(&b, "1")], more].concat());
    let lease = aspen_core::ids::LeaseId::new(1);
    for operation in [Operation::Grant { ttl_ms: 9 }, Operation::Revoke(lease)] {
        assert_eq!(split(&both(vec![operation])), Refusal::LeaseAcrossShards);
    }
    let expiry = aspen_core::transaction::Expiry::Lease(lease);
    let on_lease = WriteOp::Expire { key: a.clone(), expiry };
    assert_eq!(split(&both(vec![on_lease.into()])), Refusal::LeaseAcrossShards);
    let get = Operation::Get(a.clone());
    assert_eq!(split(&both(vec![get])), Refusal::GetAfterWrite { key: a.clone() });
    let unchanged_since = aspen_core::ids::Revision::new(1);
    let read = Read::range(aspen_core::key::KeyRange::prefix("x"), unchanged_since);
    assert_eq!(split(&transact(vec![read], vec![])), Refusal::RangeAcrossShards);
    let range = aspen_core::key::KeyRange::prefix("x");
    let of = |shard| Read::Range { range: range.clone(), unchanged_since, shard: Some(shard) };
    let none = ShardId::new(SHARDS);
    assert_eq!(split(&transact(vec![of(none)], vec![])), Refusal::WrongShard { shard: none });
    // A node that gets one of another shard does not check it against its own keys.
    let other = ShardId::new(2);
    let wrong = Outcome::Refused(Refusal::WrongShard { shard: other });
    let part = transact(vec![of(other)], vec![set(&b, "1")]);
    assert_eq!(World::new().one(1, Command::Transact(part.clone())), wrong);
    assert_eq!(prepare(&mut World::new(), 1, 1, part), wrong);
    let many = ShardRouter::new(256).unwrap();
    let keys = (0..200).map(|n| Key::try_from(format!("k{n}").as_str()).unwrap());
    let wide = transact(vec![], keys.map(|key| set(&key, "1")).collect());
    let refusal = Split::new(&many, &wide).unwrap_err();
    assert!(refusal.to_string().ends_with("shards, limit is 16"), "{refusal}");
}

#[test]
fn txn_attempt_that_is_over_or_too_old_is_not_prepared_again() {
    let mut world = World::new();
    let part = || transact(vec![], vec![set(&key(0, "a"), "1")]);
    let abort =
        Decide { txn: txn(1), decision: Decision::Abort, answer: CommitReply::Results(vec![]) };
    let decided = Outcome::Decided(Decision::Abort);
    assert_eq!(world.one(0, Command::Decide(abort.clone())), decided);
    let over = Outcome::Refused(Refusal::AttemptOver);
    assert_eq!(prepare(&mut world, 0, 1, part()), over);
    world.clock += TXN_AGE_MS_MAX + 1;
    assert_eq!(prepare(&mut world, 0, 1, part()), over, "by its age, for nothing is remembered");
    assert_eq!(world.models[0].resident().locks.all_decided().count(), 0);
    let commit = Decision::Commit { branch: Branch::Then, prepare_ids: vec![] };
    let commit = Decide { txn: txn(1), decision: commit, answer: CommitReply::Results(vec![]) };
    assert_eq!(world.one(0, Command::Decide(commit)), over);
}

#[test]
fn txn_locks_that_are_stored_are_those_that_are_loaded() {
    let mut world = World::new();
    let changes =
        |world: &mut World| -> ResidentChanges { world.models[0].resident_mut().take_changes() };
    changes(&mut world);
    let part =
        transact(vec![Read::key(key(0, "r"), Expectation::Absent)], vec![set(&key(0, "a"), "1")]);
    prepare(&mut world, 0, 1, part);
    let abort =
        Decide { txn: txn(2), decision: Decision::Abort, answer: CommitReply::Results(vec![]) };
    world.one(0, Command::Decide(abort));
    let mut restored = aspen_core::two_phase::Locks::default();
    for change in changes(&mut world).locks {
        if let Some(prepared) = change.prepared {
            restored.restore_prepared(change.txn, prepared);
        }
        if let Some(decision) = change.decision {
            restored.restore_decision(change.txn, decision);
        }
    }
    assert_eq!(restored, world.models[0].resident().locks);
}
