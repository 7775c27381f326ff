//! Reads that may be old, on any node.

use std::time::Duration;

use aspen_client::{Client, stale};
use madsim::time::Instant;

use crate::sim::invariants::staleness::Acknowledged;
use crate::sim::site::{Site, WorkUnderWay, Worker, insist};

pub fn start(site: &Site<'_>) -> WorkUnderWay {
    let clients = (0..2).map(|_| site.client(work)).collect();
    let check = |client: Client| -> aspen_net::BoxFuture<()> {
        Box::pin(async move {
            insist(|| client.get("{stale}/any")).await;
        })
    };
    WorkUnderWay { clients, check: Box::new(check) }
}

async fn work(worker: Worker) {
    let key = format!("{{stale}}/{}", worker.number);
    let mut acknowledged = Acknowledged::default();
    let mut number = 0u64;
    while worker.goes_on().await {
        number += 1;
        if worker.client.put(&key, number.to_string()).await.is_ok() {
            acknowledged.note(number);
        }
        for _ in 0..2 {
            let bound = Duration::from_millis([0, 100, 1_000][rand::random_range(0..3)]);
            let begun = Instant::now();
            let Ok(read) = worker.client.read([&key], stale(bound)).await else { continue };
            let found = read.records[0].as_ref().map_or(0, |record| {
                let text = String::from_utf8_lossy(record.value.as_bytes()).into_owned();
                text.parse().expect("a number was written")
            });
            worker.note(format_args!("stale {bound:?}: {found} of {number}"));
            acknowledged.check(begun, bound, found);
        }
    }
}
