//! Claims about snapshots: built while apply goes on, sent in chunks, installed whole or not at all.

use std::fs;

use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine};

use super::{apply, close_state, log_id, open_state, put, run, value};
use crate::{SnapshotFile, SnapshotReceiver, StateReader, StoreError};

fn puts(range: std::ops::RangeInclusive<u64>) -> Vec<crate::types::RaftEntry> {
    range.map(|index| put(index, None, &format!("k{index:04}"), &index.to_string())).collect()
}

/// Sends `file` in chunks, each changed by `spoil`, until the receiver refuses.
pub fn send(
    file: &SnapshotFile,
    reader: &StateReader,
    mut spoil: impl FnMut(u64, &mut Vec<u8>),
) -> Result<SnapshotReceiver, StoreError> {
    let mut receiver = reader.receive_snapshot(file.bytes, file.checksum).unwrap();
    while receiver.received() < file.bytes {
        let offset = receiver.received();
        let mut chunk = file.read_chunk(offset, 1000).unwrap().to_vec();
        spoil(offset, &mut chunk);
        if chunk.is_empty() {
            break;
        }
        receiver.write(offset, &chunk)?;
    }
    Ok(receiver)
}

#[test]
fn storage_snapshot_moves_a_state_to_another_replica() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(async {
        let (mut leader, leader_reader) = open_state(from.path());
        apply(&mut leader, puts(1..=500)).await.unwrap();
        let built = leader.get_snapshot_builder().await.build_snapshot().await.unwrap();
        apply(&mut leader, puts(501..=600)).await.unwrap();
        assert_eq!(leader_reader.status().snapshot, Some(log_id(1, 500)));
        let (mut follower, reader) = open_state(to.path());
        apply(&mut follower, vec![put(1, None, "stale", "x")]).await.unwrap();
        assert_eq!(value(&reader, "stale").as_deref(), Some("x"));
        let file = send(&built.snapshot, &reader, |_, _| {}).unwrap().finish().await.unwrap();
        follower.install_snapshot(&built.meta, file).await.unwrap();
        // The reader from before goes on with the new content.
        assert_eq!(value(&reader, "k0500").as_deref(), Some("500"));
        assert_eq!((value(&reader, "stale"), value(&reader, "k0501")), (None, None));
        apply(&mut follower, puts(501..=600)).await.unwrap();
        assert_eq!(reader.status().header, leader_reader.status().header);
        close_state(follower, reader).await;
        let (mut follower, reader) = open_state(to.path());
        assert_eq!(value(&reader, "k0600").as_deref(), Some("600"));
        let current = follower.get_current_snapshot().await.unwrap().unwrap();
        assert_eq!(current.meta, built.meta);
        assert_eq!(current.snapshot.checksum, built.snapshot.checksum);
    });
}

#[test]
fn storage_snapshot_of_a_large_state_waits_until_the_log_has_grown() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (mut machine, reader) = open_state(dir.path());
        let large = "v".repeat(1 << 20);
        let puts = |range: std::ops::RangeInclusive<u64>| -> Vec<crate::types::RaftEntry> {
            range.map(|index| put(index, None, &format!("k{index:04}"), &large)).collect()
        };
        apply(&mut machine, puts(1..=40)).await.unwrap();
        let mut builder = machine.try_create_snapshot_builder(false).await.expect("40 of 40 MiB");
        builder.build_snapshot().await.unwrap();
        apply(&mut machine, puts(41..=45)).await.unwrap();
        assert!(machine.try_create_snapshot_builder(false).await.is_none(), "5 of 45 MiB are new");
        assert!(machine.try_create_snapshot_builder(true).await.is_some(), "Raft needs one");
        reader.want_snapshot();
        assert!(machine.try_create_snapshot_builder(false).await.is_some(), "a replica needs one");
        apply(&mut machine, puts(46..=52)).await.unwrap();
        assert!(machine.try_create_snapshot_builder(false).await.is_some(), "12 of 52 MiB are new");
    });
}

#[test]
fn storage_snapshot_damaged_in_transit_is_refused() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(async {
        let (mut leader, _) = open_state(from.path());
        apply(&mut leader, puts(1..=100)).await.unwrap();
        let file = leader.get_snapshot_builder().await.build_snapshot().await.unwrap().snapshot;
        let (_follower, reader) = open_state(to.path());
        let flipped = send(&file, &reader, |offset, chunk| chunk[7] ^= u8::from(offset == 2000));
        let cut = send(&file, &reader, |offset, chunk| {
            if offset > 3000 {
                chunk.clear();
            }
        });
        for receiver in [flipped, cut] {
            let error = receiver.unwrap().finish().await.unwrap_err();
            assert!(matches!(error, StoreError::SnapshotDamaged { .. }), "{error}");
        }
        let longer = send(&file, &reader, |_, chunk| chunk.resize(1001, 0));
        let mut twice = reader.receive_snapshot(file.bytes, file.checksum).unwrap();
        twice.write(0, &file.read_chunk(0, 10).unwrap()).unwrap();
        let twice_error = twice.write(0, &file.read_chunk(0, 10).unwrap()).unwrap_err();
        drop(twice);
        for error in [longer.map(|_| ()).unwrap_err(), twice_error] {
            assert!(matches!(error, StoreError::SnapshotDamaged { .. }), "{error}");
        }
        let left = fs::read_dir(to.path().join("s0")).unwrap();
        let left = left.filter(|file| {
            file.as_ref().unwrap().file_name().to_string_lossy().starts_with("incoming-")
        });
        assert_eq!(left.count(), 0, "refused transfers leave nothing behind");
    });
}

#[test]
fn storage_snapshot_leftovers_are_deleted_at_start() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (mut machine, reader) = open_state(dir.path());
        apply(&mut machine, puts(1..=10)).await.unwrap();
        machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        close_state(machine, reader).await;
        let folder = dir.path().join("s0");
        let leftovers =
            ["incoming-9.db", "snapshot-8.db", "snapshot.meta.new", "state-9.db.new", "state-0.db"];
        for name in leftovers {
            fs::write(folder.join(name), b"half").unwrap();
        }
        let (mut machine, reader) = open_state(dir.path());
        for name in leftovers {
            assert!(!folder.join(name).exists(), "{name}");
        }
        assert_eq!(value(&reader, "k0010").as_deref(), Some("10"));
        let current = machine.get_current_snapshot().await.unwrap().unwrap();
        assert_eq!(current.meta.last_log_id, Some(log_id(1, 10)));
    });
}

#[test]
fn storage_snapshot_stays_readable_when_a_newer_one_replaces_it() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (mut machine, _) = open_state(dir.path());
        apply(&mut machine, puts(1..=10)).await.unwrap();
        let old = machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        apply(&mut machine, puts(11..=20)).await.unwrap();
        let new = machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        assert!(!old.snapshot.path.exists() && new.snapshot.path.exists());
        old.snapshot.verify().unwrap();
        let current = machine.get_current_snapshot().await.unwrap().unwrap();
        assert_eq!(current.meta.last_log_id, Some(log_id(1, 20)));
    });
}
