//! A golden folder in use: the store goes on where the earlier build left it, and stops, and opens again.
//!
//! Promises that leases, sessions, uploads, schedules and functions of the folder work, each once with
//! the clock as it was and once after their time. Leaves out whether all is there (`reading.rs`).

use std::path::Path;

use aspen_client::{Lease, Val};
use aspen_core::ids::{ComponentHash, Name, ShardId};
use aspen_core::protocol::{Command, Outcome};
use aspen_core::refusal::Refusal;

use crate::content::{
    BASE, BEFORE, DAY, PAIRS, SCHEDULE_AFTER, SHARDS, TOLD, account, bank, part, tags, told,
    transfer,
};
use crate::maker::Kind;
use crate::reading;
use crate::store::{NO_SNAPSHOTS, Store, until};

/// Uses what is in the folder, closes it, and opens it twice more: as it was, and as programs open it.
pub async fn goes_on(store: Store, path: &Path, kind: Kind) {
    let client = &store.client;
    if kind == Kind::Interrupted {
        for n in 0..PAIRS {
            whole_pair(&store, n).await;
        }
    }
    keeps_alive(&store).await;
    finishes_upload(&store).await;
    runs_schedule(&store).await;
    for verified in client.verify().await.unwrap() {
        assert!(verified.is_equal(), "{verified:?}");
    }
    expires(&store).await;
    store.set_clock(BEFORE);
    let before = reading::content(&store, true).await;
    store.close().await;
    let store = Store::open(path, BEFORE, NO_SNAPSHOTS).await;
    crate::assert_same("opened again", &before, &reading::content(&store, true).await);
    store.close().await;

    let store = aspen_node::open_sharded(path, SHARDS).await.unwrap();
    for tag in tags() {
        let record = store.client().get(format!("{tag}small/0")).await.unwrap().unwrap();
        assert_eq!(record.value.as_bytes(), b"version 4");
        store.client().put(format!("{tag}small/0"), "by this build").await.unwrap();
    }
    store.close().await;
}

/// Both keys of a pair have one value, or neither exists.
async fn whole_pair(store: &Store, n: usize) {
    let mut values = vec![];
    for tag in tags() {
        let record = store.client.get(format!("{tag}across/{n}")).await.unwrap();
        values.push(record.map(|record| record.value));
    }
    assert!(values.iter().all(|value| *value == values[0]), "pair {n}: {values:?}");
}

async fn keeps_alive(store: &Store) {
    for tag in tags() {
        let record = store.client.get(format!("{tag}leased/0")).await.unwrap().unwrap();
        let lease = Lease { shard: store.node.router().shard(tag.as_bytes()), id: record.lease };
        let due = store.client.keep_alive(lease).await.unwrap();
        assert!((BASE + DAY..BASE + 2 * DAY).contains(&due.get()), "{due}");
    }
}

async fn finishes_upload(store: &Store) {
    let component = ComponentHash::of(&bank(3));
    let whole = Outcome::PartStored { bytes: bank(3).len() as u64 };
    assert_eq!(store.request(TOLD + 2, part(false)).await, whole);
    let finish = Command::FinishUpload { name: Name::new("parts").unwrap(), component };
    assert_eq!(store.request(TOLD + 3, finish).await, Outcome::Uploaded { component });
    store.client.call("parts", "touch", &tags()[0], &[]).await.unwrap();
}

async fn balance(store: &Store, tag: &str, name: &str) -> u64 {
    let reply = store.client.call("bank", "balance", tag, &[account(tag, name)]).await.unwrap();
    match reply.value {
        Some(Val::U64(cents)) => cents,
        other => panic!("{other:?}"),
    }
}

/// The schedule moves one cent, once its time has come.
async fn runs_schedule(store: &Store) {
    for tag in tags() {
        transfer(store, &tag, 2).await;
        assert_eq!(balance(store, &tag, "ada").await + balance(store, &tag, "ben").await, 100);
    }
    let mut before = vec![];
    for tag in tags() {
        before.push(balance(store, &tag, "ben").await);
    }
    store.set_clock(BASE + SCHEDULE_AFTER + 1);
    until("the schedules run", async || {
        let all = store.client.schedules().await.unwrap();
        all.len() == tags().len() && all.iter().all(|(_, schedule)| schedule.runs == 1)
    })
    .await;
    for (tag, before) in tags().iter().zip(before) {
        assert_eq!(balance(store, tag, "ben").await, before + 1);
    }
}

/// After three days the lease is over and the session too; a longer time to live is not.
async fn expires(store: &Store) {
    store.set_clock(BASE + 3 * DAY);
    for tag in tags() {
        let leased = format!("{tag}leased/1");
        until("the lease ends", async || store.client.get(&leased).await.unwrap().is_none()).await;
        assert!(store.client.get(format!("{tag}fading")).await.unwrap().is_some());
    }
    let unknown = Outcome::Refused(Refusal::SessionUnknown);
    assert_eq!(store.request(TOLD, told(TOLD)).await, unknown);
    let shard = ShardId::new(0);
    assert_eq!(store.node.shard_status(shard).unwrap().failed, None);
}
