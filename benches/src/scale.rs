//! The cost of one entry in apply, by kind of entry and by size of the database: the real state
//! (SQLite and its buffer) fed directly, without consensus and network.
//!
//! A small database lives in the buffer and is not read from its file at all. So a put is measured
//! twice: as it comes, and with a key that only the file holds, where both sizes do the same work.
//! Reading such a key, without a write, is the part of it that SQLite has.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use aspen_core::codec::encode;
use aspen_core::function::NoFunctions;
use aspen_core::ids::{Caller, NodeId, Revision, ShardId, Timestamp};
use aspen_core::key::{Key, Value};
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{Command, Entry};
use aspen_core::transaction::{Compare, Read, Relation, Transact, WriteCommand, WriteOp};
use aspen_store::{Identity, Proposal, StateConfig, StateMachine, StateReader, TypeConfig};
use openraft::EntryPayload;
use openraft::storage::RaftStateMachine;
use openraft::vote::leader_id_adv::LeaderId;
use tokio_real as tokio;

use crate::failure::Failure;
use crate::{cpu, load};

const SIZES: [u64; 2] = [10_000, 10_000_000];

/// Entries of one batch, as many as the state machine takes at once, and batches of one measurement.
const BATCH: u64 = 512;
const BATCHES: u64 = 400;
const ALL: Range<u64> = 0..BATCHES;

/// Times that the state is opened anew, so that nothing of it is in memory, and batches of puts
/// after each: as many as the smaller size has other keys for, too few for a flush.
const OPENINGS: u64 = 20;
const BATCHES_AFTER_OPENING: u64 = 19;

/// From a key to the next: has no factor in common with the sizes, so keys repeat late.
const STRIDE: u64 = 6_364_139;

/// A state, fed with entries.
struct FedShard {
    machine: StateMachine,
    reader: StateReader,
    index: u64,
}

impl FedShard {
    fn open(dir: &Path) -> Result<FedShard, Failure> {
        let config = StateConfig {
            dir: dir.join("shard"),
            shard: ShardId::new(0),
            router: ShardRouter::new(1)?,
            identity: Identity { cluster: 1, node: NodeId::new(1) },
            purged: None,
        };
        let (machine, reader) = StateMachine::open(config, Arc::new(NoFunctions))?;
        let index = reader.status().applied.map_or(0, |applied| applied.index);
        Ok(FedShard { machine, reader, index })
    }

    /// Writes everything to the file.
    async fn close(self) {
        drop(self.machine);
        self.reader.closed().await;
    }

    /// Puts keys `0..keys`.
    async fn fill(&mut self, keys: u64) -> Result<(), Failure> {
        let all: Vec<u64> = (0..keys).collect();
        for part in all.chunks(1000) {
            let value = Value::new(vec![b'v'; 100])?;
            let set = |n: &u64| Ok::<_, Failure>(WriteOp::set(key(*n)?, value.clone()));
            let writes = part.iter().map(set).collect::<Result<Vec<_>, _>>()?;
            self.apply(vec![Command::Transact(Transact::writes(writes))]).await?;
        }
        Ok(())
    }

    /// Applies a batch.
    async fn apply(&mut self, commands: Vec<Command>) -> Result<(), Failure> {
        let entries = commands.into_iter().map(|command| {
            self.index += 1;
            let stamp = Timestamp::new(self.index);
            let entry = Entry { stamp, seed: 1, caller: Caller::LOCAL, request: None, command };
            let leader_id = LeaderId { term: 1, node_id: 1 };
            let log_id = openraft::LogId { leader_id, index: self.index };
            let payload = EntryPayload::Normal(Proposal(encode(&entry)));
            Ok((openraft::alias::EntryOf::<TypeConfig> { log_id, payload }, None))
        });
        let entries: Vec<_> = entries.collect();
        self.machine.apply(futures::stream::iter(entries)).await?;
        Ok(())
    }

    /// Microseconds of CPU per command.
    async fn measure(
        &mut self,
        batches: Range<u64>,
        make: impl Fn(u64) -> Command,
    ) -> Result<Cost, Failure> {
        let each = 1e6 / ((batches.end - batches.start) * BATCH) as f64;
        let before = cpu_seconds();
        for batch in batches {
            let commands = (0..BATCH).map(|n| make(batch * BATCH + n)).collect();
            self.apply(commands).await?;
        }
        Ok(cpu_seconds().since(before, each))
    }

    /// Microseconds of CPU per read of a key that only the file holds.
    fn measure_reads(&self, keys: u64) -> Result<f64, Failure> {
        let mut spent = 0.0;
        for batch in ALL {
            let of_batch = (0..BATCH).map(|n| key((batch * BATCH + n) * STRIDE % keys));
            let of_batch = of_batch.collect::<Result<Vec<_>, _>>()?;
            let before = cpu_seconds();
            let records = self.reader.read(|view, _| {
                of_batch.iter().map(|key| view.get(key)).collect::<Result<Vec<_>, _>>()
            })?;
            spent += cpu_seconds().since(before, 1e6).read;
            assert!(records.iter().all(Option::is_some), "every key is there");
        }
        Ok(spent / (BATCHES * BATCH) as f64)
    }
}

/// CPU time of the thread that applies, of the one that writes to the file, and of this one.
#[derive(Clone, Copy, Default)]
struct Cost {
    apply: f64,
    flush: f64,
    read: f64,
}

impl Cost {
    fn since(self, before: Cost, unit: f64) -> Cost {
        Cost {
            apply: (self.apply - before.apply) * unit,
            flush: (self.flush - before.flush) * unit,
            read: (self.read - before.read) * unit,
        }
    }
}

fn cpu_seconds() -> Cost {
    let threads = cpu::threads();
    let of = |prefix: &str| {
        let named = threads.values().filter(|(name, _)| name.starts_with(prefix));
        named.map(|(_, seconds)| seconds).sum()
    };
    Cost { apply: of("aspen-apply"), flush: of("aspen-flush"), read: of("aspen-bench") }
}

fn key(n: u64) -> Result<Key, Failure> {
    Ok(Key::try_from(format!("key-{n:012}").as_str())?)
}

fn put(n: u64) -> Command {
    let key = key(n).expect("16 bytes");
    let value = Value::new(vec![b'v'; 100]).expect("100 bytes");
    Command::Transact(Transact::writes([WriteOp::set(key, value)]))
}

/// The two forms of one check and one write: their keys exist, their checks hold.
fn checked(n: u64, keys: u64, optimistic: bool) -> Command {
    let key = key(load::spread(n) % keys).expect("16 bytes");
    let value = Value::new(vec![b'v'; 100]).expect("100 bytes");
    let expected = Compare::ModRevision(Relation::Greater, Revision::new(0)).into();
    let command = match optimistic {
        true => WriteCommand::OptimisticTransaction {
            read_set: vec![Read::Key { key: key.clone(), expected }],
            write_set: vec![WriteOp::set(key, value)],
        },
        false => WriteCommand::CompareAndSwap { key, expected, value },
    };
    Command::Transact(command.into())
}

/// The costs of puts at one size.
struct Costs {
    put: f64,
    put_from_file: f64,
    read: f64,
}

/// Measures one size.
async fn measure_size(keys: u64) -> Result<Costs, Failure> {
    let folder = tempfile::tempdir_in("target")?;
    let mut fed = FedShard::open(folder.path())?;
    fed.fill(keys).await?;
    let (mut swap, mut transaction) = (0.0, 0.0);
    // Alternating, so that drift of the machine meets both alike.
    for round in 0..3 {
        swap += fed.measure(ALL, |n| checked(n + round, keys, false)).await?.apply / 3.0;
        transaction += fed.measure(ALL, |n| checked(n + round, keys, true)).await?.apply / 3.0;
    }
    let cost = fed.measure(ALL, |n| put(load::spread(n) % keys)).await?;
    fed.close().await;
    let mut put_from_file = 0.0;
    for opening in 0..OPENINGS {
        let mut fed = FedShard::open(folder.path())?;
        let batches = opening * BATCHES_AFTER_OPENING..(opening + 1) * BATCHES_AFTER_OPENING;
        let cost = fed.measure(batches, |n| put(n * STRIDE % keys)).await?;
        put_from_file += cost.apply / OPENINGS as f64;
        fed.close().await;
    }
    let fed = FedShard::open(folder.path())?;
    let read = fed.measure_reads(keys)?;
    fed.close().await;
    println!(
        "{keys:>10} keys: put {:.1} (and {:.1} in the flush), compare-and-swap {swap:.1}, \
         transaction of one read and one write {transaction:.1} ({:.2}x)\n{:>16} put of a key that \
         only the file holds {put_from_file:.1}, read of one {read:.1}",
        cost.apply,
        cost.flush,
        transaction / swap,
        "",
    );
    Ok(Costs { put: cost.apply, put_from_file, read })
}

/// Measures both sizes.
pub fn measure() -> Result<(), Failure> {
    println!("\none entry in apply (no consensus, no network), CPU microseconds");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    runtime.block_on(async {
        let small = measure_size(SIZES[0]).await?;
        let large = measure_size(SIZES[1]).await?;
        println!(
            "{} keys / {}: put {:.2}x, put of a key that only the file holds {:.2}x, read {:.2}x",
            SIZES[1],
            SIZES[0],
            large.put / small.put,
            large.put_from_file / small.put_from_file,
            large.read / small.read,
        );
        Ok(())
    })
}
