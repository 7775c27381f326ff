//! The hash of a state differs for every part of the state, and not for its past.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test fails by a panic, also in its helper functions"
)]

mod shard;

use aspen_core::function::Call;
use aspen_core::ids::{ComponentRef, Name, Revision, ShardId, Timestamp, TxnId, Version};
use aspen_core::protocol::Command;
use aspen_core::state::{FirstRun, Model, NewSchedule, Resident, State, StateHash, hash_state};
use aspen_core::transaction::{Expiry, Operation, Transact, WriteOp};
use aspen_core::two_phase::Prepare;
use aspen_core::val::encode_vals;
use aspen_core::view::{Components, Record, View};
use shard::{Shard, delete, key, set, value_of};

fn hash_with(view: &dyn View, resident: &Resident, shard: &Shard) -> StateHash {
    hash_state(view, resident, &shard.model.header(), &|_| true).unwrap().unwrap()
}

fn hash(shard: &Shard) -> StateHash {
    hash_with(&shard.model, shard.model.resident(), shard)
}

/// Keys, a lease with a key, a tombstone, a schedule, a prepared transaction; sessions and a component
/// from the start.
fn filled() -> Shard {
    let mut shard = Shard::new();
    shard.transact(vec![], vec![set("a", "1"), set("b", "2"), set("c", "3")]);
    let expiring =
        WriteOp::Set { key: key("d"), value: value_of("4"), expiry: Expiry::After(9_000) };
    shard.transact(vec![], vec![expiring, delete("c")]);
    let txn = TxnId { begun: Timestamp::new(shard.clock), coordinator: ShardId::new(0), nonce: 1 };
    let component = ComponentRef::Name(Name::new("native").unwrap());
    let (function, args) = ("append".to_string(), encode_vals(&[]).unwrap());
    let call = Call { key: key("log"), component, function, args, reads: vec![] };
    let (name, first) = (Name::new("later").unwrap(), FirstRun::After(9_000));
    shard.entry(None, Command::Schedule(NewSchedule { name, call, first, every_ms: None }));
    let part = Transact { then: vec![Operation::Write(set("e", "5"))], ..Transact::default() };
    shard.entry(None, Command::Prepare(Prepare { txn, part }));
    shard
}

#[test]
fn same_entries_give_the_same_hash_and_one_more_another() {
    let (one, mut other) = (filled(), filled());
    assert_eq!(hash(&one), hash(&other));
    assert_eq!(hash(&one).keys, 3);
    other.entry(None, Command::Verify);
    assert_ne!(hash(&one).hash, hash(&other).hash, "the digest in the header went on");
}

/// Replicas of different builds compare theirs. A part that is added to the header changes it.
#[test]
fn hash_is_pinned() {
    let mut model = Model::new();
    let record = Record {
        value: value_of("v"),
        version: Version::new(1),
        create_revision: Revision::new(2),
        mod_revision: Revision::new(3),
        lease: aspen_core::ids::LeaseId::new(4),
    };
    model.set(&key("k"), record).unwrap();
    let header =
        aspen_core::state::Header { profile: aspen_core::ids::ProfileId::new(2), ..model.header() };
    let hashed = hash_state(&model, model.resident(), &header, &|_| true);
    let hash = hashed.unwrap().unwrap();
    assert_eq!((hash.keys, hash.bytes), (1, 54));
    let want = "b1f103c6c9a219dec49d21ba1ac9713078bc1ade602b28b83983f70fe8adbb18";
    assert_eq!(hash.to_string(), want);
}

#[test]
fn hash_sees_every_field_of_a_record() {
    let shard = filled();
    let whole = hash(&shard);
    let changes: [fn(&mut Record); 5] = [
        |record| record.value = value_of("2 "),
        |record| record.version = Version::new(9),
        |record| record.create_revision = Revision::new(9),
        |record| record.mod_revision = Revision::new(9),
        |record| record.lease = aspen_core::ids::LeaseId::new(9),
    ];
    for change in changes {
        let mut model = shard.model.clone();
        let mut record = model.get(&key("b")).unwrap().unwrap();
        change(&mut record);
        model.set(&key("b"), record).unwrap();
        assert_ne!(hash_with(&model, model.resident(), &shard).hash, whole.hash);
    }
    // Another key with the same record, and none.
    let mut model = shard.model.clone();
    let record = model.get(&key("b")).unwrap().unwrap();
    model.remove(&key("b")).unwrap();
    assert_ne!(hash_with(&model, model.resident(), &shard).hash, whole.hash);
    model.set(&key("bb"), record).unwrap();
    assert_ne!(hash_with(&model, model.resident(), &shard).hash, whole.hash);
}

#[test]
fn hash_sees_names_and_what_lives_in_memory() {
    let shard = filled();
    let whole = hash(&shard);
    let mut model = shard.model.clone();
    let (name, _) = model.aliases().unwrap().remove(0);
    model.remove_alias(&name).unwrap();
    assert_ne!(hash_with(&model, model.resident(), &shard).hash, whole.hash);
    let parts: [fn(&mut Resident); 5] = [
        |resident| resident.sessions = Default::default(),
        |resident| resident.leases = Default::default(),
        |resident| resident.tombstones = Default::default(),
        |resident| resident.locks = Default::default(),
        |resident| resident.schedules = Default::default(),
    ];
    for forget in parts {
        let mut resident = shard.model.resident().clone();
        forget(&mut resident);
        assert_ne!(hash_with(&shard.model, &resident, &shard).hash, whole.hash);
    }
    let mut resident = shard.model.resident().clone();
    resident.take_changes();
    assert_eq!(
        hash_with(&shard.model, &resident, &shard),
        whole,
        "what waits to be stored is no state"
    );
}

#[test]
fn hash_that_nobody_wants_any_more_ends() {
    let shard = filled();
    let header = shard.model.header();
    let resident = shard.model.resident();
    let mut seen = vec![];
    for stop_at in 1..=4 {
        let asked = std::cell::Cell::new(0);
        let goes_on = |keys| {
            asked.set(keys);
            keys < stop_at
        };
        let ended = hash_state(&shard.model, resident, &header, &goes_on).unwrap();
        seen.push((asked.get(), ended.is_some()));
    }
    assert_eq!(seen, [(1, false), (2, false), (3, false), (3, true)]);
}

#[test]
fn missing_component_is_a_fault() {
    let shard = filled();
    let mut model = shard.model.clone();
    let (_, alias) = model.aliases().unwrap().remove(0);
    model.remove_component(&alias.now().component).unwrap();
    let fault = hash_state(&model, model.resident(), &shard.model.header(), &|_| true).unwrap_err();
    assert_eq!(fault.what, "hashing a component");
}
