//! What one entry costs in apply, by kind of entry and by size of the database: the real state
//! (SQLite and its buffer) fed directly, without consensus and network.

use std::path::Path;
use std::sync::Arc;

use aspen_core::{
    Caller, Command, Compare, Entry, Key, NoFunctions, NodeId, Read, Relation, Revision, ShardId,
    ShardRouter, Timestamp, Transact, Value, WriteCommand, WriteOp, encode,
};
use aspen_store::{Identity, Proposal, StateConfig, StateMachine, StateReader, TypeConfig};
use openraft::EntryPayload;
use openraft::storage::RaftStateMachine;
use openraft::vote::leader_id_adv::LeaderId;
use tokio_real as tokio;

use crate::{Failure, cpu, load};

const SIZES: [u64; 2] = [10_000, 10_000_000];
const OPERATIONS: u64 = 200_000;
const BATCH: u64 = 512;

/// A state, fed with entries.
struct Fed {
    machine: StateMachine,
    reader: StateReader,
    index: u64,
}

impl Fed {
    fn open(dir: &Path) -> Result<Fed, Failure> {
        let config = StateConfig {
            dir: dir.join("shard"),
            shard: ShardId::new(0),
            router: ShardRouter::new(1)?,
            identity: Identity { cluster: 1, node: NodeId::new(1) },
            purged: None,
            stack_bytes: 1 << 20,
        };
        let (machine, reader) = StateMachine::open(config, Arc::new(NoFunctions))?;
        Ok(Fed { machine, reader, index: 0 })
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
    async fn measure(&mut self, make: impl Fn(u64) -> Command) -> Result<Cost, Failure> {
        let before = cpu_seconds();
        for batch in 0..OPERATIONS / BATCH {
            let commands = (0..BATCH).map(|n| make(batch * BATCH + n)).collect();
            self.apply(commands).await?;
        }
        let each = 1e6 / (OPERATIONS / BATCH * BATCH) as f64;
        let after = cpu_seconds();
        Ok(Cost {
            apply: (after.apply - before.apply) * each,
            flush: (after.flush - before.flush) * each,
        })
    }
}

/// CPU time of the thread that applies and of the one that writes to the file.
#[derive(Clone, Copy, Default)]
struct Cost {
    apply: f64,
    flush: f64,
}

fn cpu_seconds() -> Cost {
    let of = |prefix: &str| {
        let threads = cpu::threads().into_values();
        threads.filter(|(name, _)| name.starts_with(prefix)).map(|(_, seconds)| seconds).sum()
    };
    Cost { apply: of("aspen-apply"), flush: of("aspen-flush") }
}

fn key(n: u64) -> Result<Key, Failure> {
    Ok(Key::try_from(format!("key-{n:012}").as_str())?)
}

fn put(n: u64, keys: u64) -> Command {
    let key = key(load::spread(n) % keys).expect("16 bytes");
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

/// Measures both sizes.
pub fn measure() -> Result<(), Failure> {
    println!("\none entry in apply (no consensus, no network), CPU microseconds");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build()?;
    runtime.block_on(async {
        let mut costs = vec![];
        for keys in SIZES {
            let folder = tempfile::tempdir_in("target")?;
            let mut fed = Fed::open(folder.path())?;
            let all: Vec<u64> = (0..keys).collect();
            for part in all.chunks(1000) {
                let value = Value::new(vec![b'v'; 100])?;
                let set = |n: &u64| Ok::<_, Failure>(WriteOp::set(key(*n)?, value.clone()));
                let writes = part.iter().map(set).collect::<Result<Vec<_>, _>>()?;
                fed.apply(vec![Command::Transact(Transact::writes(writes))]).await?;
            }
            let (mut swap, mut transaction) = (0.0, 0.0);
            // Alternating, so that drift of the machine meets both alike.
            for round in 0..3 {
                swap += fed.measure(|n| checked(n + round, keys, false)).await?.apply / 3.0;
                transaction += fed.measure(|n| checked(n + round, keys, true)).await?.apply / 3.0;
            }
            let cost = fed.measure(|n| put(n, keys)).await?;
            println!(
                "{keys:>10} keys: put {:.1} (and {:.1} in the flush), compare-and-swap {swap:.1}, \
                 transaction of one read and one write {transaction:.1} ({:.2}x)",
                cost.apply,
                cost.flush,
                transaction / swap
            );
            costs.push(cost.apply);
            drop(fed.machine);
            fed.reader.closed().await;
        }
        println!(
            "put in apply at {} keys / at {}: {:.2}x",
            SIZES[1],
            SIZES[0],
            costs[1] / costs[0]
        );
        Ok(())
    })
}
