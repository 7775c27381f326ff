//! Keys with leases: kept alive for a while, then left to themselves.

use std::time::Duration;

use aspen_client::{Client, Expiry, Lease, Operation, OperationResult, Timestamp, WriteOp};
use aspen_core::key::{Key, Value};
use aspen_core::transaction::Transact;

use crate::sim::invariants::leases;
use crate::sim::site::{Site, WorkUnderWay, Worker, insist};

pub fn start(site: &Site<'_>) -> WorkUnderWay {
    let clients = (0..2).map(|_| site.client(work)).collect();
    let check = |client: Client| -> aspen_net::BoxFuture<()> {
        Box::pin(async move {
            // All leases end within seconds of entry time, which goes on by itself.
            insist(|| client.get("{lease}/any")).await;
        })
    };
    WorkUnderWay { clients, check: Box::new(check) }
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

async fn work(worker: Worker) {
    // A key of its own for each turn: the fate of an earlier key is not always known.
    for turn in 0.. {
        if !worker.goes_on().await {
            return;
        }
        let key = format!("{{lease}}/{}/{turn}", worker.number);
        keep(&worker, &key).await;
        // Not known, and not waited for: the lease takes the key with it.
        let _ = worker.client.delete(&key).await;
    }
}

/// One lease with one key, as long as everything about it is known.
async fn keep(worker: &Worker, key: &str) {
    let ttl = millis([300, 1_000, 3_000][rand::random_range(0..3)]);
    let Ok(lease) = worker.client.grant_lease(key, ttl).await else { return };
    let Some(mut due) = attach(&worker.client, key, lease).await else { return };
    worker.note(format_args!("lease {} until {due}", lease.id));
    for _ in 0..rand::random_range(0..6) {
        if !worker.goes_on().await {
            return;
        }
        let Ok(later) = worker.client.keep_alive(lease).await else { return };
        due = later;
        look(worker, key, due).await;
    }
    for _ in 0..3 {
        look(worker, key, due).await;
        madsim::time::sleep(ttl / 2).await;
    }
}

/// Attaches the key to the lease; until when the lease runs, if both are certain.
async fn attach(client: &Client, key: &str, lease: Lease) -> Option<Timestamp> {
    let key = Key::try_from(key).expect("the key is short");
    let value = Value::try_from("here").expect("the value is short");
    let set = WriteOp::Set { key, value, expiry: Expiry::Lease(lease.id) };
    let then = vec![Operation::KeepAlive(lease.id), Operation::Write(set)];
    let committed = client.write(Transact { then, ..Transact::default() }).await.ok()?;
    match committed.results[0] {
        OperationResult::KeptAlive { due } => Some(due),
        _ => panic!("leases: a keep-alive was answered otherwise"),
    }
}

/// Reads the key by an entry of the log, which tells its time.
async fn look(worker: &Worker, key: &str, due: Timestamp) {
    let get = Operation::Get(Key::try_from(key).expect("the key is short"));
    let transact = Transact { then: vec![get], ..Transact::default() };
    let Ok(committed) = worker.client.write(transact).await else { return };
    let is_there = match &committed.results[0] {
        OperationResult::Got(record) => record.is_some(),
        _ => panic!("leases: a get was answered otherwise"),
    };
    worker.note(format_args!("at {}, due {due}: is there {is_there}", committed.time));
    leases::check(key, is_there, committed.time, due);
}
