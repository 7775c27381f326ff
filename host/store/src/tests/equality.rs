//! The stored state equals the model: same outcomes, same header and digest, same content, whatever
//! the batches, and through flushes, reopening, crashes and snapshots.

use aspen_core::{
    Call, Command, ComponentRef, Entry, Expectation, Header, Key, KeyRange, Model, Name,
    NoFunctions, Read, Record, RequestId, Revision, SessionId, ShardRouter, State, Transact,
    Upload, Value, Version, View, WriteOp, decode,
};
use bytes::Bytes;
use openraft::EntryPayload;
use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{SHARD, apply, close_state, crashed_copy, open_bounded, proposal, run};
use crate::StateReader;

/// What the test does between batches.
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
    let value = vec(any::<u8>(), 0..20).prop_map(|value| Value::new(value).unwrap());
    prop_oneof![
        3 => (key(), value).prop_map(|(key, value)| WriteOp::Set { key, value }),
        1 => key().prop_map(|key| WriteOp::Delete { key }),
    ]
}

fn expectation() -> impl Strategy<Value = Expectation> {
    prop_oneof![
        Just(Expectation::Absent),
        (0..4u64).prop_map(|version| Expectation::Version(Version::new(version))),
        (1..40u64).prop_map(|revision| Expectation::ModRevision(Revision::new(revision))),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let read = (key(), expectation()).prop_map(|(key, expected)| Read { key, expected });
    let transact = (vec(read, 0..2), vec(write(), 0..4))
        .prop_map(|(reads, writes)| Command::Transact(Transact { reads, writes }));
    let upload = (0..3u8).prop_map(|number| {
        let name = Name::new(format!("component-{}", number % 2)).unwrap();
        Command::Upload(Upload { name, bytes: Bytes::from(vec![number; 50]) })
    });
    let call = key().prop_map(|key| {
        let component = ComponentRef::Name(Name::new("component-0").unwrap());
        let (function, args) = ("run".to_string(), Bytes::new());
        Command::Call(Call { key, component, function, args, reads: vec![] })
    });
    prop_oneof![1 => Just(Command::OpenSession), 8 => transact, 1 => upload, 1 => call]
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

type Content = (Vec<(Bytes, Record)>, Vec<(Name, aspen_core::Alias)>);

fn content(view: &dyn View, reverse: bool) -> Content {
    let mut records = vec![];
    let mut visit = |key: &[u8], record| {
        records.push((Bytes::copy_from_slice(key), record));
        true
    };
    view.scan(&KeyRange::all(), reverse, &mut visit).unwrap();
    let aliases = view.aliases().unwrap();
    for (name, alias) in &aliases {
        assert_eq!(view.alias(name).unwrap().as_ref(), Some(alias));
        assert!(view.component(&alias.component).unwrap().is_some());
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
                let mut entries = vec![];
                for (request, command) in commands {
                    let entry = proposal(log.len() as u64 + 1, request, command);
                    let EntryPayload::Normal(proposal) = &entry.payload else { unreachable!() };
                    let decoded: Entry = decode(&proposal.0).unwrap();
                    let router = ShardRouter::new(1).unwrap();
                    aspen_core::apply(&mut model, &NoFunctions, SHARD, router, &decoded).unwrap();
                    log.push(entry.clone());
                    entries.push(entry);
                }
                apply(&mut machine, entries).await.unwrap();
                model.check();
                check(&reader, &model);
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
            }
        });
    }
}
