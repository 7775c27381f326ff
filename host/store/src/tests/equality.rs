//! The stored state equals the model: same outcomes, same header and digest, same content, whatever
//! the batches, and through flushes, reopening, crashes and snapshots.

use std::sync::Arc;

use aspen_core::codec::decode;
use aspen_core::function::{Call, NoFunctions};
use aspen_core::ids::{
    ComponentHash, ComponentRef, LeaseId, Name, RequestId, Revision, SessionId, Version,
};
use aspen_core::key::{Key, KeyRange, Value};
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{Command, Entry, Upload, UploadPart};
use aspen_core::state::{
    FirstRun, Header, Model, NewSchedule, Resident, State, Verification, hash_state,
};
use aspen_core::transaction::{
    Compare, Expectation, Expiry, Operation, Read, Relation, Transact, WriteOp,
};
use aspen_core::view::{Record, View};
use bytes::Bytes;
use openraft::EntryPayload;
use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{SHARD, apply, close_state, crashed_copy, open_bounded, proposal, run, verified};
use crate::StateReader;
use crate::limits::INLINE_BYTES_MAX;

/// A step of the test between batches.
#[derive(Clone, Copy, Debug)]
enum Pause {
    Nothing,
    Flush,
    Reopen,
    Crash,
    Snapshot,
}

fn key() -> impl Strategy<Value = Key> {
    vec(prop_oneof![Just(0u8), Just(b'a'), Just(0xff)], 1..4).prop_map(|k| Key::new(k).unwrap())
}

fn write() -> impl Strategy<Value = WriteOp> {
    let large = any::<u8>().prop_map(|byte| vec![byte; INLINE_BYTES_MAX]);
    let value = prop_oneof![6 => vec(any::<u8>(), 0..20), 1 => large];
    let value = value.prop_map(|value| Value::new(value).unwrap());
    prop_oneof![
        3 => (key(), value, expiry()).prop_map(|(key, value, expiry)| WriteOp::Set { key, value, expiry }),
        2 => key().prop_map(|key| WriteOp::Delete { key }),
        1 => (key(), expiry()).prop_map(|(key, expiry)| WriteOp::Expire { key, expiry }),
    ]
}

fn lease() -> impl Strategy<Value = LeaseId> {
    (1..6u64).prop_map(LeaseId::new)
}

/// An entry is 10 ms after the one before, so times to live of some ms are over within a batch.
fn ttl_ms() -> impl Strategy<Value = u64> {
    prop_oneof![1..100u64, Just(0), Just(1_000_000)]
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        4 => Just(Expiry::Never),
        1 => Just(Expiry::Keep),
        2 => lease().prop_map(Expiry::Lease),
        2 => ttl_ms().prop_map(Expiry::After),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        6 => write().prop_map(Operation::Write),
        1 => key().prop_map(Operation::Get),
        1 => ttl_ms().prop_map(|ttl_ms| Operation::Grant { ttl_ms }),
        1 => lease().prop_map(Operation::KeepAlive),
        1 => lease().prop_map(Operation::Revoke),
    ]
}

fn relation() -> impl Strategy<Value = Relation> {
    use Relation::*;
    prop_oneof![Just(Equal), Just(NotEqual), Just(Less), Just(Greater)]
}

fn compare() -> impl Strategy<Value = Compare> {
    (relation(), 0..4u64, 0..5u8).prop_map(|(relation, number, what)| match what {
        0 => Compare::Value(relation, Value::new(vec![number as u8]).unwrap()),
        1 => Compare::Version(relation, Version::new(number)),
        2 => Compare::CreateRevision(relation, Revision::new(number * 5)),
        3 => Compare::ModRevision(relation, Revision::new(number * 5)),
        _ => Compare::Lease(relation, LeaseId::new(number)),
    })
}

fn read() -> impl Strategy<Value = Read> {
    let range = (key(), key(), 0..40u64).prop_map(|(start, end, revision)| {
        let range = KeyRange { start: start.into(), end: Some(end.into()) };
        Read::range(range, Revision::new(revision))
    });
    let key = (key(), expectation()).prop_map(|(key, expected)| Read::Key { key, expected });
    prop_oneof![4 => key, 1 => range]
}

fn expectation() -> impl Strategy<Value = Expectation> {
    prop_oneof![
        Just(Expectation::Absent),
        (0..4u64).prop_map(|version| Expectation::Version(Version::new(version))),
        (1..40u64).prop_map(|revision| Expectation::ModRevision(Revision::new(revision))),
        (0..40u64).prop_map(|revision| Expectation::UnchangedSince(Revision::new(revision))),
        compare().prop_map(Expectation::Compare),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let otherwise = proptest::option::weighted(0.3, vec(operation(), 0..3));
    let parts = (vec(read(), 0..2), vec(operation(), 0..4), otherwise, any::<bool>());
    let transact = parts.prop_map(|(reads, then, otherwise, return_values)| {
        Command::Transact(Transact { reads, then, otherwise, return_values })
    });
    let upload = (0..3u8).prop_map(|number| {
        let name = Name::new(format!("component-{}", number % 2)).unwrap();
        Command::Upload(Upload { name, bytes: Bytes::from(vec![number; 50]) })
    });
    let call = key().prop_map(|key| {
        let component = ComponentRef::Name(Name::new("component-0").unwrap());
        let (function, args) = ("run".to_string(), Bytes::new());
        Command::Call(Call { key, component, function, args, reads: vec![] })
    });
    let name = || (0..2u8).prop_map(|n| Name::new(format!("component-{n}")).unwrap());
    let point = (name(), 0..3u8).prop_map(|(name, number)| Command::Point {
        name,
        component: ComponentHash::of(&[number; 50]),
    });
    let remove = name().prop_map(|name| Command::RemoveName { name });
    let share = proptest::option::of((0..3u8, 0..=100u8));
    let canary = (name(), share).prop_map(|(name, share)| {
        let canary = share.map(|(number, percent)| (ComponentHash::of(&[number; 50]), percent));
        Command::Canary { name, canary }
    });
    let pinned = || {
        (key(), 0..3u8).prop_map(|(key, number)| {
            let component = ComponentRef::Hash(ComponentHash::of(&[number; 50]));
            let (function, args) = ("run".to_string(), Bytes::new());
            Call { key, component, function, args, reads: vec![] }
        })
    };
    // Entry time goes on by 10 ms an entry.
    let times = (0..200u64, proptest::option::of(1_000..1_200u64));
    let schedule = (pinned(), name(), times).prop_map(|(call, name, (after, every_ms))| {
        Command::Schedule(NewSchedule { name, call, first: FirstRun::After(after), every_ms })
    });
    let unschedule = name().prop_map(|name| Command::Unschedule { name });
    let pinned = pinned().prop_map(Command::Call);
    // Three uploads of two parts, of which the second may come first, or not at all.
    let whole = |number: u8| Bytes::from(vec![number, number + 1]);
    let part = (3..6u8, 0..2usize).prop_map(move |(number, at)| {
        let whole = whole(number);
        let (component, total, offset) = (ComponentHash::of(&whole), 2, at as u64);
        Command::UploadPart(UploadPart { component, total, offset, bytes: whole.slice(at..=at) })
    });
    let finish = (name(), 3..6u8).prop_map(move |(name, number)| Command::FinishUpload {
        name,
        component: ComponentHash::of(&whole(number)),
    });
    prop_oneof![
        2 => part,
        1 => finish,
        1 => Just(Command::OpenSession),
        2 => Just(Command::Tick),
        2 => schedule,
        1 => unschedule,
        12 => transact,
        2 => upload,
        1 => call,
        1 => pinned,
        1 => point,
        1 => remove,
        1 => canary,
    ]
}

fn request() -> impl Strategy<Value = Option<RequestId>> {
    // Few sessions and numbers, far apart: repeats, forgotten ones, and equal places in a window.
    let sequence = prop_oneof![1..6u64, Just(1024 + 3), Just(2048 + 3), Just(u64::MAX)];
    let request = (1..3u64, sequence, 0..5u64).prop_map(|(session, sequence, acknowledged)| {
        RequestId { session: SessionId::new(session), sequence, acknowledged }
    });
    proptest::option::weighted(0.7, request)
}

fn batch() -> impl Strategy<Value = (Vec<(Option<RequestId>, Command)>, Pause)> {
    let pause = prop_oneof![
        3 => Just(Pause::Nothing),
        1 => Just(Pause::Flush),
        1 => Just(Pause::Reopen),
        1 => Just(Pause::Crash),
        1 => Just(Pause::Snapshot)
    ];
    (vec((request(), command()), 1..12), pause)
}

type Content = (Vec<(Bytes, Record)>, Vec<(Name, Arc<aspen_core::view::Alias>)>);

fn content(view: &dyn View, reverse: bool) -> Content {
    let mut records = vec![];
    let mut visit = |key: &[u8], record| {
        records.push((Bytes::copy_from_slice(key), record));
        true
    };
    view.scan(&KeyRange::all(), reverse, &mut visit).unwrap();
    let aliases = view.components().aliases().unwrap();
    for (name, alias) in &aliases {
        assert_eq!(view.components().alias(name).unwrap().as_ref(), Some(alias));
        for component in alias.components() {
            assert!(view.components().has_component(component).unwrap());
            assert!(view.components().component(component).unwrap().is_some());
        }
    }
    for number in 0..3u8 {
        let hash = ComponentHash::of(&[number; 50]);
        let is_named = aliases.iter().any(|(_, alias)| alias.mentions(&hash));
        assert_eq!(view.components().has_component(&hash).unwrap(), is_named);
        assert_eq!(view.components().component(&hash).unwrap().is_some(), is_named);
    }
    (records, aliases)
}

fn check(reader: &StateReader, model: &Model) {
    let sqlite = |reverse| {
        let read = |view: &dyn View, header: Header| Ok((content(view, reverse), header));
        reader.read(read).unwrap()
    };
    for reverse in [false, true] {
        assert_eq!(sqlite(reverse), (content(model, reverse), model.header()));
    }
    assert_eq!(reader.status().header, model.header());
    let prefix = KeyRange::prefix(&b"a"[..]);
    let first = |view: &dyn View| {
        let mut first = None;
        let mut visit = |key: &[u8], _| {
            first = Some(key.to_vec());
            false
        };
        view.scan(&prefix, false, &mut visit).unwrap();
        first
    };
    assert_eq!(reader.read(|view, _| Ok(first(view))).unwrap(), first(model));
}

/// Compares sessions, leases and tombstones, except for changes that are still to be stored.
async fn check_resident(reader: &StateReader, model: &Model) {
    let resident = reader.inspect(|_, resident, _| Ok(resident.clone())).await.unwrap();
    let stored = |mut resident: Resident| {
        resident.take_changes();
        resident
    };
    assert_eq!(stored(resident), stored(model.resident().clone()));
    assert_eq!(reader.status().next_due, model.resident().next_due());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// The digest in the header is chained over every outcome and write, so equal headers mean
    /// equal outcomes, and those of repeated requests depend on the kept sessions.
    #[test]
    fn storage_state_equals_the_model(
        batches in vec(batch(), 1..8),
        // A flush after every batch, after some, or only when it is asked for.
        buffer_bytes_max in prop_oneof![Just(1), Just(20_000), Just(usize::MAX)],
    ) {
        run(async {
            let mut home = tempfile::tempdir().unwrap();
            let (mut machine, mut reader) = open_bounded(home.path(), buffer_bytes_max);
            let mut model = Model::new();
            let mut log = vec![];
            for (commands, pause) in batches {
                let (mut entries, mut hash) = (vec![], None);
                // After the first of a batch the state is hashed.
                let (first, rest) = commands.split_at(1);
                let verify = [(None, Command::Verify)];
                for (request, command) in [first, &verify, rest].concat() {
                    let is_verify = command == Command::Verify;
                    let entry = proposal(log.len() as u64 + 1, request, command);
                    let EntryPayload::Normal(proposal) = &entry.payload else { panic!("only commands") };
                    let decoded: Entry = decode(&proposal.0).unwrap();
                    let router = ShardRouter::new(1).unwrap();
                    aspen_core::apply::apply(&mut model, &NoFunctions, SHARD, router, &decoded).unwrap();
                    if is_verify {
                        let (resident, header) = (model.resident(), model.header());
                        let hashed = hash_state(&model, resident, &header, &|_| true).unwrap();
                        hash = Some((entry.log_id.index, hashed.unwrap()));
                    }
                    log.push(entry.clone());
                    entries.push(entry);
                }
                apply(&mut machine, entries).await.unwrap();
                let (index, hash) = hash.unwrap();
                assert_eq!(verified(&reader, index).await, Verification::Done(hash));
                model.check();
                check(&reader, &model);
                check_resident(&reader, &model).await;
                match pause {
                    Pause::Nothing => continue,
                    Pause::Flush => machine.flush().await.unwrap(),
                    Pause::Reopen => {
                        close_state(machine, reader).await;
                        (machine, reader) = open_bounded(home.path(), buffer_bytes_max);
                        assert_eq!(reader.status().header, model.header());
                    }
                    Pause::Crash => {
                        let crashed = crashed_copy(home.path());
                        close_state(machine, reader).await;
                        home = crashed;
                        (machine, reader) = open_bounded(home.path(), buffer_bytes_max);
                        let reached = reader.status().applied.map_or(0, |applied| applied.index);
                        apply(&mut machine, log[reached as usize..].to_vec()).await.unwrap();
                    }
                    Pause::Snapshot => {
                        // The state moves to another folder by snapshot, and goes on there.
                        let mut builder = machine.get_snapshot_builder().await;
                        let snapshot = builder.build_snapshot().await.unwrap();
                        drop(builder);
                        let other = tempfile::tempdir().unwrap();
                        let (mut moved, moved_reader) = open_bounded(other.path(), buffer_bytes_max);
                        moved.install_snapshot(&snapshot.meta, snapshot.snapshot).await.unwrap();
                        close_state(machine, reader).await;
                        (machine, reader, home) = (moved, moved_reader, other);
                    }
                }
                check(&reader, &model);
                check_resident(&reader, &model).await;
            }
        });
    }
}
