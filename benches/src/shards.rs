//! The cost of shards: the same work with one shard and with sixteen, and transactions that cross
//! shards, compared with transactions that do not.
//!
//! On one machine more shards give no more CPU, so what counts is the CPU time of an operation:
//! with it, throughput grows with the cores.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use aspen_client::{Client, TransactionOutcome, Val};
use aspen_core::ids::ShardId;
use aspen_core::placement::ShardRouter;
use tokio::task::JoinSet;
use tokio_real as tokio;

use crate::cluster::Cluster;
use crate::cpu;
use crate::failure::Failure;
use crate::load::{self, Done, LoadFigures, Work};

/// Pairs of accounts, each pair on one shard.
const PAIRS: u64 = 2_000;

/// The two accounts of a pair; they have one tag.
fn pair(n: u64) -> [String; 2] {
    let tag = load::spread(n) % PAIRS;
    [format!("{{{tag:06}}}/a"), format!("{{{tag:06}}}/b")]
}

fn put(client: Client, n: u64) -> Done {
    Box::pin(async move {
        client.put(format!("key-{:012}", load::spread(n) % 100_000), [b'v'; 100]).await?;
        Ok(())
    })
}

/// Markets of the order book, and boards of the leaderboard.
const PLACES: u64 = 64;

/// Tags of places, half of them on either of two shards: without that the fuller shard would decide how
/// much two of them do.
fn place(n: u64) -> &'static str {
    static PLACES_OF: OnceLock<Vec<String>> = OnceLock::new();
    let places = PLACES_OF.get_or_init(|| {
        let router = ShardRouter::new(2).expect("two shards");
        let names = |shard| {
            let all = (0..).map(|n| format!("p{n}"));
            all.filter(move |name| router.shard(name.as_bytes()) == ShardId::new(shard))
        };
        names(0).zip(names(1)).flat_map(<[String; 2]>::from).take(PLACES as usize).collect()
    });
    &places[(n % PLACES) as usize]
}

/// Nine sell one, and then one buys nine: trades with all of them, so the book stays short.
fn order(client: Client, n: u64) -> Done {
    const SELLERS: u64 = 9;
    Box::pin(async move {
        let market = place(n / (SELLERS + 1));
        let (side, quantity) = match n % (SELLERS + 1) {
            SELLERS => ("buy", SELLERS),
            _ => ("sell", 1),
        };
        let (tag, side) = (format!("{{{market}}}"), Val::Enum(side.into()));
        let args = [market.into(), "ada".into(), side, 100u64.into(), quantity.into()];
        client.call("order-book", "place", &tag, &args).await?;
        Ok(())
    })
}

/// Players of each board.
const PLAYERS: u64 = 100;

/// A player's score, and his rank with it: up to 100 counters are read.
fn submit(client: Client, n: u64) -> Done {
    Box::pin(async move {
        let (board, player) = (place(n), n / PLACES % PLAYERS);
        let (tag, score) = (format!("{{{board}}}"), load::spread(n) as u32);
        let args = [board.into(), format!("player-{player:04}").into(), score.into()];
        client.call("leaderboard", "submit", &tag, &args).await?;
        Ok(())
    })
}

/// Two keys of one pair, or of two.
async fn write_two(client: Client, keys: [String; 2]) -> Result<(), Failure> {
    let value = [b'v'; 100];
    match client.transaction().write(&keys[0], value).write(&keys[1], value).commit().await? {
        TransactionOutcome::Committed(_) => Ok(()),
        TransactionOutcome::Conflict { .. } => Err("nothing was read".into()),
    }
}

fn together(client: Client, n: u64) -> Done {
    Box::pin(write_two(client, pair(n)))
}

/// On two shards whenever the two tags are; with sixteen, nearly always.
fn apart(client: Client, n: u64) -> Done {
    let ([a, _], [b, _]) = (pair(2 * n), pair(2 * n + 1));
    Box::pin(write_two(client, [a, b]))
}

fn transfer(client: Client, n: u64) -> Done {
    Box::pin(async move {
        let [from, to] = pair(n);
        let args: [Val; 3] = [from.clone().into(), to.into(), 1u64.into()];
        client.call("bank", "transfer", &from, &args).await?;
        Ok(())
    })
}

async fn open(client: &Client, bank: &[u8]) -> Result<(), Failure> {
    client.upload("bank", bank.to_vec()).await?;
    let mut tasks = JoinSet::new();
    for tag in 0..PAIRS {
        for name in ["a", "b"] {
            let (client, account) = (client.clone(), format!("{{{tag:06}}}/{name}"));
            tasks.spawn(async move {
                let args: [Val; 2] = [account.clone().into(), (1u64 << 40).into()];
                client.call("bank", "open", &account, &args).await
            });
        }
        if tasks.len() > 200 {
            while let Some(opened) = tasks.join_next().await {
                opened??;
            }
        }
    }
    while let Some(opened) = tasks.join_next().await {
        opened??;
    }
    Ok(())
}

/// A cluster, its client, and how it is measured.
struct Site {
    cluster: Cluster,
    client: Client,
    runtime: tokio::runtime::Runtime,
    _folder: tempfile::TempDir,
}

impl Site {
    fn start(shards: u16, bank: &[u8]) -> Result<Site, Failure> {
        let folder = tempfile::tempdir_in("target")?;
        let cluster = Cluster::start(folder.path(), 3, shards)?;
        let runtime = load::client_runtime()?;
        let client = runtime.block_on(cluster.client())?;
        runtime.block_on(open(&client, bank))?;
        Ok(Site { cluster, client, runtime, _folder: folder })
    }

    /// Runs a load; also the CPU time of one operation, of nodes and client, in microseconds.
    fn run(
        &self,
        work: Work,
        clients: usize,
        time: Duration,
    ) -> Result<(LoadFigures, f64), Failure> {
        let seconds = || self.cluster.cpu().values().sum::<f64>();
        let (before, client) = (seconds(), self.client.clone());
        let run = async move { load::run(&client, work, clients, time).await };
        let measured = self.runtime.block_on(self.runtime.spawn(run))??;
        let cpu = (seconds() - before) * 1e6 / measured.count as f64;
        Ok((measured, cpu))
    }

    fn stop(self) {
        self.runtime.block_on(self.client.close());
        self.cluster.stop();
    }
}

/// Measures all of it.
pub fn measure(bank: &[u8], time: Duration) -> Result<(), Failure> {
    println!("\nshards, three nodes and the client on this machine, durable");
    let sites = [(1, Site::start(1, bank)?), (16, Site::start(16, bank)?)];
    let works: [(&str, Work); 3] = [
        ("put", put),
        ("two-key transaction, one shard", together),
        ("call of a two-key transfer", transfer),
    ];
    // The requests of a batch share its cost: few requests in all, enough in all, and as many
    // for each shard.
    for clients in [[64, 64], [1024, 1024], [64, 1024]] {
        for (what, work) in works {
            let mut cpu = [0.0; 2];
            // In turns, so that a machine that changes its speed changes both.
            for _ in 0..2 {
                for (at, (shards, site)) in sites.iter().enumerate() {
                    let (measured, used) = site.run(work, clients[at], time)?;
                    cpu[at] += used / 2.0;
                    let how = format!("{shards} shards, {used:.0} us of CPU");
                    load::print(what, clients[at], &how, &measured);
                }
            }
            let ([one, sixteen], ratio) = (clients, cpu[1] / cpu[0]);
            println!(
                "{what}: CPU time with 16 shards, {sixteen} in flight / with 1, {one}: {ratio:.2}x"
            );
        }
    }
    let [_, (_, site)] = &sites;
    for clients in [1, 64] {
        let mut p50 = [Duration::ZERO; 2];
        for _ in 0..2 {
            for (at, (what, work)) in
                [("two keys on one shard", together as Work), ("two keys on two shards", apart)]
                    .into_iter()
                    .enumerate()
            {
                let (measured, used) = site.run(work, clients, time)?;
                p50[at] += measured.p50;
                load::print(what, clients, &format!("16 shards, {used:.0} us of CPU"), &measured);
            }
        }
        let ratio = p50[1].as_secs_f64() / p50[0].as_secs_f64();
        println!("p50 of two shards / one, {clients} in flight: {ratio:.2}x");
    }
    for (_, site) in sites {
        site.stop();
    }
    Ok(())
}

/// Components that calls are measured with.
pub struct Components {
    /// A lean function.
    pub bank: Vec<u8>,
    /// Some twenty reads and writes.
    pub order_book: Vec<u8>,
    /// Up to 100 reads.
    pub leaderboard: Vec<u8>,
}

/// One embedded node with one shard and with two: calls that touch two keys of one tag, and calls that
/// take apply longer. A second shard can give at most what the first one leaves of the machine, so the
/// cores that are busy are told.
pub fn embedded(components: &Components, time: Duration) -> Result<(), Failure> {
    println!("\none embedded node with one shard and with two (fsync before each answer)");
    let seconds = || cpu::stat("/proc/self/stat").map_or(0.0, |(_, seconds)| seconds);
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let (mut stores, mut filled) = (vec![], JoinSet::new());
        for shards in [1, 2] {
            let folder = tempfile::tempdir_in("target")?;
            let store = aspen_node::open_sharded(folder.path(), shards).await?;
            open(&store.client(), &components.bank).await?;
            let Components { order_book, leaderboard, .. } = components;
            store.client().upload("order-book", order_book.clone()).await?;
            store.client().upload("leaderboard", leaderboard.clone()).await?;
            // Every player is there, so that a call costs the same from the start.
            for n in 0..PLACES * PLAYERS {
                filled.spawn(submit(store.client(), n));
            }
            while let Some(done) = filled.join_next().await {
                done??;
            }
            stores.push((shards, store, folder));
        }
        let (transfer, order, submit) = (transfer as Work, order as Work, submit as Work);
        for (what, work, clients) in [
            ("call of a two-key transfer", transfer, 64),
            ("call of a two-key transfer", transfer, 256),
            ("call of a two-key transfer", transfer, 1000),
            ("call that places an order", order, 256),
            ("call that places an order", order, 1000),
            ("call that tells a rank", submit, 256),
            ("call that tells a rank", submit, 1000),
        ] {
            let (mut rates, mut cores) = ([0.0; 2], [0.0; 2]);
            // In turns, so that a machine that changes its speed changes both.
            for _ in 0..2 {
                for (at, (shards, store, _)) in stores.iter().enumerate() {
                    let (begun, used) = (Instant::now(), seconds());
                    let measured = load::run(&store.client(), work, clients, time).await?;
                    rates[at] += measured.rate;
                    cores[at] += (seconds() - used) / begun.elapsed().as_secs_f64() / 2.0;
                    load::print(what, clients, &format!("durable, {shards} shards"), &measured);
                }
            }
            let (ratio, [one, two]) = (rates[1] / rates[0], cores);
            println!(
                "{what}: with 2 shards / with 1, {clients} in flight: {ratio:.2}x \
                 ({one:.2} and {two:.2} cores busy)"
            );
        }
        for (_, store, _) in stores {
            store.close().await;
        }
        Ok(())
    })
}
