//! The replay: every purchase one call, many in flight, and the leader killed in the middle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aspen_client::{Client, Val};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio_real as tokio;

use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::purchases::Purchase;

/// The measurements of the replay.
pub struct Report {
    elapsed: Duration,
    in_flight: usize,
    fuel: u64,
    latencies: Vec<Duration>,
    longest: Duration,
}

/// Replays `purchases`; kills the leader after half of them and starts it again a little later.
pub async fn replay(
    client: &Client,
    cluster: &mut Cluster,
    purchases: Arc<[Purchase]>,
    in_flight: usize,
) -> Result<Report, Failure> {
    let bar = ProgressBar::new(purchases.len() as u64);
    let style = "replay    {bar:40} {pos}/{len} {per_sec} {msg}";
    bar.set_style(ProgressStyle::with_template(style)?);
    let next = Arc::new(AtomicUsize::new(0));
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..in_flight {
        let (client, purchases) = (client.clone(), purchases.clone());
        workers.spawn(work(client, purchases, next.clone(), bar.clone()));
    }
    stop_and_start_leader(client, cluster, &next, purchases.len(), &bar).await?;
    let (mut latencies, mut fuel) = (Vec::with_capacity(purchases.len()), 0);
    while let Some(worker) = workers.join_next().await {
        let done = worker??;
        latencies.extend(done.iter().map(|(latency, _)| *latency));
        fuel += done.iter().map(|(_, fuel)| fuel).sum::<u64>();
    }
    bar.finish();
    latencies.sort();
    let longest = latencies.last().copied().unwrap_or_default();
    Ok(Report { elapsed: start.elapsed(), in_flight, fuel, latencies, longest })
}

async fn work(
    client: Client,
    purchases: Arc<[Purchase]>,
    next: Arc<AtomicUsize>,
    bar: ProgressBar,
) -> Result<Vec<(Duration, u64)>, Failure> {
    let mut done = vec![];
    while let Some(purchase) = purchases.get(next.fetch_add(1, Ordering::Relaxed)) {
        let start = Instant::now();
        let Purchase { customer, date, cds, cents } = purchase;
        let args: [Val; 4] =
            [customer.as_str().into(), date.as_str().into(), (*cds).into(), (*cents).into()];
        let key = format!("{{{customer}}}");
        let reply = client.call("purchases", "record-purchase", key, &args).await?;
        done.push((start.elapsed(), reply.fuel.get()));
        bar.inc(1);
    }
    Ok(done)
}

async fn stop_and_start_leader(
    client: &Client,
    cluster: &mut Cluster,
    next: &AtomicUsize,
    purchases: usize,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let reached = async |part: usize| {
        while next.load(Ordering::Relaxed) < part {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    reached(purchases / 2).await;
    let leader =
        client.cluster().await?.leaders[0].ok_or("no leader in the middle of the replay")?;
    cluster.kill(leader.get()).await?;
    bar.set_message(format!("(leader {leader} killed)"));
    reached(purchases * 3 / 4).await;
    cluster.restart(leader.get()).await?;
    bar.set_message(format!("(leader {leader} killed at 1/2, started at 3/4)"));
    Ok(())
}

impl Report {
    /// Prints rates and latencies.
    pub fn print(&self, calls: usize) {
        let at =
            |part: usize| self.latencies[(calls * part / 1000).min(calls - 1)].as_secs_f64() * 1e3;
        let rate = calls as f64 / self.elapsed.as_secs_f64();
        println!(
            "rate      {rate:.0} calls/s over {:.1} s, {} in flight, election included",
            self.elapsed.as_secs_f64(),
            self.in_flight
        );
        println!(
            "latency   p50 {:.1} ms, p99 {:.1} ms, longest {:.0} ms (the election)",
            at(500),
            at(990),
            self.longest.as_secs_f64() * 1e3
        );
        println!("fuel      {} per call", self.fuel / calls as u64);
        println!("durable   each call on the disks of a majority (fsync) before its reply");
    }
}
