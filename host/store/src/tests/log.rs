//! Claims about the Raft log on a real file.

use std::fs;
use std::io::{Seek, SeekFrom, Write};

use aspen_core::ids::{NodeId, ShardId};
use futures::StreamExt;
use openraft::impls::Vote;
use openraft::storage::{RaftLogReader, RaftLogStorage};
use redb::ReadableTable;

use super::{ME, SHARD, append, entry, log_id, open_log, run};
use crate::log::{ENTRIES, META, Tail};
use crate::types::RaftEntry;
use crate::{Identity, Log, ShardLog, StoreError};

async fn all(log: &mut ShardLog) -> Vec<RaftEntry> {
    log.try_get_log_entries(0..u64::MAX).await.unwrap()
}

#[test]
fn storage_log_answers_all_shards_and_keeps_all_of_it() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = open_log(dir.path()).unwrap();
        let mut flushed = vec![];
        for round in 1..=20 {
            for shard in 0..5 {
                let mut log = log.shard(ShardId::new(shard));
                flushed.push(append(&mut log, vec![entry(1, round, 100)]).await);
                let readable = all(&mut log).await;
                assert_eq!(readable.len() as u64, round, "readable before it is on disk");
            }
        }
        for flushed in flushed {
            flushed.await.unwrap().unwrap();
        }
        let mut vote = log.shard(ShardId::new(3));
        vote.save_vote(&Vote::new(9, 1)).await.unwrap();
    });
    // Dropped without being closed: the answered entries are there.
    run(async {
        let log = open_log(dir.path()).unwrap();
        assert_eq!(log.shards().len(), 5);
        for shard in 0..5 {
            let mut log = log.shard(ShardId::new(shard));
            let want: Vec<RaftEntry> = (1..=20).map(|index| entry(1, index, 100)).collect();
            assert_eq!(all(&mut log).await, want);
            let vote = log.read_vote().await.unwrap();
            assert_eq!(vote, (shard == 3).then(|| Vote::new(9, 1)));
        }
    });
}

#[test]
fn storage_log_truncates_replaces_and_purges_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let want: Vec<RaftEntry> =
        (4..=6).map(|index| entry(1, index, 10)).chain([entry(2, 7, 10)]).collect();
    run(async {
        let log = open_log(dir.path()).unwrap();
        let mut shard = log.shard(SHARD);
        let first = append(&mut shard, (1..=9).map(|index| entry(1, index, 10)).collect()).await;
        shard.truncate_after(Some(log_id(1, 6))).await.unwrap();
        let second = append(&mut shard, vec![entry(2, 7, 10)]).await;
        shard.purge(log_id(1, 3)).await.unwrap();
        shard.save_committed(Some(log_id(1, 6))).await.unwrap();
        assert_eq!(all(&mut shard).await, want);
        log.close().await.unwrap();
        assert!(first.await.unwrap().is_ok() && second.await.unwrap().is_ok());
        let error = shard.save_vote(&Vote::new(1, 1)).await.unwrap_err();
        assert_eq!(error.to_string(), "the raft log is closed");
    });
    run(async {
        let mut shard = open_log(dir.path()).unwrap().shard(SHARD);
        assert_eq!(all(&mut shard).await, want);
        assert_eq!(shard.read_committed().await.unwrap(), Some(log_id(1, 6)));
        let state = shard.get_log_state().await.unwrap();
        assert_eq!(state.last_purged_log_id, Some(log_id(1, 3)));
        assert_eq!(state.last_log_id, Some(log_id(2, 7)));
    });
}

/// A start would look for the entry in vain.
#[test]
fn storage_log_never_says_that_an_entry_is_committed_which_it_does_not_hold() {
    let mut tail = Tail::default();
    let first = tail.append(&[entry(1, 1, 10)]);
    let second = tail.append(&[entry(1, 2, 10)]);
    tail.committed = Some(log_id(1, 2));
    assert!(!tail.is_committed_written(first));
    assert!(tail.is_committed_written(second));
    tail.committed = Some(log_id(1, 1));
    assert!(tail.is_committed_written(first));
    tail.committed = Some(log_id(1, 2));
    tail.flushed(second);
    assert!(tail.is_committed_written(0));
}

#[test]
fn storage_log_purges_a_long_past_in_chunks() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let log = open_log(dir.path()).unwrap();
        let mut shard = log.shard(SHARD);
        for start in 0..20 {
            let range = start * 500..(start + 1) * 500;
            append(&mut shard, range.map(|index| entry(1, index, 1)).collect()).await;
        }
        shard.purge(log_id(1, 9_989)).await.unwrap();
        assert_eq!(all(&mut shard).await.len(), 10);
        log.close().await.unwrap();
    });
    run(async {
        let mut shard = open_log(dir.path()).unwrap().shard(SHARD);
        assert_eq!(all(&mut shard).await.first().unwrap().log_id, log_id(1, 9_990));
    });
}

#[test]
fn storage_log_streams_what_left_the_cache() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let mut shard = open_log(dir.path()).unwrap().shard(SHARD);
        for index in 0..40 {
            let flushed = append(&mut shard, vec![entry(1, index, 500_000)]).await;
            flushed.await.unwrap().unwrap();
        }
        let chunk = shard.limited_get_log_entries(0, 40).await.unwrap();
        assert!(chunk.len() < 10, "a chunk is bounded");
        let entries: Vec<_> = shard.entries_stream(..).await.collect().await;
        for (index, got) in entries.iter().enumerate() {
            assert_eq!(*got.as_ref().unwrap(), entry(1, index as u64, 500_000));
        }
        assert_eq!(entries.len(), 40);
    });
}

#[test]
fn storage_log_of_another_node_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    run(async { Log::open(&path, ME).unwrap().close().await.unwrap() });
    let other = Identity { cluster: 7, node: NodeId::new(2) };
    let error = run(async { Log::open(&path, other).err().unwrap() });
    assert!(matches!(error, StoreError::ForeignLog { expected, found, .. }
        if expected == other && found == ME));
}

#[test]
fn storage_log_is_opened_once() {
    let dir = tempfile::tempdir().unwrap();
    run(async {
        let _log = open_log(dir.path()).unwrap();
        let error = open_log(dir.path()).err().unwrap();
        assert!(matches!(error, StoreError::LogStorage { what: "opening", .. }), "{error}");
    });
}

/// Whatever byte is hit: either the damage is reported with its remedy, or nothing was lost.
#[test]
fn storage_log_damage_is_reported_never_answered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.redb");
    let want: Vec<RaftEntry> = (0..50).map(|index| entry(1, index, 2_000)).collect();
    run(async {
        let log = open_log(dir.path()).unwrap();
        let flushed = append(&mut log.shard(SHARD), want.clone()).await;
        log.close().await.unwrap();
        flushed.await.unwrap().unwrap();
    });
    let good = fs::read(&path).unwrap();
    let mut reported = 0;
    let used = good.iter().rposition(|byte| *byte != 0).unwrap();
    for at in (0..used).step_by(used / 40) {
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(&good).unwrap();
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        let end = good.len().min(at + 64);
        file.write_all(&good[at..end].iter().map(|byte| !byte).collect::<Vec<_>>()).unwrap();
        let opened = run(async {
            let log = open_log(dir.path())?;
            assert_eq!(all(&mut log.shard(SHARD)).await, want);
            Ok::<_, StoreError>(())
        });
        if let Err(error) = opened {
            reported += 1;
            let text = error.to_string();
            assert!(matches!(error, StoreError::LogDamaged { .. }), "{at}: {text}");
            assert!(text.contains("log.redb") && text.contains("join it anew"), "{text}");
        }
    }
    assert!(reported > 10, "{reported}");
    for content in [&good[..good.len() / 2], b"not a database"] {
        fs::write(&path, content).unwrap();
        let error = run(async { open_log(dir.path()).err().unwrap() });
        assert!(matches!(error, StoreError::LogDamaged { .. }), "{error}");
    }
}

/// A form of tomorrow is no damage: nobody is told to delete the folder.
#[test]
fn storage_log_of_another_form_is_refused_with_the_remedy() {
    let refused = |change: &dyn Fn(&redb::WriteTransaction)| {
        let dir = tempfile::tempdir().unwrap();
        run(async {
            let log = open_log(dir.path()).unwrap();
            append(&mut log.shard(SHARD), vec![entry(1, 1, 10)]).await.await.unwrap().unwrap();
            log.close().await.unwrap();
        });
        let db = redb::Database::open(dir.path().join("log.redb")).unwrap();
        let transaction = db.begin_write().unwrap();
        change(&transaction);
        transaction.commit().unwrap();
        drop(db);
        let error = run(async { open_log(dir.path()).err().unwrap() });
        assert!(matches!(error, StoreError::LogForm { .. }), "{error}");
        error.to_string()
    };
    let identity = refused(&|transaction| {
        let mut meta = transaction.open_table(META).unwrap();
        let stored = meta.get("identity").unwrap().unwrap().value().to_vec();
        meta.insert("identity", &[&[77], &stored[1..]].concat()[..]).unwrap();
    });
    let entry = refused(&|transaction| {
        let mut entries = transaction.open_table(ENTRIES).unwrap();
        let place = (SHARD.get(), 1);
        let stored = entries.get(place).unwrap().unwrap().value()[8..].to_vec();
        let bytes = [&[77], &stored[1..]].concat();
        let checksum = seahash::hash(&bytes).to_le_bytes();
        entries.insert(place, &[&checksum, &bytes[..]].concat()[..]).unwrap();
    });
    for text in [identity, entry] {
        assert!(text.contains("log.redb cannot be read by this program"), "{text}");
        assert!(text.contains("has form 77") && text.contains("this program reads"), "{text}");
        assert!(text.ends_with(aspen_core::codec::FORM_REMEDY), "{text}");
    }
}

/// A replica that is moved away leaves its vote and how far its log reached, and nothing else; should it
/// come back, its log begins anew. Its neighbour notices nothing.
#[test]
fn storage_log_forgets_all_but_what_it_promised() {
    let dir = tempfile::tempdir().unwrap();
    let other = ShardId::new(1);
    run(async {
        let log = open_log(dir.path()).unwrap();
        let (mut gone, mut stays) = (log.shard(SHARD), log.shard(other));
        for log in [&mut gone, &mut stays] {
            append(log, (1..=9000).map(|index| entry(1, index, 10)).collect()).await;
            log.save_vote(&Vote::new(7, 1)).await.unwrap();
            log.save_committed(Some(log_id(1, 8000))).await.unwrap();
        }
        gone.forget().await.unwrap();
        let state = gone.get_log_state().await.unwrap();
        assert_eq!((state.last_purged_log_id, state.last_log_id), (None, None));
        assert_eq!(gone.read_vote().await.unwrap(), Some(Vote::new(7, 1)));
        assert_eq!((gone.promised(), stays.promised()), (Some(log_id(1, 9000)), None));
        log.close().await.unwrap();
    });
    run(async {
        let log = open_log(dir.path()).unwrap();
        let (mut gone, mut stays) = (log.shard(SHARD), log.shard(other));
        assert_eq!((all(&mut gone).await.len(), all(&mut stays).await.len()), (0, 9000));
        assert_eq!((gone.purged(), gone.read_committed().await.unwrap()), (None, None));
        assert_eq!(gone.read_vote().await.unwrap(), Some(Vote::new(7, 1)));
        // On its way to where it was, and gone again: the first promise stays.
        append(&mut gone, vec![entry(1, 1, 10), entry(1, 2, 10)]).await.await.unwrap().unwrap();
        assert_eq!(gone.promised(), Some(log_id(1, 9000)));
        gone.forget().await.unwrap();
        assert_eq!(gone.promised(), Some(log_id(1, 9000)));
        append(&mut gone, vec![entry(1, 1, 10)]).await.await.unwrap().unwrap();
        log.close().await.unwrap();
        let log = open_log(dir.path()).unwrap();
        let mut gone = log.shard(SHARD);
        assert_eq!((all(&mut gone).await.len(), gone.promised()), (1, Some(log_id(1, 9000))));
        // A later term is farther than any index.
        append(&mut gone, vec![entry(8, 2, 10)]).await.await.unwrap().unwrap();
        assert_eq!(gone.promised(), None);
        log.close().await.unwrap();
        let log = open_log(dir.path()).unwrap();
        let mut gone = log.shard(SHARD);
        assert_eq!((all(&mut gone).await.len(), gone.promised()), (2, None));
        // So is a snapshot that reaches as far.
        gone.forget().await.unwrap();
        gone.purge(log_id(8, 1)).await.unwrap();
        append(&mut gone, vec![]).await.await.unwrap().unwrap();
        assert_eq!(gone.promised(), Some(log_id(8, 2)));
        gone.purge(log_id(8, 2)).await.unwrap();
        append(&mut gone, vec![]).await.await.unwrap().unwrap();
        assert_eq!(gone.promised(), None);
        log.close().await.unwrap();
        let log = open_log(dir.path()).unwrap();
        assert_eq!(log.shard(SHARD).promised(), None);
    });
}
