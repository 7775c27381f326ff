//! Moving a replica of a large shard to another node while it is written to.
//!
//! The writes are paced: each has a time at which it is due, and its latency counts from then on, so
//! a pause is felt by all that were due in it (no "coordinated omission"). A failed request counts,
//! whatever the client did about it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aspen_client::{Client, TransactionBuilder};
use aspen_core::ids::{NodeId, ShardId};
use aspen_core::placement::Replicas;
use tokio::task::JoinSet;
use tokio_real as tokio;

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::load;

/// Keys of 16 bytes with values of 1,000: 1 GB.
const KEYS: u64 = 1_000_000;
const VALUE: [u8; 1000] = [b'v'; 1000];

/// So that there are more entries than a snapshot waits for: a shard of this size has one, and no
/// log of all that it holds.
const KEYS_PER_WRITE: u64 = 9;

/// Those that are written again and again meanwhile, with values of 100 bytes.
const HOT_KEYS: u64 = 100_000;
const HOT_VALUE: [u8; 100] = [b'h'; 100];

/// After filling: three snapshots of the whole are being made.
const SETTLING: Duration = Duration::from_secs(30);

/// Writes that may wait for their answers at a time.
const CLIENTS: u64 = 512;

const SHARD: ShardId = ShardId::new(0);

fn key(n: u64) -> String {
    format!("key-{:012}", n % KEYS)
}

fn hot_key(n: u64) -> String {
    format!("hot-{:012}", n % HOT_KEYS)
}

async fn fill(client: &Client) -> Result<(), Failure> {
    let mut tasks = JoinSet::new();
    for from in (0..KEYS).step_by(KEYS_PER_WRITE as usize) {
        let client = client.clone();
        tasks.spawn(async move {
            let keys = from..(from + KEYS_PER_WRITE).min(KEYS);
            let write = keys.fold(TransactionBuilder::new(), |txn, n| txn.write(key(n), VALUE));
            client.write(write.build()?).await?;
            Ok::<(), Failure>(())
        });
        if tasks.len() >= 256 {
            tasks.join_next().await.transpose()?.transpose()?;
        }
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// The latencies and failures of the writes of some seconds.
struct WriteDelays {
    latencies: Vec<Duration>,
    failed: u64,
    seconds: f64,
}

impl WriteDelays {
    fn print(mut self, what: &str) {
        self.latencies.sort();
        let at = |part: usize| {
            let at = (self.latencies.len() * part / 1000).min(self.latencies.len() - 1);
            self.latencies[at].as_secs_f64() * 1e3
        };
        println!(
            "{what:<34} {:>6.0} writes/s  p50 {:>7.2} ms  p99 {:>7.2} ms  longest {:>7.2} ms  {} failed",
            self.latencies.len() as f64 / self.seconds,
            at(500),
            at(990),
            at(1000),
            self.failed
        );
    }
}

/// Writes `rate` times a second until `stop`.
async fn write(client: &Client, rate: u64, stop: Arc<AtomicBool>) -> Result<WriteDelays, Failure> {
    let (begun, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
    let mut tasks = JoinSet::new();
    for _ in 0..CLIENTS {
        let (client, next, stop) = (client.clone(), next.clone(), stop.clone());
        tasks.spawn(async move {
            let (mut latencies, mut failed) = (vec![], 0);
            while !stop.load(Ordering::Relaxed) {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let due = begun + Duration::from_micros(n * 1_000_000 / rate);
                tokio::time::sleep_until(due.into()).await;
                match client.put(hot_key(load::spread(n)), HOT_VALUE).await {
                    Ok(_) => latencies.push(due.elapsed()),
                    Err(_) => failed += 1,
                }
            }
            (latencies, failed)
        });
    }
    let (mut latencies, mut failed) = (vec![], 0);
    while let Some(done) = tasks.join_next().await {
        let (of_one, failed_of_one) = done?;
        latencies.extend(of_one);
        failed += failed_of_one;
    }
    Ok(WriteDelays { latencies, failed, seconds: begun.elapsed().as_secs_f64() })
}

/// Measures it, with `rate` writes a second.
pub fn measure(time: Duration, rate: u64) -> Result<(), Failure> {
    println!(
        "\nmoving a replica of a shard of 1 GB (a million values of 1,000 bytes) from one of three nodes \
         to a fourth,\nall and the client on this machine, durable, {rate} writes/s of 100 bytes to 100,000 \
         keys of that shard"
    );
    let folder = tempfile::tempdir_in("target")?;
    let cluster = Cluster::start(folder.path(), 4, 1)?;
    let runtime = load::client_runtime()?;
    let client = runtime.block_on(cluster.client())?;
    runtime.block_on(fill(&client))?;
    // Writes to the disk that filling left behind shall not be felt.
    std::thread::sleep(SETTLING);
    rustix::fs::sync();
    let writes = |stop: Arc<AtomicBool>| {
        let client = client.clone();
        runtime.spawn(async move { write(&client, rate, stop).await })
    };
    let stop = Arc::new(AtomicBool::new(false));
    let before = writes(stop.clone());
    std::thread::sleep(time);
    stop.store(true, Ordering::Relaxed);
    runtime.block_on(before)??.print("before");
    let stop = Arc::new(AtomicBool::new(false));
    let during = writes(stop.clone());
    std::thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    runtime.block_on(async {
        // The leader's own replica: it costs most.
        let leader = cluster.leader().map(NodeId::new);
        client.move_replica(SHARD, leader, NodeId::new(4)).await?;
        let is_there = |info: &aspen_core::protocol::ClusterInfo| {
            info.placement.replicas(SHARD).is_some_and(Replicas::is_settled)
        };
        client.settle(is_there).await?;
        Ok::<(), Failure>(())
    })?;
    let moved = begun.elapsed();
    std::thread::sleep(Duration::from_secs(1));
    stop.store(true, Ordering::Relaxed);
    runtime.block_on(during)??.print("while the leader's replica moves");
    println!("moved in {:.1} s", moved.as_secs_f64());
    runtime.block_on(client.close());
    cluster.stop();
    Ok(())
}
