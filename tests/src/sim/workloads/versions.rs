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
use aspen_core::ids::ComponentHash;
use aspen_core::placement::ShardRouter;
use aspen_core::refusal::Refusal;
use futures::future::join_all;

use crate::sim::site::{Site, WorkUnderWay, Worker, insist};

const NAME: &str = "acting";
/// An account whose cents are the mark, and one that has none.
const MARK: &str = "mark";
const OTHER: &str = "other";
const NONE: u64 = 0;
const BANK: u64 = 1;
const PURCHASES: u64 = 2;

/// Calls of a client at a time.
const CALLS: usize = 8;

fn account_key(account: &str) -> String {
    format!("account/{account}")
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
    for account in [MARK, OTHER] {
        insist(|| client.put(account_key(account), NONE.to_le_bytes())).await;
    }
}

pub fn start(site: &Site<'_>) -> WorkUnderWay {
    let hash = |name: &str| ComponentHash::of(&site.components[name]);
    let (bank, purchases) = (hash("bank"), hash("purchases"));
    let changes = site.client(move |worker| async move {
        // A change of unknown outcome may still come; then nothing follows from later calls.
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
    WorkUnderWay { clients, check: Box::new(check) }
}

async fn change(
    worker: &Worker,
    bank: ComponentHash,
    purchases: ComponentHash,
) -> Result<(), WriteError> {
    let client = &worker.client;
    let mark = |mark: u64| client.put(account_key(MARK), mark.to_le_bytes());
    while worker.goes_on().await {
        for (component, says) in [(purchases, PURCHASES), (bank, BANK)] {
            mark(NONE).await?;
            client.point(NAME, component).await?;
            mark(says).await?;
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

/// Reads the mark, alone or after another account, which takes longer.
async fn call(worker: &Worker, key: &str) {
    let client = &worker.client;
    let called = match rand::random_bool(0.5) {
        true => client.call_across(NAME, "balance", key, &[MARK.into()]).await,
        false => {
            let nothing = [OTHER.into(), MARK.into(), 0u64.into()];
            client.call_across(NAME, "transfer", key, &nothing).await
        }
    };
    let found = match called {
        Ok(reply) => match reply.value {
            Some(Val::U64(mark)) => mark,
            Some(Val::Record(balances)) => match balances[..] {
                [_, (_, Val::U64(mark))] => mark,
                ref other => panic!("versions: {other:?}"),
            },
            other => panic!("versions: {other:?}"),
        },
        // Purchases have no such functions.
        Err(CallError::CallRefusal { refusal: Refusal::FunctionUnknown }) => return,
        Err(error @ CallError::CallRequest { .. }) => {
            return worker.note(format_args!("call: {error}"));
        }
        Err(error) => panic!("versions: a call cannot end so: {error}"),
    };
    worker.note(format_args!("found {found}"));
    assert_ne!(found, PURCHASES, "versions: a call ran what its name did not mean any more");
}
