//! A name changes its component, and a mark on another shard says so afterwards, while calls across shards
//! use both.
//!
//! ```text
//! name    bank ............... | purchases ................ | bank ...
//! mark    0    | 1 ....... | 0 |      0     | 2 ....... | 0 |  0  | 1
//! ```
//!
//! No call may run the bank, the only one that can tell the mark, and find a 2.

use aspen_client::{CallError, Client, Val, WriteError};
use aspen_core::{ComponentHash, Refusal, ShardRouter};
use futures::future::join_all;

use super::{Site, Started, Worker, insist};

const NAME: &str = "acting";
/// An account whose cents are the mark.
const MARK: &str = "mark";
const NONE: u64 = 0;
const BANK: u64 = 1;
const PURCHASES: u64 = 2;

/// Calls of a client at a time.
const CALLS: usize = 8;

fn mark_key() -> String {
    format!("account/{MARK}")
}

/// A key of the shard that hears of a change last, so that the mark follows at once.
fn key(shards: u16) -> String {
    let router = ShardRouter::new(shards).expect("a plan has shards");
    let last = router.all().last().expect("there are shards");
    let mut keys = (0..).map(|n| format!("acting-{n}"));
    keys.find(|key| router.shard(key.as_bytes()) == last).expect("every shard has keys")
}

pub async fn prepare(client: &Client, site: &Site<'_>) {
    for (name, component) in
        [("spare-bank", "bank"), ("spare-purchases", "purchases"), (NAME, "bank")]
    {
        insist(|| client.upload(name, site.components[component].clone())).await;
    }
    insist(|| mark(client, NONE)).await;
}

pub fn start(site: &Site<'_>) -> Started {
    let hash = |name: &str| ComponentHash::of(&site.components[name]);
    let (bank, purchases) = (hash("bank"), hash("purchases"));
    let changes = site.client(move |worker| async move {
        // What nobody can tell may still come, and then nothing follows from it.
        if let Err(error) = change(&worker, bank, purchases).await {
            worker.note(format_args!("change: {error}"));
        }
    });
    let shards = site.plan.shards;
    let calls = || site.client(move |worker| work(worker, key(shards)));
    let clients = vec![changes, calls(), calls()];
    let check = move |client: Client| -> aspen_net::BoxFuture<()> {
        Box::pin(async move {
            insist(|| client.point(NAME, bank)).await;
            let args = [Val::String(MARK.into())];
            insist(|| client.call_across(NAME, "balance", key(shards), &args)).await;
        })
    };
    Started { clients, check: Box::new(check) }
}

/// A put that comes late would undo what follows; a transaction finds then that it is late.
async fn mark(client: &Client, mark: u64) -> Result<(), aspen_client::TransactionError> {
    let done = client.transact(|t| async move {
        t.get(mark_key()).await?;
        t.set(mark_key(), mark.to_le_bytes());
        Ok(())
    });
    done.await.map(|_| ())
}

async fn change(
    worker: &Worker,
    bank: ComponentHash,
    purchases: ComponentHash,
) -> Result<(), WriteError> {
    let client = &worker.client;
    while worker.goes_on().await {
        for (component, says) in [(purchases, PURCHASES), (bank, BANK)] {
            insist(|| mark(client, NONE)).await;
            client.point(NAME, component).await?;
            insist(|| mark(client, says)).await;
            worker.note(format_args!("marked {says}"));
        }
    }
    Ok(())
}

async fn work(worker: Worker, key: String) {
    while worker.goes_on().await {
        join_all((0..CALLS).map(|_| call(&worker, &key))).await;
    }
}

async fn call(worker: &Worker, key: &str) {
    let args = [Val::String(MARK.into())];
    match worker.client.call_across(NAME, "balance", key, &args).await {
        Ok(reply) => {
            let found = reply.value;
            worker.note(format_args!("found {found:?}"));
            let late = Some(Val::U64(PURCHASES));
            assert_ne!(found, late, "versions: a call ran what its name did not mean any more");
        }
        // Purchases have no balance.
        Err(CallError::CallRefusal { refusal: Refusal::FunctionUnknown }) => {}
        Err(error @ CallError::CallRequest { .. }) => worker.note(format_args!("call: {error}")),
        Err(error) => panic!("versions: a call cannot end so: {error}"),
    }
}
