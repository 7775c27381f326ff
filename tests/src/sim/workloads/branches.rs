//! A bank with branches: transfers and audits across shards, as functions and as transactions, and
//! audits by scans of one moment and by transactions that scan all shards.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aspen_client::{
    CallError, Client, Item, Key, KeyRange, RequestError, ScanOptions, Transaction,
    TransactionBuilder, TransactionError, Val, Value,
};
use madsim::time::sleep;

use crate::sim::site::{PATIENCE, Site, WorkUnderWay, Worker, insist};

const ACCOUNTS: u64 = 8;
const CENTS: u64 = 1_000;
/// Scans during which notes are written.
const LOOKS: usize = 4;

/// No tag: the accounts live on all shards.
fn name(account: u64) -> String {
    format!("branch-{account}")
}

fn key(account: u64) -> String {
    format!("account/{}", name(account))
}

pub async fn prepare(client: &Client, site: &Site<'_>) {
    let component = &site.components["bank"];
    insist(|| client.upload("bank", component.clone())).await;
    for account in 0..ACCOUNTS {
        insist(|| client.put(key(account), CENTS.to_le_bytes())).await;
    }
}

pub fn start(site: &Site<'_>) -> WorkUnderWay {
    let clients = (0..3).map(|_| site.client(work)).collect();
    let check = |client: Client| -> aspen_net::BoxFuture<()> {
        Box::pin(async move {
            let cents = insist(|| audit(&client)).await;
            assert_eq!(cents, ACCOUNTS * CENTS, "money: at the end");
            // In one run of eight, for a minute at rest costs as much as the rest.
            if rand::random_range(0..8) == 0 {
                expire(&client).await;
            }
        })
    };
    WorkUnderWay { clients, check: Box::new(check) }
}

async fn balance(t: &Transaction, account: u64) -> Result<u64, TransactionError> {
    let value = t.get(key(account)).await?.expect("accounts are open");
    Ok(u64::from_le_bytes(value.as_bytes().try_into().expect("a balance has 8 bytes")))
}

/// As [`audit`], by a range of all shards; what it found is written, so that it is a transaction that
/// writes what it read.
async fn audit_range(client: &Client) -> Result<(u64, u64), TransactionError> {
    let audit = client.transact(|t| async move {
        let accounts = t.scan(KeyRange::prefix("account/branch-"), 0).await?;
        let cents = |(_, value): &(Key, Value)| {
            u64::from_le_bytes(value.as_bytes().try_into().expect("a balance has 8 bytes"))
        };
        let sum: u64 = accounts.iter().map(cents).sum();
        t.set("audit", sum.to_le_bytes());
        Ok((sum, accounts.len() as u64))
    });
    Ok(audit.await?.value)
}

/// The sum of all accounts, read at one moment.
async fn audit(client: &Client) -> Result<u64, TransactionError> {
    let audit = client.transact(|t| async move {
        let mut sum = 0;
        for account in 0..ACCOUNTS {
            sum += balance(&t, account).await?;
        }
        Ok(sum)
    });
    Ok(audit.await?.value)
}

async fn work(worker: Worker) {
    let acknowledged = Mutex::default();
    while worker.goes_on().await {
        match rand::random_range(0..10) {
            0 => {
                scan(&worker).await;
                continue;
            }
            1..=2 => {
                notes(&worker, &acknowledged).await;
                continue;
            }
            _ => {}
        }
        if rand::random_range(0..8) == 0 {
            match audit_range(&worker.client).await {
                Ok(seen) => {
                    assert_eq!(seen, (ACCOUNTS * CENTS, ACCOUNTS), "money: seen by a range");
                }
                Err(error) => worker.note(format_args!("audit of a range: {error}")),
            }
            continue;
        }
        if rand::random_range(0..5) == 0 {
            match audit(&worker.client).await {
                Ok(cents) => assert_eq!(cents, ACCOUNTS * CENTS, "money: seen by an audit"),
                Err(error) => worker.note(format_args!("audit: {error}")),
            }
            continue;
        }
        let account = || rand::random_range(0..ACCOUNTS);
        let (from, to, cents) = (account(), account(), rand::random_range(1..CENTS));
        match rand::random_bool(0.5) {
            true => call(&worker, from, to, cents).await,
            false if from != to => transact(&worker, from, to, cents).await,
            false => {}
        }
    }
}

/// An audit by a consistent scan.
async fn scan(worker: &Worker) {
    let options = ScanOptions { one_moment: true, ..ScanOptions::default() };
    match worker.client.scan(KeyRange::prefix("account/branch-"), options).await {
        Ok(items) => {
            let cents = |item: &Item| {
                let value = item.record.value.as_bytes().try_into();
                u64::from_le_bytes(value.expect("a balance has 8 bytes"))
            };
            let seen = (items.iter().map(cents).sum(), items.len() as u64);
            assert_eq!(seen, (ACCOUNTS * CENTS, ACCOUNTS), "money: seen by a scan");
        }
        Err(error) => worker.note(format_args!("scan: {error}")),
    }
}

/// Writes pairs, a second key when the first is acknowledged, while consistent scans look, and
/// transactions that scan. None may
/// see a second without its first, or miss what was acknowledged before it began.
async fn notes(worker: &Worker, acknowledged: &Mutex<Vec<String>>) {
    let is_over = AtomicBool::new(false);
    let write = async {
        while !is_over.load(Ordering::Relaxed) {
            let pair: u64 = rand::random();
            for half in 1..=2 {
                let key = format!("note/{pair:016x}/{half}");
                // Nobody knows if the key exists, so nothing may follow from it.
                if worker.client.put(&key, "").await.is_err() {
                    return;
                }
                acknowledged.lock().expect("nobody panics with it").push(key);
            }
        }
    };
    let look = async {
        for _ in 0..LOOKS {
            let before = acknowledged.lock().expect("nobody panics with it").clone();
            look_at_notes(worker, before).await;
        }
        is_over.store(true, Ordering::Relaxed);
    };
    futures::join!(write, look);
}

async fn look_at_notes(worker: &Worker, acknowledged: Vec<String>) {
    let found = match rand::random_bool(0.5) {
        true => {
            let options = ScanOptions { one_moment: true, ..ScanOptions::default() };
            let scan = worker.client.scan(KeyRange::prefix("note/"), options).await;
            scan.map(|items| items.into_iter().map(|item| item.key).collect())
                .map_err(|error| error.to_string())
        }
        false => {
            let all = worker.client.transact(|t| async move {
                let items = t.scan(KeyRange::prefix("note/"), 0).await?;
                Ok(items.into_iter().map(|(key, _)| key).collect::<Vec<Key>>())
            });
            all.await.map(|all| all.value).map_err(|error| error.to_string())
        }
    };
    let found: Vec<Key> = match found {
        Ok(found) => found,
        Err(error) => return worker.note(format_args!("scan: {error}")),
    };
    let found: BTreeSet<String> = found.iter().map(Key::to_string).collect();
    let missed = acknowledged.iter().find(|key| !found.contains(*key));
    assert_eq!(missed, None, "a scan misses what was acknowledged before it");
    let mut seconds = found.iter().filter_map(|key| key.strip_suffix("/2"));
    let alone = seconds.find(|pair| !found.contains(&format!("{pair}/1")));
    assert_eq!(alone, None, "a scan sees what came later and not what came first");
}

/// A view that nobody reads is closed.
async fn expire(client: &Client) {
    for part in 0..4 {
        let keys = (0..1000).map(|n| format!("{{idle}}/{part}{n:03}"));
        let some = keys.fold(TransactionBuilder::new(), |some, key| some.write(key, ""));
        let some = some.build().expect("within the limits");
        insist(|| client.write(some.clone())).await;
    }
    let options = ScanOptions { one_moment: true, ..ScanOptions::default() };
    let mut scan = insist(|| client.scan_stream(KeyRange::prefix("{idle}/"), options)).await;
    // The first page is asked for already, again and again if it gets lost: so long the view is read.
    sleep(PATIENCE + Duration::from_secs(62)).await;
    // Two pages at most came before.
    let mut found = 0;
    let lost = loop {
        match scan.next_page().await {
            Ok(items) => found += items.expect("views: one stays open").len(),
            Err(error) => break error,
        }
    };
    assert!(matches!(lost, RequestError::ViewLost { .. }) && found <= 2000, "views: {lost}");
}

async fn call(worker: &Worker, from: u64, to: u64, cents: u64) {
    let args = [Val::String(name(from)), Val::String(name(to)), Val::U64(cents)];
    match worker.client.call_across("bank", "transfer", key(from), &args).await {
        Ok(_) => worker.note(format_args!("called {from} to {to} {cents}")),
        // Too few cents, or from an account to itself; or nobody can tell.
        Err(error @ (CallError::Aborted { .. } | CallError::CallRequest { .. })) => {
            worker.note(format_args!("called {from} to {to} {cents}: {error}"));
        }
        Err(error) => panic!("branches: a transfer cannot end so: {error}"),
    }
}

async fn transact(worker: &Worker, from: u64, to: u64, cents: u64) {
    let done = worker.client.transact(|t| async move {
        let (has, had) = (balance(&t, from).await?, balance(&t, to).await?);
        let Some(left) = has.checked_sub(cents) else { return Err(t.give_up("too few cents")) };
        t.set(key(from), left.to_le_bytes());
        t.set(key(to), (had + cents).to_le_bytes());
        Ok(())
    });
    match done.await {
        Ok(_) => worker.note(format_args!("paid {from} to {to} {cents}")),
        Err(error) => worker.note(format_args!("paid {from} to {to} {cents}: {error}")),
    }
}
