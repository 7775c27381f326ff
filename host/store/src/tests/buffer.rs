//! Writes in memory over a file read like the model, for apply inside a batch and for readers
//! between batches, at every step of a flush.

use std::sync::{Arc, Mutex};

use aspen_core::ids::{LeaseId, Revision, Version};
use aspen_core::key::{Key, KeyRange, Value};
use aspen_core::state::{Model, State};
use aspen_core::view::{Record, View};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::sync::mpsc;

use crate::StateReader;
use crate::buffer::{BufferedState, LiveState};
use crate::limits::INLINE_BYTES_MAX;
use crate::replica::Shared;
use crate::snapshot::Snapshots;
use crate::state::{self, Flush, SqliteState, StateFile, schema_tests};
use crate::sync::lock;

#[derive(Clone, Debug)]
enum Step {
    Set(Key, Value),
    Remove(Key),
    /// The batch ends, and another begins.
    Batch,
    /// A reader keeps the present memtables, so that they are not merged.
    Read,
    BeginFlush,
    Write,
    EndFlush,
}

fn key() -> impl Strategy<Value = Key> {
    vec(prop_oneof![Just(0u8), Just(b'a'), Just(0xff)], 1..3).prop_map(|k| Key::new(k).unwrap())
}

fn step() -> impl Strategy<Value = Step> {
    // Some on both sides of what fits into a row.
    let edge = (any::<u8>(), INLINE_BYTES_MAX - 4..INLINE_BYTES_MAX + 2);
    let large = edge.prop_map(|(byte, length)| vec![byte; length]);
    let value = prop_oneof![3 => vec(any::<u8>(), 0..4), 1 => large];
    let value = value.prop_map(|value| Value::new(value).unwrap());
    prop_oneof![
        6 => (key(), value).prop_map(|(key, value)| Step::Set(key, value)),
        4 => key().prop_map(Step::Remove),
        3 => Just(Step::Batch),
        1 => Just(Step::Read),
        1 => Just(Step::BeginFlush),
        1 => Just(Step::Write),
        1 => Just(Step::EndFlush),
    ]
}

fn range() -> impl Strategy<Value = KeyRange> {
    let bound = || vec(prop_oneof![Just(0u8), Just(b'a'), Just(0xff)], 0..3);
    (bound(), proptest::option::of(bound()))
        .prop_map(|(start, end)| KeyRange { start: start.into(), end: end.map(Into::into) })
}

/// At most `limit` records of `range`.
fn scan(view: &dyn View, range: &KeyRange, reverse: bool, limit: usize) -> Vec<(Vec<u8>, Record)> {
    let mut found = vec![];
    let mut visit = |key: &[u8], record| {
        found.push((key.to_vec(), record));
        found.len() < limit
    };
    view.scan(range, reverse, &mut visit).unwrap();
    found
}

fn check(view: &dyn View, model: &Model, range: &KeyRange, limit: usize) {
    for reverse in [false, true] {
        let expected = scan(model, range, reverse, limit);
        assert_eq!(scan(view, range, reverse, limit), expected, "{range:?} {reverse} {limit}");
        for (key, record) in expected {
            assert_eq!(view.get(&Key::new(key).unwrap()).unwrap(), Some(record));
        }
    }
}

struct Parts {
    state: BufferedState,
    file: SqliteState,
    reader: StateReader,
    _dir: tempfile::TempDir,
}

fn open() -> Parts {
    let dir = tempfile::tempdir().unwrap();
    let path = StateFile::new(dir.path(), 1);
    state::create(&path.path, &schema_tests::OWNER).unwrap();
    let (mut file, owner) = SqliteState::open(&path.path, false).unwrap();
    let live = Arc::new(Mutex::new(LiveState::new(path, &file, None)));
    let state = BufferedState::new(&mut file, live.clone()).unwrap();
    let snapshots = Snapshots::open(dir.path()).unwrap();
    let shared = Arc::new(Shared::new(dir.path().to_path_buf(), owner, snapshots, live));
    let (worker, requests) = (mpsc::channel(1).0, mpsc::channel(1).0.downgrade());
    let reader = StateReader { shared, worker, requests };
    Parts { state, file, reader, _dir: dir }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn storage_layers_over_a_file_read_like_the_model(
        steps in vec(step(), 1..60),
        range in range(),
        limit in prop_oneof![Just(usize::MAX), 1..4usize],
    ) {
        let Parts { mut state, mut file, reader, _dir } = open();
        let (mut model, mut flush, mut readers) = (Model::new(), None::<Flush>, vec![]);
        let (mut committed, mut index, mut is_between) = (Model::new(), 0, true);
        state.begin();
        for step in steps {
            index += 1;
            is_between &= !matches!(step, Step::Set(..) | Step::Remove(_));
            match step {
                Step::Set(key, value) => {
                    let (version, revision) = (Version::new(index), Revision::new(index));
                    let (create_revision, mod_revision) = (revision, revision);
                    let lease = LeaseId::NONE;
                    let record = Record { value, version, create_revision, mod_revision, lease };
                    state.set(&key, record.clone()).unwrap();
                    model.set(&key, record).unwrap();
                }
                Step::Remove(key) => {
                    if state.get(&key).unwrap().is_some() {
                        state.remove(&key).unwrap();
                        model.remove(&key).unwrap();
                    }
                }
                Step::Batch => {
                    state.advance(super::log_id(1, index), None, 0);
                    state.commit().unwrap();
                    (committed, is_between) = (model.clone(), true);
                    state.begin();
                }
                Step::Read => readers.push((lock(&reader.shared.live).memtables(), committed.clone())),
                Step::BeginFlush if flush.is_none() && is_between => flush = Some(state.flush()),
                Step::Write => flush.iter().for_each(|flush| file.write(flush).unwrap()),
                Step::EndFlush if flush.as_ref().is_some_and(|flush| {
                    flush.progress.applied == file.applied()
                }) => {
                    lock(&reader.shared.live).end_flush(file.applied());
                    flush = None;
                }
                Step::BeginFlush | Step::EndFlush => {}
            }
            check(&state, &model, &range, limit);
            let read = |view: &dyn View, _| { check(view, &committed, &range, limit); Ok(()) };
            reader.read(read).unwrap();
        }
    }
}
