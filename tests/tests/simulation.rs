//! A whole cluster in the simulation: acknowledged is kept, money is conserved, a seed decides all.
//!
//! Run it with `cargo sim --workspace --test simulation -- --nocapture`; in a normal build this file
//! is empty. `ASPEN_SIM_SEED` chooses the seed (1 if not set). Three clients put and transfer while
//! messages get lost, the leader loses power in the middle of a commit and comes back to a snapshot.
//! Everything a client was told must be true at the end, and the replicas must be equal.
//!
//! A majority is always there, so no operation may fail either: a client's time limit is longer than
//! all of this. Leaves out linearizability of whole histories, and partitions.
#![cfg(madsim)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{env, fs};

use aspen_client::{CallError, Client, KeyRange, ScanOptions, Val};
use aspen_core::ShardId;
use aspen_tests::guests::component;
use aspen_tests::sim::{Report, SimCluster, Trace, in_fresh_process, run_seed};
use madsim::net::NetSim;
use madsim::time::{Instant, sleep};
use rand::RngExt;

const SEED: &str = "ASPEN_SIM_SEED";
/// Set for the process that runs one seed: its folder.
const FOLDER: &str = "ASPEN_SIM_FOLDER";

const CLIENTS: u8 = 3;
/// Keys that each client writes, and nobody else.
const KEYS: u64 = 20;
/// One tag: all accounts live on one shard.
const TAG: &str = "{bank}";
const ACCOUNTS: u64 = 10;
const CENTS: u64 = 1_000;

/// How long the clients work: long enough for what happens to the leader, and for what follows.
const WORK: Duration = Duration::from_secs(18);
const POWER_FAILS_AFTER: Duration = Duration::from_secs(6);
const POWER_IS_BACK_AFTER: Duration = Duration::from_secs(4);

/// Per key the number that its last acknowledged put wrote.
type Puts = Arc<Mutex<BTreeMap<String, u64>>>;

#[test]
fn one_seed_gives_one_trace() {
    let seed = env::var(SEED).map_or(1, |seed| seed.parse().expect("a seed is a number"));
    if let Some(folder) = env::var_os(FOLDER) {
        return run_once(seed, PathBuf::from(folder));
    }
    let component = component("bank");
    let trace = |seed| {
        let memory = Path::new("/dev/shm");
        let memory = if memory.is_dir() { memory.to_path_buf() } else { env::temp_dir() };
        let folder = tempfile::tempdir_in(memory).unwrap();
        fs::write(folder.path().join("bank.wasm"), &component).unwrap();
        let name = "one_seed_gives_one_trace";
        let printed = in_fresh_process(name, (FOLDER, folder.path()), (SEED, seed));
        printed.lines().filter(|line| line.starts_with("seed")).for_each(|line| println!("{line}"));
        fs::read_to_string(folder.path().join("trace")).unwrap()
    };
    let (first, again, other) = (trace(seed), trace(seed), trace(seed + 1));
    if let Some((a, b)) = first.lines().zip(again.lines()).find(|(a, b)| a != b) {
        panic!("the same seed did otherwise, first at:\n{a}\n{b}");
    }
    assert_eq!(hash(&first), hash(&again));
    assert_ne!(hash(&first), hash(&other), "another seed does otherwise");
}

fn hash(trace: &str) -> u64 {
    seahash::hash(trace.as_bytes())
}

/// The run of one seed, in the process made for it.
fn run_once(seed: u64, folder: PathBuf) {
    let component = fs::read(folder.join("bank.wasm")).unwrap();
    let states = folder.clone();
    let report = run_seed(seed, move |trace| scenario(trace, states, component));
    let Report { trace, messages, simulated, real } = report;
    fs::write(folder.join("trace"), &trace).unwrap();
    let (hash, events) = (hash(&trace), trace.lines().count());
    let speed = simulated.as_secs_f64() / real.as_secs_f64();
    println!();
    println!(
        "seed {seed}: trace {hash:016x}, {events} events, {messages} messages, {:.1} simulated s, \
         {speed:.1} per second",
        simulated.as_secs_f64()
    );
}

async fn scenario(trace: Trace, states: PathBuf, component: Vec<u8>) {
    NetSim::current().update_config(|config| {
        config.packet_loss_rate = 0.01;
        config.send_latency = Duration::from_micros(500)..Duration::from_millis(5);
    });
    let cluster = SimCluster::start(&states, &trace);
    cluster.run_client(4, |client| open_bank(client, component)).await.unwrap();
    trace.event("the bank is open");

    let (puts, end) = (Puts::default(), Instant::now() + WORK);
    let work = |number| {
        let (trace, puts) = (trace.clone(), puts.clone());
        cluster.run_client(number, move |client| work(number, client, trace, puts, end))
    };
    let clients: Vec<_> = (1..=CLIENTS).map(work).collect();

    sleep(POWER_FAILS_AFTER).await;
    let leader = cluster.leader(ShardId::new(0)).await;
    cluster.fail_power(leader, rand::rng().random_range(0..12)).await;
    sleep(POWER_IS_BACK_AFTER).await;
    cluster.restart(leader);

    for client in clients {
        client.await.unwrap();
    }
    cluster.run_client(5, move |client| check(client, puts)).await.unwrap();
    cluster.converge().await;
    cluster.stop().await;
}

async fn open_bank(client: Client, component: Vec<u8>) {
    client.upload("bank", component).await.unwrap();
    for account in 0..ACCOUNTS {
        let args = [Val::String(account_name(account)), Val::U64(CENTS)];
        client.call("bank", "open", TAG, &args).await.unwrap();
    }
}

fn account_name(number: u64) -> String {
    format!("{TAG}/{number}")
}

/// One client: puts and transfers in random order, now and then an audit.
async fn work(number: u8, client: Client, trace: Trace, puts: Puts, end: Instant) {
    for turn in 1.. {
        if Instant::now() >= end {
            return;
        }
        let what = rand::rng().random_range(0..20);
        match what {
            0 => assert_eq!(money(&client).await, ACCOUNTS * CENTS, "money in the middle"),
            1..10 => put(number, turn, &client, &trace, &puts).await,
            _ => transfer(number, &client, &trace).await,
        }
    }
}

async fn put(number: u8, turn: u64, client: &Client, trace: &Trace, puts: &Puts) {
    let key = format!("put/{number}/{}", rand::rng().random_range(0..KEYS));
    let written = client.put(&key, turn.to_string()).await.unwrap();
    trace.event(format_args!("c{number} put {key} {turn} at {}", written.revision));
    puts.lock().unwrap().insert(key, turn);
}

async fn transfer(number: u8, client: &Client, trace: &Trace) {
    let account = || account_name(rand::rng().random_range(0..ACCOUNTS));
    let cents = rand::rng().random_range(1..CENTS);
    let args = [Val::String(account()), Val::String(account()), Val::U64(cents)];
    match client.call("bank", "transfer", TAG, &args).await {
        Ok(reply) => trace.event(format_args!("c{number} transfer at {}", reply.revision)),
        // Too few cents, or from an account to itself.
        Err(error @ CallError::Aborted { .. }) => trace.event(format_args!("c{number} {error}")),
        Err(error) => panic!("transfer: {error}"),
    }
}

/// The sum of all accounts, at one revision.
async fn money(client: &Client) -> u64 {
    let items = client.scan(KeyRange::prefix("account/"), ScanOptions::default()).await.unwrap();
    let cents = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("a balance has 8 bytes"));
    items.iter().map(|item| cents(item.record.value.as_bytes())).sum()
}

async fn check(client: Client, puts: Puts) {
    assert_eq!(money(&client).await, ACCOUNTS * CENTS, "money at the end");
    let puts = puts.lock().unwrap().clone();
    assert!(!puts.is_empty(), "something was written");
    for (key, turn) in puts {
        let record = client.get(&key).await.unwrap();
        let found =
            record.map(|record| String::from_utf8(record.value.as_bytes().to_vec()).unwrap());
        assert_eq!(found, Some(turn.to_string()), "the last acknowledged put of {key}");
    }
}
