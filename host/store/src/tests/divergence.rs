//! Claims about digests in memory, and about a replica that differs from the others.

use std::fs;
use std::path::Path;

use aspen_core::digest::Digest;
use openraft::storage::{RaftLogStorage, RaftSnapshotBuilder, RaftStateMachine};

use super::{
    SHARD, append, apply, close_state, entry, log_id, members, open_log, open_state, put, run,
    try_open_state, value,
};
use crate::recovery::recorded_divergence;
use crate::{Divergence, SnapshotInbox, StateMachine, StateReader, StoreError};

fn divergence(index: u64, agreed: Option<u64>) -> Divergence {
    let (own, theirs) = (Digest::new(1), Digest::new(2));
    let members = vec!["somebody".to_string()];
    Divergence { index, agreed, own, theirs, others: 2, voters: 3, members }
}

/// A state with entries 1 to 6, a snapshot of entry 3, and the digest after each.
async fn filled(dir: &Path) -> (StateMachine, StateReader, Vec<Option<Digest>>) {
    let (mut machine, reader) = open_state(dir);
    let first = vec![members(1, &[1, 2, 3]), put(2, None, "a", "1"), put(3, None, "b", "1")];
    apply(&mut machine, first).await.unwrap();
    machine.get_snapshot_builder().await.build_snapshot().await.unwrap();
    let more = vec![put(4, None, "a", "2"), members(5, &[1, 2]), put(6, None, "a", "3")];
    apply(&mut machine, more).await.unwrap();
    let digests = reader.digests(&[1, 2, 3, 4, 5, 6]);
    (machine, reader, digests)
}

fn mark_of(dir: &Path) -> Option<Divergence> {
    recorded_divergence(&dir.join("s0")).unwrap()
}

#[test]
fn storage_digest_of_each_entry_is_kept_from_the_start_on() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (machine, reader, digests) = filled(dir.path()).await;
        assert_eq!(reader.digest_window(), Some((1, 6)));
        assert_eq!(digests[5], Some(reader.status().header.digest));
        assert_eq!(digests[3], digests[4], "entries of Raft do not change the digest");
        assert!(digests[0] != digests[1] && digests[1] != digests[2] && digests[3] != digests[5]);
        close_state(machine, reader).await;
        let (_machine, reader) = open_state(dir.path());
        assert_eq!(reader.digest_window(), Some((6, 6)));
        assert_eq!(reader.digests(&[5, 6, 7]), [None, digests[5], None]);
    });
}

#[test]
fn storage_quarantined_replica_applies_nothing_and_stays_so() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (mut machine, reader, _) = filled(dir.path()).await;
        let found = divergence(6, Some(5));
        reader.quarantine(found.clone()).await;
        let failed = reader.failed().unwrap();
        assert!(failed.starts_with("diverged at entry 6: its digest is 00000000"), "{failed}");
        let refused = apply(&mut machine, vec![put(7, None, "a", "4")]).await.unwrap_err();
        assert_eq!(refused.to_string(), failed);
        close_state(machine, reader).await;
        assert_eq!(mark_of(dir.path()), Some(found));
    });
}

#[test]
fn storage_diverged_replica_begins_from_a_snapshot_before_the_difference() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (machine, reader, digests) = filled(dir.path()).await;
        reader.quarantine(divergence(4, Some(3))).await;
        close_state(machine, reader).await;
        let (mut machine, reader) = try_open_state(dir.path(), Some(log_id(1, 2))).unwrap();
        assert_eq!(machine.applied_state().await.unwrap().0, Some(log_id(1, 3)));
        assert_eq!(value(&reader, "a").as_deref(), Some("1"));
        assert_eq!(reader.digests(&[3]), [digests[2]]);
        assert_eq!(mark_of(dir.path()), None, "the state is rebuilt");
    });
}

#[test]
fn storage_diverged_replica_uses_neither_its_state_nor_a_tainted_snapshot() {
    for tainted in [divergence(3, Some(2)), divergence(6, None)] {
        let dir = tempfile::tempdir().unwrap();
        run(async {
            let (machine, reader, _) = filled(dir.path()).await;
            reader.quarantine(tainted).await;
            close_state(machine, reader).await;
            // Twice: work that a crash interrupts is done again.
            for _ in 0..2 {
                let lost = try_open_state(dir.path(), Some(log_id(1, 2))).err().unwrap();
                assert!(matches!(lost, StoreError::StateLost { applied: None, .. }), "{lost}");
                assert!(mark_of(dir.path()).is_some(), "the state is not rebuilt yet");
            }
            // A complete log is as good as a snapshot.
            let (mut machine, reader) = open_state(dir.path());
            assert_eq!(machine.applied_state().await.unwrap().0, None);
            assert_eq!((value(&reader, "a"), mark_of(dir.path())), (None, None));
        });
    }
}

#[test]
fn storage_unreadable_mark_still_marks() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (machine, reader, _) = filled(dir.path()).await;
        close_state(machine, reader).await;
        fs::write(dir.path().join("s0/diverged"), b"?").unwrap();
        let lost = try_open_state(dir.path(), Some(log_id(1, 2))).err().unwrap();
        assert!(matches!(lost, StoreError::StateLost { applied: None, .. }), "{lost}");
    });
}

#[test]
fn storage_fetched_snapshot_replaces_a_diverged_state() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    run(async {
        let (machine, reader, _) = filled(dir.path()).await;
        reader.quarantine(divergence(3, Some(2))).await;
        close_state(machine, reader).await;
        let purged = Some(log_id(1, 2));
        assert!(try_open_state(dir.path(), purged).is_err());

        let (mut source, source_reader, digests) = filled(other.path()).await;
        let snapshot = source.get_current_snapshot().await.unwrap().unwrap();
        let inbox = SnapshotInbox::open(&dir.path().join("s0")).unwrap();
        let file = snapshot.snapshot;
        let mut receiver = inbox.receive(file.bytes, file.checksum).unwrap();
        let whole = file.read_chunk(0, usize::MAX).unwrap();
        receiver.write(0, &whole).unwrap();
        inbox.adopt(snapshot.meta, receiver.finish().await.unwrap()).unwrap();
        drop(inbox);

        let (_machine, reader) = try_open_state(dir.path(), purged).unwrap();
        assert_eq!(reader.digests(&[3]), [digests[2]]);
        assert_eq!((value(&reader, "a").as_deref(), mark_of(dir.path())), (Some("1"), None));
        drop(source_reader);
    });
}

#[test]
fn storage_log_gives_up_only_what_contradicts_the_state() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let mut log = open_log(dir.path()).unwrap().shard(SHARD);
        let entries = (0..6).map(|index| entry(2, index, 10)).collect();
        append(&mut log, entries).await.await.unwrap().unwrap();
        log.purge(log_id(2, 1)).await.unwrap();
        let mut fit = async |applied| {
            let deleted = log.fit(applied).await.unwrap();
            (log.get_log_state().await.unwrap().last_log_id, deleted)
        };
        let (last, purged) = (Some(log_id(2, 5)), Some(log_id(2, 1)));
        for fitting in [None, Some(log_id(2, 3)), last] {
            assert_eq!(fit(fitting).await, (last, purged), "{fitting:?}");
        }
        // openraft deletes up to a state that is ahead.
        assert_eq!(fit(Some(log_id(3, 9))).await, (last, Some(log_id(3, 9))));
        assert_eq!(fit(Some(log_id(3, 4))).await, (purged, Some(log_id(3, 4))));
    });
}

#[test]
fn storage_snapshot_reaches_to_where_the_log_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let (mut machine, reader, _) = filled(dir.path()).await;
        for (deleted, reaches) in [(None, 3), (Some(log_id(1, 3)), 3), (Some(log_id(1, 6)), 6)] {
            machine.cover(deleted).await.unwrap();
            let current = machine.get_current_snapshot().await.unwrap().unwrap();
            assert_eq!(current.meta.last_log_id, Some(log_id(1, reaches)), "{deleted:?}");
        }
        close_state(machine, reader).await;
    });
}
