//! A bank: transfers as function calls and as transactions on the same accounts.

use aspen_client::{CallError, Client, KeyRange, ScanOptions, TransactionError, Val};

use crate::sim::invariants::money;
use crate::sim::site::{Site, WorkUnderWay, Worker, insist};

/// One tag: all accounts live on one shard.
const TAG: &str = "{bank}";
const ACCOUNTS: u64 = 6;
const CENTS: u64 = 1_000;

pub async fn prepare(client: &Client, site: &Site<'_>) {
    let component = &site.components["bank"];
    insist(|| client.upload("bank", component.clone())).await;
    for account in 0..ACCOUNTS {
        let args = [Val::String(name(account)), Val::U64(CENTS)];
        // A repeat after a lost session finds the account open.
        while let Err(error) = client.call("bank", "open", TAG, &args).await {
            if matches!(error, CallError::Aborted { .. }) {
                break;
            }
        }
    }
}

pub fn start(site: &Site<'_>) -> WorkUnderWay {
    let clients = (0..3).map(|_| site.client(work)).collect();
    let check = |client: Client| -> aspen_net::BoxFuture<()> {
        Box::pin(async move {
            let accounts = insist(|| audit(&client)).await;
            money::check(&accounts, ACCOUNTS * CENTS);
        })
    };
    WorkUnderWay { clients, check: Box::new(check) }
}

fn name(number: u64) -> String {
    format!("{TAG}/{number}")
}

fn key(number: u64) -> String {
    format!("account/{}", name(number))
}

async fn audit(client: &Client) -> Result<Vec<aspen_client::Item>, aspen_client::RequestError> {
    client.scan(KeyRange::prefix(format!("account/{TAG}")), ScanOptions::default()).await
}

async fn work(worker: Worker) {
    while worker.goes_on().await {
        let account = || rand::random_range(0..ACCOUNTS);
        let (from, to, cents) = (account(), account(), rand::random_range(1..CENTS));
        match rand::random_range(0..10) {
            0 | 1 => {
                if let Ok(accounts) = audit(&worker.client).await {
                    money::check(&accounts, ACCOUNTS * CENTS);
                }
            }
            2..6 => call(&worker, from, to, cents).await,
            _ if from == to => {}
            _ => transact(&worker, from, to, cents).await,
        }
    }
}

async fn call(worker: &Worker, from: u64, to: u64, cents: u64) {
    let args = [Val::String(name(from)), Val::String(name(to)), Val::U64(cents)];
    match worker.client.call("bank", "transfer", TAG, &args).await {
        Ok(reply) => worker.note(format_args!("call {from} to {to} {cents} at {}", reply.revision)),
        // Too few cents, or from an account to itself; or nobody can tell.
        Err(error @ (CallError::Aborted { .. } | CallError::CallRequest { .. })) => {
            worker.note(format_args!("call {from} to {to} {cents}: {error}"));
        }
        Err(error) => panic!("bank: a transfer cannot end so: {error}"),
    }
}

async fn transact(worker: &Worker, from: u64, to: u64, cents: u64) {
    let done = worker.client.transact(|t| async move {
        let read = async |number| {
            let value = t.get(key(number)).await?.expect("accounts are open");
            let bytes = value.as_bytes().try_into().expect("a balance has 8 bytes");
            Ok::<u64, TransactionError>(u64::from_le_bytes(bytes))
        };
        let (has, had) = (read(from).await?, read(to).await?);
        let Some(left) = has.checked_sub(cents) else { return Err(t.give_up("too few cents")) };
        t.set(key(from), left.to_le_bytes());
        t.set(key(to), (had + cents).to_le_bytes());
        Ok(())
    });
    match done.await {
        Ok(done) => worker.note(format_args!("moved {from} to {to} {cents} at {}", done.revision)),
        Err(error) => worker.note(format_args!("moved {from} to {to} {cents}: {error}")),
    }
}
