//! Claims about the hash of a whole state: a change on the disk behind its back is seen, damage
//! stops the replica, and a result says which entry it is of. That the hash is that of the model,
//! whatever was flushed, reopened or moved, is in `equality.rs`.

use std::path::Path;

use aspen_core::ids::LogIndex;
use aspen_core::key::Value;
use aspen_core::limits::VERIFICATIONS_MAX;
use aspen_core::protocol::Command;
use aspen_core::state::{StateHash, Verification};
use aspen_core::view::Record;
use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};
use rusqlite::Connection;

use super::snapshot::send;
use super::{apply, close_state, open_state, proposal, put, read, run, value, verified};
use crate::limits::INLINE_BYTES_MAX;
use crate::state::record_sum;
use crate::types::RaftEntry;
use crate::{StateMachine, StateReader};

fn puts(range: std::ops::RangeInclusive<u64>) -> Vec<RaftEntry> {
    range.map(|index| put(index, None, &format!("k{}", index % 40), &index.to_string())).collect()
}

fn verify(index: u64) -> RaftEntry {
    proposal(index, None, Command::Verify)
}

/// Applies an entry that asks for the hash, and waits for it.
async fn hash(machine: &mut StateMachine, reader: &StateReader, index: u64) -> StateHash {
    apply(machine, vec![verify(index)]).await.unwrap();
    match verified(reader, index).await {
        Verification::Done(hash) => hash,
        other => panic!("{other:?}"),
    }
}

/// Opens the file of a state while the replica has it open.
fn file(dir: &Path) -> Connection {
    Connection::open(dir.join("s0/state-1.db")).unwrap()
}

#[test]
fn storage_value_that_changed_with_its_checksum_changes_the_hash() {
    let (good, bad) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(async {
        let mut hashes = vec![];
        for dir in [&good, &bad] {
            let (mut machine, reader) = open_state(dir.path());
            apply(&mut machine, puts(1..=100)).await.unwrap();
            machine.flush().await.unwrap();
            let key = "k7";
            let before = read(&reader, key).unwrap();
            if dir.path() == bad.path() {
                let record = Record { value: Value::try_from("88").unwrap(), ..before };
                let sum = record_sum(key.as_bytes(), &record);
                let sql = "UPDATE kv SET value = ?1, sum = ?2 WHERE key = ?3";
                let row = (record.value.as_bytes(), sum, key.as_bytes());
                assert_eq!(file(dir.path()).execute(sql, row).unwrap(), 1);
            }
            // The computed digests are the same, and nothing else notices.
            hashes.push((hash(&mut machine, &reader, 101).await, reader.status().header));
            close_state(machine, reader).await;
        }
        let [(good, good_header), (bad, bad_header)] = hashes[..] else { panic!("two") };
        assert_eq!((good.keys, good_header), (bad.keys, bad_header));
        assert_ne!(good.hash, bad.hash);
    });
}

#[test]
fn storage_damaged_row_is_told_and_stops_the_replica_until_it_is_rebuilt() {
    // A row of a key, and one of a resident part, which was read when the state was opened.
    for (damage, what) in [
        ("UPDATE kv SET value = x'00' WHERE key = x'6b37'", "scanning keys"),
        ("UPDATE large SET value = x'00' WHERE key = x'6c61726765'", "scanning keys"),
        ("UPDATE session SET used = used + 1", "reading what lives in memory"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        run(async {
            let (mut machine, reader) = open_state(dir.path());
            let mut log = vec![proposal(1, None, Command::OpenSession)];
            log.extend(puts(2..=99));
            log.push(put(100, None, "large", &"l".repeat(INLINE_BYTES_MAX)));
            apply(&mut machine, log.clone()).await.unwrap();
            machine.flush().await.unwrap();
            assert!(file(dir.path()).execute(damage, []).unwrap() > 0);
            log.push(verify(101));
            apply(&mut machine, vec![verify(101)]).await.unwrap();
            let Verification::Failed { reason } = verified(&reader, 101).await else {
                panic!("it is damaged")
            };
            let expected = format!("verifying: {what} failed: ");
            assert!(reason.starts_with(&expected) && reason.contains("checksum"), "{reason}");
            assert_eq!(reader.status().failed, Some(reason.clone()));
            let error = apply(&mut machine, vec![put(102, None, "k", "v")]).await.unwrap_err();
            assert_eq!(error.to_string(), reason);
            close_state(machine, reader).await;
            let (mut machine, reader) = open_state(dir.path());
            assert_eq!(reader.status().applied, None, "set aside");
            apply(&mut machine, log).await.unwrap();
            assert!(matches!(verified(&reader, 101).await, Verification::Done(_)));
            assert_eq!(value(&reader, "k7").as_deref(), Some("87"));
            close_state(machine, reader).await;
        });
    }
}

#[test]
fn storage_hash_is_known_for_the_entries_that_asked_last() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (mut machine, reader) = open_state(dir.path());
        let of = |index| reader.verification(LogIndex::new(index));
        apply(&mut machine, puts(1..=50)).await.unwrap();
        assert_eq!(of(50), Verification::Unknown);
        assert_eq!(of(51), Verification::Behind { applied: LogIndex::new(50) });
        // In one batch, so that some are asked for before others are done.
        let last = 50 + VERIFICATIONS_MAX as u64 + 3;
        apply(&mut machine, (51..=last).map(verify).collect()).await.unwrap();
        let kept = last - VERIFICATIONS_MAX as u64 + 1;
        for index in 51..=last {
            let found = verified(&reader, index).await;
            assert_eq!(matches!(found, Verification::Done(_)), index >= kept, "{index}: {found:?}");
            assert_eq!(found == Verification::Unknown, index < kept, "{index}: {found:?}");
        }
        assert_eq!(of(last + 1), Verification::Behind { applied: LogIndex::new(last) });
        close_state(machine, reader).await;
        let (machine, reader) = open_state(dir.path());
        assert_eq!(reader.verification(LogIndex::new(last)), Verification::Unknown);
        close_state(machine, reader).await;
    });
}

#[test]
fn storage_hash_is_of_its_entry_though_a_snapshot_takes_the_place_of_the_file() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(async {
        let (mut machine, reader) = open_state(dir.path());
        let (mut ahead, ahead_reader) = open_state(other.path());
        let log = |range| [puts(range), vec![verify(101)]].concat();
        apply(&mut ahead, log(1..=100)).await.unwrap();
        let Verification::Done(at_101) = verified(&ahead_reader, 101).await else {
            panic!("nothing is wrong")
        };
        apply(&mut ahead, puts(102..=300)).await.unwrap();
        let mut builder = ahead.get_snapshot_builder().await;
        let built = builder.build_snapshot().await.unwrap();
        let file = send(&built.snapshot, &reader, |_, _| {}).unwrap().finish().await.unwrap();
        apply(&mut machine, log(1..=100)).await.unwrap();
        machine.install_snapshot(&built.meta, file).await.unwrap();
        assert_eq!(verified(&reader, 101).await, Verification::Done(at_101));
        // The state from the snapshot is the same from there on.
        let both =
            (hash(&mut machine, &reader, 301).await, hash(&mut ahead, &ahead_reader, 301).await);
        assert_eq!(both.0, both.1);
        drop(builder);
        close_state(machine, reader).await;
        close_state(ahead, ahead_reader).await;
    });
}
