//! Claims about writes that are applied but not in the file: readable at once, lost by a crash and
//! applied again, bounded, and never half visible.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use aspen_core::function::NoFunctions;
use aspen_core::key::Key;
use aspen_core::placement::ShardRouter;
use futures::FutureExt;
use openraft::storage::RaftStateMachine;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{apply, close_state, crashed_copy, log_id, open_bounded, open_state, put, run, value};
use crate::StateReader;
use crate::apply::ApplyWorker;
use crate::buffer::{BufferedState, Flusher, LiveState};
use crate::recovery::recover;
use crate::replica::{ApplyRequest, Shared};
use crate::snapshot::Snapshots;
use crate::state::schema_tests::OWNER;
use crate::types::RaftEntry;

fn puts(range: std::ops::RangeInclusive<u64>) -> Vec<RaftEntry> {
    range.map(|index| put(index, None, &format!("k{}", index % 40), &index.to_string())).collect()
}

#[test]
fn storage_crash_loses_the_buffer_and_the_log_restores_it() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (mut machine, reader) = open_state(dir.path());
        apply(&mut machine, puts(1..=50)).await.unwrap();
        machine.flush().await.unwrap();
        apply(&mut machine, puts(51..=100)).await.unwrap();
        let (status, crashed) = (reader.status(), crashed_copy(dir.path()));
        close_state(machine, reader).await;
        let (mut machine, reader) = open_state(crashed.path());
        assert_eq!(machine.applied_state().await.unwrap().0, Some(log_id(1, 50)));
        assert_eq!(value(&reader, "k10").as_deref(), Some("50"));
        apply(&mut machine, puts(51..=100)).await.unwrap();
        assert_eq!(reader.status(), status, "the digest too");
        assert_eq!(value(&reader, "k10").as_deref(), Some("90"));
    });
}

/// Every batch sets all keys to its number; with a bound of one byte a flush always runs.
#[test]
fn storage_readers_see_one_batch_while_flushes_run() {
    const KEYS: u64 = 16;
    const BATCHES: u64 = 300;
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (mut machine, reader) = open_bounded(dir.path(), 1);
        let done = Arc::new(AtomicBool::new(false));
        let read = |reader: StateReader, done: Arc<AtomicBool>| {
            let (mut seen, mut reads) = (0, 0);
            while !done.load(Ordering::Relaxed) || seen < BATCHES {
                let (values, header) = read_all(&reader, KEYS);
                let first = values.first().copied().unwrap_or_default();
                let expected = vec![first; if first == 0 { 0 } else { KEYS as usize }];
                assert_eq!(values, expected, "one batch");
                assert_eq!(header.revision.get(), first * KEYS, "the header's batch");
                assert!(first >= seen, "time goes forward");
                (seen, reads) = (first, reads + 1);
            }
            reads
        };
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let (reader, done) = (reader.clone(), done.clone());
                std::thread::spawn(move || read(reader, done))
            })
            .collect();
        for batch in 1..=BATCHES {
            let index = |key| (batch - 1) * KEYS + key + 1;
            let put = |key| put(index(key), None, &format!("k{key:02}"), &batch.to_string());
            apply(&mut machine, (0..KEYS).map(put).collect()).await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
        let reads: u64 = readers.into_iter().map(|reader| reader.join().unwrap()).sum();
        assert!(reads > 0);
    });
}

fn read_all(reader: &StateReader, keys: u64) -> (Vec<u64>, aspen_core::state::Header) {
    let number = |value: &[u8]| std::str::from_utf8(value).unwrap().parse::<u64>().unwrap();
    let read = |view: &dyn aspen_core::view::View, header| {
        let mut values = vec![];
        view.scan(&aspen_core::key::KeyRange::all(), false, &mut |_, record| {
            values.push(number(record.value.as_bytes()));
            true
        })?;
        for key in 0..keys {
            let record = view.get(&Key::try_from(&*format!("k{key:02}")).unwrap())?;
            let value = record.map(|record| number(record.value.as_bytes()));
            assert_eq!(value, values.get(key as usize).copied(), "scan and get agree");
        }
        Ok((values, header))
    };
    reader.read(read).unwrap()
}

#[test]
fn storage_failing_flush_stops_the_replica() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (mut machine, reader) = open_state(dir.path());
        apply(&mut machine, puts(1..=10)).await.unwrap();
        // Another program that writes to the file: as good as a failing disk.
        let other = Connection::open(dir.path().join("s0/state-1.db")).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let error = machine.flush().await.unwrap_err().to_string();
        let expected = "s0/state-1.db: writing a flush failed: database is locked";
        assert!(error.contains(expected), "{error}");
        assert_eq!(reader.status().failed, Some(error.clone()));
        assert_eq!(value(&reader, "k10").as_deref(), Some("10"), "what was applied is readable");
        drop(other);
        let again = apply(&mut machine, puts(11..=11)).await.unwrap_err().to_string();
        assert_eq!(again, error, "nothing is applied after a fault");
        assert_eq!(machine.flush().await.unwrap_err().to_string(), error, "nor written");
        close_state(machine, reader).await;
        let (mut machine, reader) = open_state(dir.path());
        assert_eq!(reader.status().applied, None);
        apply(&mut machine, puts(1..=11)).await.unwrap();
        assert_eq!(value(&reader, "k11").as_deref(), Some("11"));
    });
}

#[test]
fn storage_apply_waits_when_the_flusher_is_behind() {
    const BUFFER_BYTES: usize = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let snapshots = Snapshots::open(dir.path()).unwrap();
    let opened = recover(dir.path(), &OWNER, None, &snapshots).unwrap();
    let mut file = opened.state;
    let live = Arc::new(Mutex::new(LiveState::new(opened.file, &file, None)));
    let state = BufferedState::new(&mut file, live.clone()).unwrap();
    let (flusher, mut flushes) = Flusher::unattended(file);
    let shared = Arc::new(Shared::new(dir.path().to_path_buf(), OWNER, snapshots, live));
    let (sender, requests) = mpsc::channel(4);
    let worker = ApplyWorker {
        shared: shared.clone(),
        state,
        flusher,
        verifier: Default::default(),
        memtable_bytes_max: BUFFER_BYTES,
        flush_waiters: vec![],
        next_flush_waiters: vec![],
        functions: Arc::new(NoFunctions),
        router: ShardRouter::new(1).unwrap(),
        requests,
        alive: mpsc::channel(1).1,
    };
    let mut worker = Box::pin(worker.run());
    let send = |batch: u64| {
        let entries = puts(batch * 40 + 1..=batch * 40 + 40);
        let entries = entries.into_iter().map(|entry| (entry, None)).collect();
        let (done, answer) = oneshot::channel();
        // Nobody waits for any of the entries.
        let replies = mpsc::unbounded_channel().0;
        sender.try_send(ApplyRequest::Apply { entries, replies, done }).ok().unwrap();
        answer
    };
    // Each batch is larger than the bound: one is being written, one is in memory.
    let (mut first, mut second, mut third) = (send(0), send(1), send(2));
    assert!(worker.as_mut().now_or_never().is_none());
    first.try_recv().unwrap().unwrap();
    second.try_recv().unwrap().unwrap();
    third.try_recv().unwrap_err();
    flushes.try_recv().unwrap().run();
    assert!(worker.as_mut().now_or_never().is_none());
    third.try_recv().unwrap().unwrap();
    let mut fourth = send(3);
    assert!(worker.as_mut().now_or_never().is_none());
    fourth.try_recv().unwrap_err();
    assert_eq!(shared.live.lock().unwrap().status.applied, Some(log_id(1, 120)));
}
