//! A scan of a million keys: over eight shards and over one, plain and consistent.
//!
//! The nodes are one process, the client that is watched for its memory another: `aspen scan` with its
//! output thrown away. Times are of the streaming client in this process.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use aspen_client::{Client, KeyRange, ScanOptions, TransactionBuilder};
use aspen_core::placement::ShardRouter;
use tokio::task::JoinSet;
use tokio_real as tokio;

use crate::dev::{Dev, aspen, megabytes};
use crate::failure::Failure;
use crate::load::client_runtime;

const KEYS: u64 = 1_000_000;

/// Keys written at once, and how often in flight.
const BATCH: usize = 500;
const IN_FLIGHT: usize = 16;

/// Scans of each kind; the median counts.
const ROUNDS: usize = 5;

fn key(n: u64) -> String {
    format!("key-{n:012}")
}

/// Writes all keys, those of one shard together.
async fn fill(client: &Client, shards: u16) -> Result<(), Failure> {
    let router = ShardRouter::new(shards)?;
    let mut waiting = vec![vec![]; usize::from(shards)];
    let mut writes = JoinSet::new();
    for n in 0..KEYS {
        let shard = usize::from(router.shard(key(n).as_bytes()).get());
        waiting[shard].push(n);
        if waiting[shard].len() < BATCH && n + 1 < KEYS {
            continue;
        }
        let due = if n + 1 < KEYS { shard..shard + 1 } else { 0..waiting.len() };
        for keys in waiting[due].iter_mut().filter(|keys| !keys.is_empty()) {
            let some = std::mem::take(keys).into_iter();
            let some = some.fold(TransactionBuilder::new(), |t, n| t.write(key(n), [b'v'; 100]));
            let (client, some) = (client.clone(), some.build()?);
            writes.spawn(async move { client.write(some).await.map(drop) });
        }
        while writes.len() > IN_FLIGHT {
            writes.join_next().await.ok_or("a write is under way")???;
        }
    }
    while let Some(written) = writes.join_next().await {
        written??;
    }
    Ok(())
}

/// Scans everything; how long it took.
async fn scan(client: &Client, consistent: bool) -> Result<Duration, Failure> {
    let start = Instant::now();
    let options = ScanOptions { one_moment: consistent, ..ScanOptions::default() };
    let mut scan = client.scan_stream(KeyRange::all(), options).await?;
    let mut found = 0;
    while let Some(items) = scan.next_page().await? {
        found += items.len() as u64;
    }
    match found {
        KEYS => Ok(start.elapsed()),
        found => Err(format!("the scan found {found} keys").into()),
    }
}

/// Watches the largest memory of a process, above its memory at the start.
struct Watch {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<f64>,
}

impl Watch {
    fn start(id: u32) -> Watch {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let resident = || megabytes(id, "VmRSS").unwrap_or(0.0);
            let (before, mut most) = (resident(), 0.0f64);
            while !stopped.load(Ordering::SeqCst) {
                most = most.max(resident() - before);
                std::thread::sleep(Duration::from_millis(5));
            }
            most
        });
        Watch { stop, thread }
    }

    fn most(self) -> f64 {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap_or(f64::NAN)
    }
}

/// The most memory that `aspen scan` has as a process, with everything.
fn client_memory(folder: &Path, consistent: bool) -> Result<f64, Failure> {
    let mut command = Command::new(aspen()?);
    command.arg("--connect").arg(folder).args(["scan", "--limit", "0"]);
    if consistent {
        command.arg("--consistent");
    }
    let mut child = command.stdout(Stdio::null()).spawn()?;
    let mut most = 0.0f64;
    while child.try_wait()?.is_none() {
        // The high-water mark only grows: only the last look before the end counts.
        most = most.max(megabytes(child.id(), "VmHWM").unwrap_or(0.0));
        std::thread::sleep(Duration::from_millis(2));
    }
    match child.wait()?.success() {
        true => Ok(most),
        false => Err("aspen scan fails".into()),
    }
}

/// A cluster with all keys.
struct Site {
    shards: u16,
    dev: Dev,
    client: Client,
    folder: tempfile::TempDir,
}

impl Site {
    /// Loads it and starts it afresh, so that its memory is not that of the load.
    async fn start(shards: u16) -> Result<Site, Failure> {
        let folder = tempfile::tempdir_in("target")?;
        let dev = Dev::start(folder.path(), shards)?;
        let client = Client::connect(&dev.ticket()?).await?;
        fill(&client, shards).await?;
        client.close().await;
        dev.stop()?;
        let dev = Dev::start(folder.path(), shards)?;
        let client = Client::connect(&dev.ticket()?).await?;
        Ok(Site { shards, dev, client, folder })
    }
}

/// Measures scans of a million keys.
pub fn measure() -> Result<(), Failure> {
    println!(
        "\nscan of {KEYS} keys, 16-byte keys, 100-byte values; three nodes and the client here"
    );
    let runtime = client_runtime()?;
    let sites = [runtime.block_on(Site::start(1))?, runtime.block_on(Site::start(8))?];
    // Leads are spread some seconds after the start.
    std::thread::sleep(Duration::from_secs(5));
    for consistent in [false, true] {
        let what = if consistent { "consistent scan" } else { "scan" };
        let (mut times, mut nodes) = (vec![vec![]; 2], [0.0f64; 2]);
        // In turns, so that a machine that changes its speed changes both.
        for _ in 0..ROUNDS {
            for (at, site) in sites.iter().enumerate() {
                let watch = Watch::start(site.dev.id());
                let client = site.client.clone();
                let scanned = runtime.spawn(async move { scan(&client, consistent).await });
                times[at].push(runtime.block_on(scanned)??);
                nodes[at] = nodes[at].max(watch.most());
            }
        }
        for (at, Site { shards, folder, .. }) in sites.iter().enumerate() {
            times[at].sort();
            let time = times[at][ROUNDS / 2].as_secs_f64();
            let (rate, client) = (KEYS as f64 / time, client_memory(folder.path(), consistent)?);
            println!(
                "{what:<16} {shards} shards  {time:>5.2} s  {rate:>8.0} keys/s  at most {:>4.0} MB \
                 more in the three nodes, {client:.0} MB in all in the client",
                nodes[at]
            );
        }
        let ratio = times[1][ROUNDS / 2].as_secs_f64() / times[0][ROUNDS / 2].as_secs_f64();
        println!("{what}: time over 8 shards / over 1: {ratio:.2}x");
    }
    opening(&runtime, &sites)?;
    for Site { dev, client, .. } in sites {
        runtime.block_on(client.close());
        dev.stop()?;
    }
    Ok(())
}

/// Measures the opening of a consistent scan by itself.
fn opening(runtime: &tokio::runtime::Runtime, sites: &[Site]) -> Result<(), Failure> {
    for Site { shards, client, .. } in sites {
        let mut times = vec![];
        for _ in 0..100 {
            let start = Instant::now();
            let options = ScanOptions { one_moment: true, limit: 1, ..ScanOptions::default() };
            runtime.block_on(client.scan_page(KeyRange::all(), options))?;
            times.push(start.elapsed());
        }
        times.sort();
        let [p50, p99] = [50, 98].map(|at| times[at].as_secs_f64() * 1e3);
        println!("consistent scan of one key, {shards} shards: p50 {p50:.1} ms, p99 {p99:.1} ms");
    }
    Ok(())
}
