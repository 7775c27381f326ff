//! A disk that loses and tears unsynced sectors, and a log that keeps every promise on it.
//!
//! Each seed writes until the power fails in the middle of something, keeps a random part of the
//! unsynced sectors, reopens and compares with the answers. The same seed does the same.

use std::io;
use std::sync::{Arc, Mutex};

use aspen_core::ids::ShardId;
use futures::FutureExt;
use openraft::impls::Vote;
use openraft::storage::{RaftLogReader, RaftLogStorage};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::{ME, SHARD, append, entry, log_id, run};
use crate::Log;

const SECTOR: usize = 512;

#[derive(Debug, Default)]
struct Disk {
    durable: Vec<u8>,
    view: Vec<u8>,
    unsynced: Vec<Change>,
    /// Operations until the power fails, or the disk is full.
    budget: Option<u32>,
    powered: u32,
    syncs: u32,
}

#[derive(Debug)]
enum Change {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

/// A disk as one start of the node sees it: after the power failed it answers nothing.
#[derive(Clone, Debug)]
struct Power(Arc<Mutex<Disk>>, u32);

impl Power {
    fn on(disk: &Arc<Mutex<Disk>>) -> Power {
        Power(disk.clone(), disk.lock().unwrap().powered)
    }

    fn with<T>(&self, cost: u32, operate: impl FnOnce(&mut Disk) -> T) -> io::Result<T> {
        let mut disk = self.0.lock().unwrap();
        if let Some(budget) = &mut disk.budget {
            let left = budget.checked_sub(cost);
            *budget = left.ok_or_else(|| io::Error::from(io::ErrorKind::StorageFull))?;
        }
        match disk.powered == self.1 {
            true => Ok(operate(&mut disk)),
            false => Err(io::Error::other("no power")),
        }
    }
}

fn write(image: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if image.len() < at + bytes.len() {
        image.resize(at + bytes.len(), 0);
    }
    image[at..at + bytes.len()].copy_from_slice(bytes);
}

impl redb::StorageBackend for Power {
    fn len(&self) -> io::Result<u64> {
        self.with(0, |disk| disk.view.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let at = offset as usize;
        self.with(0, |disk| out.copy_from_slice(&disk.view[at..at + out.len()]))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.with(1, |disk| {
            disk.view.resize(len as usize, 0);
            disk.unsynced.push(Change::Length(len as usize));
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.with(1, |disk| {
            write(&mut disk.view, offset as usize, data);
            disk.unsynced.push(Change::Bytes(offset as usize, data.to_vec()));
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(1, |disk| {
            disk.unsynced.clear();
            disk.syncs += 1;
            disk.durable = disk.view.clone();
        })
    }
}

/// Cuts the power: each unsynced sector is kept or lost by chance.
fn crash(disk: &Arc<Mutex<Disk>>, chance: &mut SmallRng) {
    let mut disk = disk.lock().unwrap();
    let mut image = std::mem::take(&mut disk.durable);
    for change in std::mem::take(&mut disk.unsynced) {
        match change {
            Change::Length(len) if chance.random_bool(0.5) => image.resize(len, 0),
            Change::Length(_) => {}
            Change::Bytes(at, bytes) => {
                for (sector, bytes) in bytes.chunks(SECTOR).enumerate() {
                    if chance.random_bool(0.5) {
                        write(&mut image, at + sector * SECTOR, bytes);
                    }
                }
            }
        }
    }
    disk.view = image.clone();
    disk.durable = image;
    disk.powered += 1;
    disk.budget = None;
}

/// Appends and votes until the disk fails; returns the last entry and vote that were answered.
async fn write_until_failure(log: &Log, mut index: u64, mut term: u64) -> (u64, u64) {
    let mut shard = log.shard(SHARD);
    loop {
        let entries = (index + 1..=index + 3).map(|index| entry(1, index, 300)).collect();
        let flushed = append(&mut shard, entries).await;
        match flushed.await {
            Ok(Ok(())) => index += 3,
            _ => return (index, term),
        }
        match shard.save_vote(&Vote::new(term + 1, 1)).await {
            Ok(()) => term += 1,
            Err(_) => return (index, term),
        }
        if index > 3_000 {
            return (index, term);
        }
    }
}

#[test]
fn storage_log_keeps_what_it_answered_through_power_cuts() {
    for seed in 0..20 {
        run(async {
            let mut chance = SmallRng::seed_from_u64(seed);
            let disk = Arc::new(Mutex::new(Disk::default()));
            let (mut index, mut term) = (0, 0);
            for _ in 0..4 {
                let log = Log::with_backend(Power::on(&disk), ME).unwrap();
                let mut shard = log.shard(SHARD);
                let kept = shard.try_get_log_entries(0..=index).await.unwrap();
                let want: Vec<_> = (1..=index).map(|index| entry(1, index, 300)).collect();
                assert!(kept == want, "seed {seed}: answered entries were lost");
                let vote = shard.read_vote().await.unwrap().map_or(0, |vote| vote.leader_id.term);
                assert!(vote == term || vote == term + 1, "seed {seed}: vote {term}, found {vote}");
                term = vote;
                // An entry that was written but never answered may be there; Raft would overwrite it.
                let last = (index > 0).then(|| log_id(1, index));
                shard.truncate_after(last).await.unwrap();
                disk.lock().unwrap().budget = Some(chance.random_range(1..200));
                (index, term) = write_until_failure(&log, index, term).await;
                assert!(log.failed().is_some());
                crash(&disk, &mut chance);
            }
        });
    }
}

#[test]
fn storage_log_on_a_full_disk_refuses_and_recovers_when_there_is_room() {
    run(async {
        let disk = Arc::new(Mutex::new(Disk::default()));
        let log = Log::with_backend(Power::on(&disk), ME).unwrap();
        disk.lock().unwrap().budget = Some(100);
        let (index, term) = write_until_failure(&log, 0, 0).await;
        let failed = log.failed().unwrap();
        assert!(failed.contains("writing failed"), "{failed}");
        let mut shard = log.shard(SHARD);
        disk.lock().unwrap().budget = None;
        let error = shard.save_vote(&Vote::new(99, 1)).await.unwrap_err();
        assert_eq!(error.to_string(), failed, "a log that failed once takes nothing more");
        drop(shard);
        assert_eq!(log.close().await.unwrap_err().to_string(), failed, "and can be closed");
        let mut shard = Log::with_backend(Power::on(&disk), ME).unwrap().shard(SHARD);
        let kept = shard.try_get_log_entries(0..=index).await.unwrap();
        assert_eq!(kept.len() as u64, index);
        assert!(shard.read_vote().await.unwrap().map_or(0, |vote| vote.leader_id.term) >= term);
    });
}

/// While the writer is busy with one append, those of all shards wait; then one fsync serves them.
#[test]
fn storage_log_writes_what_waits_in_one_transaction() {
    run(async {
        let disk = Arc::new(Mutex::new(Disk::default()));
        let log = Log::with_backend(Power::on(&disk), ME).unwrap();
        let waiting = {
            // The writer cannot touch the disk, so at most one transaction has begun. (More than
            // 128 appends would use up the budget that tokio gives a task at once.)
            let mut disk = disk.lock().unwrap();
            disk.syncs = 0;
            let append = |shard| {
                let mut log = log.shard(ShardId::new(shard));
                append(&mut log, vec![entry(1, 1, 10)]).now_or_never().unwrap()
            };
            (0..100).map(append).collect::<Vec<_>>()
        };
        for flushed in waiting {
            flushed.await.unwrap().unwrap();
        }
        let syncs = disk.lock().unwrap().syncs;
        assert!(syncs <= 4, "two transactions of one or two syncs, not {syncs}");
    });
}
