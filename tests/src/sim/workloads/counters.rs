//! Counters, each incremented by one client alone: by put, whose version counts, and by a function.

use std::collections::BTreeMap;

use aspen_client::{CallError, Client, Val, WriteError};

use crate::sim::invariants::acknowledged::Tally;
use crate::sim::site::{Site, WorkUnderWay, Worker, insist};

const CLIENTS: u8 = 3;
/// The amount that the functions take from: more than a run can move.
const CENTS: u64 = 1 << 40;

pub async fn prepare(client: &Client, site: &Site<'_>) {
    let component = &site.components["bank"];
    insist(|| client.upload("counter", component.clone())).await;
    for slot in 0..CLIENTS {
        for (account, cents) in [("source", CENTS), ("sum", 0)] {
            let args = [Val::String(account_name(slot, account)), Val::U64(cents)];
            while let Err(error) = client.call("counter", "open", tag(slot), &args).await {
                if matches!(error, CallError::Aborted { .. }) {
                    break;
                }
            }
        }
    }
}

fn tag(slot: u8) -> String {
    format!("{{counter{slot}}}")
}

fn account_name(slot: u8, account: &str) -> String {
    format!("{}/{account}", tag(slot))
}

fn put_key(slot: u8) -> String {
    format!("{}/puts", tag(slot))
}

fn sum_key(slot: u8) -> String {
    format!("account/{}", account_name(slot, "sum"))
}

pub fn start(site: &Site<'_>) -> WorkUnderWay {
    let (mut clients, mut tallies) = (vec![], BTreeMap::new());
    for slot in 0..CLIENTS {
        let (puts, calls) = (Tally::default(), Tally::default());
        tallies.insert(slot, (puts.clone(), calls.clone()));
        clients.push(site.client(move |worker| work(worker, slot, puts, calls)));
    }
    let check = move |client: Client| -> aspen_net::BoxFuture<()> {
        Box::pin(async move {
            for (slot, (puts, calls)) in tallies {
                insist(|| look(&client, slot, &puts, &calls)).await;
            }
        })
    };
    WorkUnderWay { clients, check: Box::new(check) }
}

/// Reads both counters. The put one's value, version and count must be one.
async fn look(
    client: &Client,
    slot: u8,
    puts: &Tally,
    calls: &Tally,
) -> Result<(), aspen_client::RequestError> {
    let found = client.get(put_key(slot)).await?;
    puts.check(&put_key(slot), found.map_or(0, |record| record.version.get()));
    let sum = client.get(sum_key(slot)).await?.expect("the account is open");
    let cents = u64::from_le_bytes(sum.value.as_bytes().try_into().expect("8 bytes"));
    // The function wrote the account once when it was opened.
    assert_eq!(sum.version.get(), cents + 1, "acknowledged: versions count writes");
    calls.check(&sum_key(slot), cents);
    Ok(())
}

async fn work(worker: Worker, slot: u8, puts: Tally, calls: Tally) {
    while worker.goes_on().await {
        match rand::random_range(0..8) {
            0 => {
                // No answer says nothing.
                let _ = look(&worker.client, slot, &puts, &calls).await;
            }
            1..5 => {
                puts.sent();
                match worker.client.put(put_key(slot), "x").await {
                    Ok(written) => {
                        puts.acknowledged();
                        puts.check(&put_key(slot), written.version.get());
                        worker.note(format_args!("put {slot}: {}", written.version));
                    }
                    Err(WriteError::Request { .. }) => worker.note("put: unknown"),
                    Err(error) => panic!("counters: a put cannot end so: {error}"),
                }
            }
            _ => {
                calls.sent();
                let account = |account| Val::String(account_name(slot, account));
                let args = [account("source"), account("sum"), Val::U64(1)];
                match worker.client.call("counter", "transfer", tag(slot), &args).await {
                    Ok(reply) => {
                        calls.acknowledged();
                        worker.note(format_args!("call {slot} at {}", reply.revision));
                    }
                    Err(CallError::CallRequest { .. }) => worker.note("call: unknown"),
                    Err(error) => panic!("counters: a call cannot end so: {error}"),
                }
            }
        }
    }
}
