//! Claims about states that are lost, damaged, old or another's.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use aspen_core::function::NoFunctions;
use aspen_core::ids::NodeId;
use aspen_core::key::{Key, Value};
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::Command;
use aspen_core::transaction::{Expiry, Transact, WriteOp};
use openraft::storage::{RaftSnapshotBuilder, RaftStateMachine, StorageHelper};

use super::{
    ME, SHARD, append, apply, close_state, log_id, members, open_log, open_state, proposal, put,
    read, run, try_open_state, value,
};
use crate::types::RaftEntry;
use crate::{Identity, StateConfig, StateMachine, StoreError};

/// A session, members and some keys: entries 1 to 5.
fn entries() -> Vec<RaftEntry> {
    vec![
        proposal(1, None, Command::OpenSession),
        members(2, &[1, 2, 3]),
        put(3, Some(1), "a", "1"),
        put(4, Some(2), "b", "2"),
        put(5, Some(3), "a", "3"),
    ]
}

fn state_files(dir: &Path) -> Vec<String> {
    let files = fs::read_dir(dir.join("s0")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> =
        names.filter(|name| name.ends_with(".db") || name.contains("damaged")).collect();
    names.sort();
    names
}

/// Damages the newest state file as `damage` says.
fn damage(dir: &Path, damage: impl FnOnce(&mut Vec<u8>)) {
    let name = state_files(dir).into_iter().rfind(|name| name.starts_with("state-")).unwrap();
    let path = dir.join("s0").join(name);
    let mut bytes = fs::read(&path).unwrap();
    damage(&mut bytes);
    fs::write(path, bytes).unwrap();
}

type Damage = fn(&mut Vec<u8>);
const DAMAGES: [Damage; 4] = [
    |bytes| bytes.clear(),
    |bytes| bytes.truncate(bytes.len() / 2),
    |bytes| bytes[..16].fill(7),
    |bytes| bytes[4096..].fill(0xee),
];

#[test]
fn storage_state_reopens_with_everything_it_applied() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (mut machine, reader) = open_state(dir.path());
        apply(&mut machine, entries()).await.unwrap();
        let before = reader.status();
        assert_eq!(before.applied, Some(log_id(1, 5)));
        close_state(machine, reader).await;
        let (mut machine, reader) = open_state(dir.path());
        assert_eq!(reader.status(), before);
        let (applied, membership) = machine.applied_state().await.unwrap();
        assert_eq!(applied, Some(log_id(1, 5)));
        assert_eq!(*membership.log_id(), Some(log_id(1, 2)));
        assert_eq!(membership.voter_ids().collect::<Vec<_>>(), [1, 2, 3]);
        let record = read(&reader, "a").unwrap();
        assert_eq!((record.version.get(), record.mod_revision.get()), (2, 3));
        // Request 3 again: the kept outcome, and no third version.
        apply(&mut machine, vec![put(6, Some(3), "a", "other")]).await.unwrap();
        assert_eq!(value(&reader, "a").as_deref(), Some("3"));
    });
}

#[test]
fn storage_damaged_state_is_set_aside_and_rebuilt_from_the_log() {
    for ruin in DAMAGES {
        let dir = tempfile::tempdir().unwrap();
        run(async {
            let (mut machine, reader) = open_state(dir.path());
            apply(&mut machine, entries()).await.unwrap();
            close_state(machine, reader).await;
            fs::write(dir.path().join("s0/state.open"), []).unwrap();
            damage(dir.path(), ruin);
            let (mut machine, reader) = open_state(dir.path());
            assert_eq!(machine.applied_state().await.unwrap().0, None);
            assert_eq!(state_files(dir.path()), ["state-1.db.damaged", "state-2.db"]);
            apply(&mut machine, entries()).await.unwrap();
            assert_eq!(value(&reader, "a").as_deref(), Some("3"));
        });
    }
}

/// An index repeats the content of rows, and has no checksums.
#[test]
fn storage_key_that_changed_in_the_index_of_leases_is_damage() {
    let places = |bytes: &[u8]| {
        let at = bytes.windows(6).enumerate();
        at.filter(|(_, found)| found == b"leased").map(|(at, _)| at).collect::<Vec<_>>()
    };
    let key = || Key::try_from("leased").unwrap();
    let expiry = Expiry::After(60_000);
    let set = WriteOp::Set { key: key(), value: Value::try_from("1").unwrap(), expiry };
    for place in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        run(async {
            let (mut machine, reader) = open_state(dir.path());
            let command = Command::Transact(Transact::writes([set.clone()]));
            apply(&mut machine, vec![proposal(1, None, command)]).await.unwrap();
            close_state(machine, reader).await;
            damage(dir.path(), |bytes| {
                let places = places(bytes);
                assert_eq!(places.len(), 2, "in the table and in the index");
                bytes[places[place]] ^= 0x55;
            });
            // After a clean stop: rows are compared when they are read, the index at once.
            let (mut machine, _reader) = open_state(dir.path());
            assert_eq!(machine.applied_state().await.unwrap().0, None, "place {place}");
        });
    }
}

#[test]
fn storage_damaged_state_is_restored_from_its_snapshot() {
    for ruin in DAMAGES {
        let dir = tempfile::tempdir().unwrap();
        run(async {
            let (mut machine, reader) = open_state(dir.path());
            apply(&mut machine, entries()).await.unwrap();
            machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
            apply(&mut machine, vec![put(6, None, "late", "x")]).await.unwrap();
            close_state(machine, reader).await;
            fs::write(dir.path().join("s0/state.open"), []).unwrap();
            damage(dir.path(), ruin);
            let opened = try_open_state(dir.path(), Some(log_id(1, 4)));
            let (mut machine, reader) = opened.unwrap();
            assert_eq!(machine.applied_state().await.unwrap().0, Some(log_id(1, 5)));
            assert_eq!(value(&reader, "late"), None);
            apply(&mut machine, vec![put(6, None, "late", "x")]).await.unwrap();
            assert_eq!(value(&reader, "late").as_deref(), Some("x"));
        });
    }
}

#[test]
fn storage_lost_state_is_refused_when_nothing_can_rebuild_it() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (mut machine, reader) = open_state(dir.path());
        apply(&mut machine, entries()).await.unwrap();
        machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        close_state(machine, reader).await;
        damage(dir.path(), |bytes| bytes.clear());
        let files = state_files(dir.path());
        let snapshot = files.iter().find(|name| name.starts_with("snapshot-")).unwrap();
        let snapshot = dir.path().join("s0").join(snapshot);
        let mut bytes = fs::read(&snapshot).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&snapshot, bytes).unwrap();
        let error = try_open_state(dir.path(), Some(log_id(1, 4))).err().unwrap();
        assert!(matches!(error, StoreError::StateLost { purged, .. } if purged.index == 4));
        assert!(error.to_string().contains("join it anew"), "{error}");
    });
}

#[test]
fn storage_state_behind_the_purged_log_is_restored_from_its_snapshot() {
    let (dir, old) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(async {
        // A power cut may take the state back to any earlier batch: here to none at all.
        let (machine, reader) = open_state(old.path());
        close_state(machine, reader).await;
        let (mut machine, reader) = open_state(dir.path());
        apply(&mut machine, entries()).await.unwrap();
        machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
        close_state(machine, reader).await;
        fs::copy(old.path().join("s0/state-1.db"), dir.path().join("s0/state-1.db")).unwrap();
        let (_machine, reader) = try_open_state(dir.path(), Some(log_id(1, 5))).unwrap();
        assert_eq!(reader.status().applied, Some(log_id(1, 5)));
        assert_eq!(value(&reader, "b").as_deref(), Some("2"));
    });
}

#[test]
fn storage_state_behind_the_log_is_applied_again_at_start() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let mut log = open_log(dir.path()).unwrap().shard(SHARD);
        append(&mut log, entries()).await.await.unwrap().unwrap();
        openraft::storage::RaftLogStorage::save_committed(&mut log, Some(log_id(1, 4)))
            .await
            .unwrap();
        // The suite's logs begin at 0; ours at 1, as after a purge of entry 0.
        openraft::storage::RaftLogStorage::purge(&mut log, log_id(0, 0)).await.unwrap();
        let (mut machine, reader) = open_state(dir.path());
        apply(&mut machine, vec![proposal(1, None, Command::OpenSession)]).await.unwrap();
        let mut helper = StorageHelper::new(&mut log, &mut machine).with_id(1);
        helper.get_initial_state().await.unwrap();
        assert_eq!(reader.status().applied, Some(log_id(1, 4)));
        assert_eq!(value(&reader, "a").as_deref(), Some("1"));
    });
}

#[test]
fn storage_state_of_another_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (mut machine, reader) = open_state(dir.path());
        apply(&mut machine, entries()).await.unwrap();
        close_state(machine, reader).await;
        let before = state_files(dir.path());
        for (cluster, node) in [(8, 1), (7, 2)] {
            let identity = Identity { cluster, node: NodeId::new(node) };
            let router = ShardRouter::new(1).unwrap();
            let config = StateConfig {
                dir: dir.path().join("s0"),
                shard: SHARD,
                router,
                identity,
                purged: None,
            };
            let error = StateMachine::open(config, Arc::new(NoFunctions)).err().unwrap();
            assert!(matches!(error, StoreError::ForeignState { found, .. } if found == ME));
            assert_eq!(state_files(dir.path()), before);
        }
        let (_machine, reader) = open_state(dir.path());
        assert_eq!(value(&reader, "a").as_deref(), Some("3"));
    });
}

#[test]
fn storage_entry_that_cannot_be_decoded_stops_the_replica() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (mut machine, reader) = open_state(dir.path());
        apply(&mut machine, entries()).await.unwrap();
        let bad = super::normal(1, 7, bytes::Bytes::from_static(b"\x09junk"));
        let batch = vec![put(6, None, "a", "half"), bad];
        let error = apply(&mut machine, batch).await.unwrap_err().to_string();
        assert!(error.contains("entry 7") && error.contains("form 9"), "{error}");
        assert_eq!(reader.status().failed, Some(error.clone()));
        assert_eq!(value(&reader, "a").as_deref(), Some("3"), "the batch is rolled back");
        let again = apply(&mut machine, vec![put(6, None, "a", "x")]).await.unwrap_err();
        assert_eq!(again.to_string(), error, "nothing is applied after a fault");
        close_state(machine, reader).await;
        let (mut machine, reader) = open_state(dir.path());
        apply(&mut machine, vec![put(6, None, "a", "x")]).await.unwrap();
        assert_eq!(value(&reader, "a").as_deref(), Some("x"));
    });
}
