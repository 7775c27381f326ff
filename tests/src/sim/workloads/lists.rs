//! Lists that grow at their end, by transactions of several clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aspen_client::{Client, Value};

use crate::sim::invariants::lists::ListTally;
use crate::sim::site::{Site, WorkUnderWay, Worker, insist};

const LISTS: usize = 3;

pub fn start(site: &Site<'_>) -> WorkUnderWay {
    let lists: Vec<ListTally> = (0..LISTS).map(|_| ListTally::default()).collect();
    let next = Arc::new(AtomicU64::new(0));
    let client = |_| {
        let (lists, next) = (lists.clone(), next.clone());
        site.client(move |worker| work(worker, lists, next))
    };
    let clients = (0..3).map(client).collect();
    let check = move |client: Client| -> aspen_net::BoxFuture<()> {
        Box::pin(async move {
            for (number, known) in lists.iter().enumerate() {
                let found = insist(|| client.get(key(number))).await;
                known.check_end(&found.map_or(vec![], |record| elements(&record.value)));
            }
        })
    };
    WorkUnderWay { clients, check: Box::new(check) }
}

fn key(number: usize) -> String {
    format!("{{lists}}/{number}")
}

fn elements(list: &Value) -> Vec<String> {
    let text = String::from_utf8_lossy(list.as_bytes()).into_owned();
    text.split_whitespace().map(String::from).collect()
}

async fn work(worker: Worker, lists: Vec<ListTally>, next: Arc<AtomicU64>) {
    while worker.goes_on().await {
        // Two lists in one transaction: one is read, the other grows.
        let (read, write) = (rand::random_range(0..LISTS), rand::random_range(0..LISTS));
        let element = next.fetch_add(1, Ordering::Relaxed).to_string();
        let done = worker.client.transact(|t| {
            let element = element.clone();
            async move {
                let seen = t.get(key(read)).await?;
                let list = t.get(key(write)).await?;
                let mut longer = list.as_ref().map_or(vec![], elements);
                longer.push(element);
                t.set(key(write), longer.join(" "));
                Ok((seen, longer))
            }
        });
        match done.await {
            Ok(done) => {
                let (seen, longer) = done.value;
                lists[write].acknowledged(&element);
                lists[write].check(&longer);
                if read != write {
                    lists[read].check(&seen.as_ref().map_or(vec![], elements));
                }
                worker.note(format_args!("append {element} to {write} at {}", done.revision));
            }
            Err(error) => worker.note(format_args!("append {element} to {write}: {error}")),
        }
    }
}
