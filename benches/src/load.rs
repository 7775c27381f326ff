//! Closed loops: a number of clients, each of which asks again as soon as its answer arrives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use aspen_client::{Client, Val};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio_real as tokio;

use crate::cluster::Cluster;
use crate::failure::Failure;

/// Accounts that transfers move money between.
const ACCOUNTS: u64 = 10_000;

pub type Done = std::pin::Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>>;

/// A load: the request of one client, given a number that no other request has.
pub type Work = fn(Client, u64) -> Done;

fn put(client: Client, n: u64) -> Done {
    Box::pin(async move {
        // 16-byte keys, 100-byte values, uniform over 100,000 keys.
        let key = format!("key-{:012}", spread(n) % 100_000);
        client.put(key, [b'v'; 100]).await?;
        Ok(())
    })
}

fn get(client: Client, n: u64) -> Done {
    Box::pin(async move {
        client.get(format!("key-{:012}", spread(n) % 100_000)).await?;
        Ok(())
    })
}

fn transfer(client: Client, n: u64) -> Done {
    Box::pin(async move {
        let from = spread(n) % ACCOUNTS;
        let to = (from + 1 + spread(n + 1) % (ACCOUNTS - 1)) % ACCOUNTS;
        let args: [Val; 3] = [account(from).into(), account(to).into(), 1u64.into()];
        client.call("bank", "transfer", "account", &args).await?;
        Ok(())
    })
}

fn account(n: u64) -> String {
    format!("{n:08}")
}

/// SplitMix64 (Steele, Lea and Flood, 2014): a number from a counter, the same in every run.
pub fn spread(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The figures of a load.
pub struct LoadFigures {
    pub rate: f64,
    pub p50: Duration,
    p99: Duration,
    pub count: u64,
}

/// Runs `work` with this many clients for a time.
pub async fn run(
    client: &Client,
    work: Work,
    clients: usize,
    time: Duration,
) -> Result<LoadFigures, Failure> {
    let counter = Arc::new(AtomicU64::new(1));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..clients {
        let (client, counter) = (client.clone(), counter.clone());
        tasks.spawn(async move {
            let mut latencies = vec![];
            while start.elapsed() < time {
                let asked = Instant::now();
                work(client.clone(), counter.fetch_add(1, Ordering::Relaxed)).await?;
                latencies.push(asked.elapsed());
            }
            Ok::<_, Failure>(latencies)
        });
    }
    let mut all = vec![];
    while let Some(latencies) = tasks.join_next().await {
        all.extend(latencies??);
    }
    let elapsed = start.elapsed().as_secs_f64();
    all.sort();
    let at = |part: usize| all.get(all.len() * part / 100).copied().unwrap_or_default();
    let (count, rate) = (all.len() as u64, all.len() as f64 / elapsed);
    Ok(LoadFigures { rate, p50: at(50), p99: at(99), count })
}

/// Prints a line.
pub fn print(what: &str, clients: usize, how: &str, measured: &LoadFigures) {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{what:<34} {clients:>4} in flight  {:>8.0}/s  p50 {:>7.2} ms  p99 {:>7.2} ms  {how}",
        measured.rate,
        ms(measured.p50),
        ms(measured.p99),
    );
}

async fn open_accounts(client: &Client, bank: &[u8]) -> Result<(), Failure> {
    client.upload("bank", bank.to_vec()).await?;
    let mut tasks = JoinSet::new();
    for n in 0..ACCOUNTS {
        let client = client.clone();
        tasks.spawn(async move {
            let args: [Val; 2] = [account(n).into(), (1u64 << 40).into()];
            client.call("bank", "open", "account", &args).await
        });
    }
    while let Some(opened) = tasks.join_next().await {
        opened??;
    }
    Ok(())
}

/// A runtime for clients alone, so that their CPU time can be told apart.
pub fn client_runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_multi_thread().worker_threads(1).thread_name("client").enable_all().build()?)
}

/// One embedded node: calls, many in flight, durable.
pub fn embedded(bank: &[u8], time: Duration) -> Result<(), Failure> {
    println!("\none embedded node (fsync before each answer)");
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = tempfile::tempdir_in("target")?;
    runtime.block_on(async {
        let store = aspen_node::open(folder.path()).await?;
        let client = store.client();
        open_accounts(&client, bank).await?;
        for (what, work) in [("call of a two-key transfer", transfer as Work), ("put", put)] {
            for clients in [1, 256, 1000] {
                let measured = run(&client, work, clients, time).await?;
                print(what, clients, "durable", &measured);
            }
        }
        store.close().await;
        Ok(())
    })
}

/// Three nodes on this machine: puts, gets and calls, and where the CPU time goes.
pub fn three_nodes(bank: &[u8], time: Duration) -> Result<(), Failure> {
    println!(
        "\nthree nodes and the client on this machine (fsync on a majority before each answer)"
    );
    let folder = tempfile::tempdir_in("target")?;
    let cluster = Cluster::start(folder.path(), 3, 1)?;
    let runtime = client_runtime()?;
    let client = runtime.block_on(cluster.client())?;
    runtime.block_on(open_accounts(&client, bank))?;
    let measure = |what: &str, work: Work, clients, how: &str| {
        let before = cluster.cpu();
        // Spawned, so that the client's work runs on the client's thread.
        let client = client.clone();
        let measured = runtime
            .block_on(runtime.spawn(async move { run(&client, work, clients, time).await }))??;
        print(what, clients, how, &measured);
        let after = cluster.cpu();
        let used = after.into_iter().map(|(part, seconds)| {
            let used = seconds - before.get(&part).copied().unwrap_or(0.0);
            (part, used * 1e6 / measured.count as f64)
        });
        Ok::<BTreeMap<String, f64>, Failure>(used.collect())
    };
    measure("put, 16-byte key, 100-byte value", put, 1, "durable")?;
    measure("put", put, 64, "durable")?;
    let put_cpu = measure("put", put, 256, "durable")?;
    measure("get, linearizable", get, 1, "ReadIndex")?;
    measure("get, linearizable", get, 256, "ReadIndex")?;
    measure("call of a two-key transfer", transfer, 1, "durable")?;
    let call_cpu = measure("call of a two-key transfer", transfer, 256, "durable")?;
    println!(
        "\nCPU time at 256 in flight, microseconds (leader: node {})",
        cluster.leader().unwrap_or(0)
    );
    println!("{:<24} {:>10} {:>10}", "", "per put", "per call");
    let (mut puts, mut calls) = (0.0, 0.0);
    for (part, put) in &put_cpu {
        let call = call_cpu.get(part).copied().unwrap_or_default();
        println!("{part:<24} {put:>10.1} {call:>10.1}");
        puts += put;
        calls += call;
    }
    println!("{:<24} {puts:>10.1} {calls:>10.1}", "all");
    runtime.block_on(client.close());
    cluster.stop();
    Ok(())
}
