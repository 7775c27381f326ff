//! Queries and dry runs on real clusters: functions answer from the state and do not change the state.

use std::time::Duration;

use aspen_client::{
    CallError, Client, Consistency, GuestFault, Refusal, RequestError, Val, WriteOp, stale,
};
use aspen_core::ids::ShardId;
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::ErrorReply;
use aspen_node::Timing;
use aspen_tests::cluster::Cluster;
use aspen_tests::guests::component;

const SHARDS: u16 = 2;

/// An account whose key is on this shard.
fn account(shard: u16) -> String {
    let router = ShardRouter::new(SHARDS).unwrap();
    let mut names = (0..).map(|n| format!("a{n}"));
    let is_there = |name: &String| router.shard(home(name).as_bytes()) == ShardId::new(shard);
    names.find(is_there).unwrap()
}

fn home(name: &str) -> String {
    format!("account/{name}")
}

/// Three nodes with two accounts of 100 cents on each shard: `ada` and `ben` of the tag, and alone.
async fn bank() -> (Cluster, Client) {
    let cluster = Cluster::with_shards(3, SHARDS, Timing::default()).await;
    let client = cluster.client().await;
    client.upload("bank", component("bank")).await.unwrap();
    for name in ["{t}ada", "{t}ben", &account(0), &account(1)] {
        client.call("bank", "open", home(name), &[name.into(), 100u64.into()]).await.unwrap();
    }
    (cluster, client)
}

async fn balance(client: &Client, name: &str, consistency: Consistency) -> Result<u64, CallError> {
    let reply = client.query("bank", "balance", home(name), &[name.into()], consistency).await?;
    let Some(Val::U64(cents)) = reply.value else { panic!("{:?}", reply.value) };
    Ok(cents)
}

/// Applied entries of all replicas.
async fn entries(cluster: &Cluster, client: &Client) -> u64 {
    let status = client.status().await;
    assert_eq!(status.len(), cluster.servers.len());
    let shards = status.iter().flat_map(|node| &node.1.as_ref().unwrap().shards);
    shards.map(|shard| shard.last.get()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_query_reads_what_was_written_and_leaves_no_entry() {
    let (cluster, client) = bank().await;
    let transfer = [Val::from("{t}ada"), "{t}ben".into(), 30u64.into()];
    for moved in 1..=3 {
        client.call("bank", "transfer", home("{t}ada"), &transfer).await.unwrap();
        let left = balance(&client, "{t}ada", Consistency::Linearizable).await.unwrap();
        assert_eq!(left, 100 - moved * 30);
    }
    let before = entries(&cluster, &client).await;
    for _ in 0..20 {
        let has = balance(&client, "{t}ben", Consistency::Linearizable).await.unwrap();
        assert_eq!(has, 190);
        // Any replica may answer, but none with something older than that.
        let has = balance(&client, "{t}ben", stale(Duration::from_secs(60))).await.unwrap();
        assert!([100, 130, 160, 190].contains(&has), "{has}");
    }
    // 40 queries; an election leaves an entry on each replica.
    assert!(entries(&cluster, &client).await - before < 20);

    let lean = balance(&client, "nobody", Consistency::Linearizable).await.unwrap_err();
    assert!(matches!(lean, CallError::Aborted { error: Some(Val::String(_)), .. }), "{lean}");
    let writes = [Val::from("{t}ben"), "{t}ada".into(), 30u64.into()];
    let linearizable = Consistency::Linearizable;
    let query = client.query("bank", "transfer", home("{t}ben"), &writes, linearizable).await;
    let Err(CallError::CallRequest {
        source: RequestError::Refused { refused: ErrorReply::QueryWrites { key } },
    }) = query
    else {
        panic!("{query:?}")
    };
    assert_eq!(key.to_string(), home("{t}ada"), "the first in order of keys");
    let none = client.query("bank", "nothing", "k", &[], linearizable).await.unwrap_err();
    assert!(matches!(none, CallError::CallRefusal { refusal: Refusal::FunctionUnknown }), "{none}");
    let none = client.query("none", "nothing", "k", &[], linearizable).await.unwrap_err();
    assert!(
        matches!(none, CallError::CallRefusal { refusal: Refusal::ComponentUnknown }),
        "{none}"
    );
    let (near, far) = (account(0), account(1));
    let args = [Val::from(far.as_str())];
    let foreign = client.query("bank", "balance", home(&near), &args, linearizable).await;
    let foreign = foreign.unwrap_err();
    let CallError::Faulted { fault: GuestFault::WrongShard { key, .. }, .. } = &foreign else {
        panic!("{foreign}")
    };
    assert_eq!(key.to_string(), home(&far));
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_dry_run_tells_what_the_call_then_does() {
    let (cluster, client) = bank().await;
    let args = [Val::from("{t}ada"), "{t}ben".into(), 30u64.into()];
    let tried = client.dry_run("bank", "transfer", home("{t}ada"), &args).await.unwrap();
    for name in ["{t}ada", "{t}ben"] {
        assert_eq!(client.get(home(name)).await.unwrap().unwrap().version.get(), 1);
    }
    let reads: Vec<_> = tried.did.reads.iter().map(|(key, n)| (key.to_string(), n.get())).collect();
    assert_eq!(reads, [(home("{t}ada"), 1), (home("{t}ben"), 1)]);
    assert_eq!((tried.did.more_reads, tried.did.log.len()), (0, 0));
    let trial = tried.reply.unwrap();
    let done = client.call("bank", "transfer", home("{t}ada"), &args).await.unwrap();
    assert_eq!(done, trial, "result, fuel, writes and revision");
    for write in &tried.did.writes {
        let WriteOp::Set { key, value, .. } = write else { panic!("{write:?}") };
        let record = client.get(key.as_bytes()).await.unwrap().unwrap();
        assert_eq!((&record.value, record.version.get()), (value, 2), "{key}");
        assert_eq!(record.mod_revision, trial.revision);
    }
    let args = [Val::from("{t}ada"), "{t}ben".into(), 1000u64.into()];
    let tried = client.dry_run("bank", "transfer", home("{t}ada"), &args).await.unwrap();
    assert!(matches!(tried.reply, Err(CallError::Aborted { .. })), "{:?}", tried.reply);
    assert_eq!((tried.did.reads.len(), tried.did.writes.len()), (1, 0));
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_query_never_misses_a_transaction_across_shards_that_was_acknowledged() {
    let (cluster, client) = bank().await;
    let [a, b] = [0, 1].map(account);
    let args = [Val::from(a.as_str()), b.as_str().into(), 1u64.into()];
    for moved in 1..=60u64 {
        // Answered when it is decided: on one of the shards what is locked is still the old.
        client.call_across("bank", "transfer", home(&a), &args).await.unwrap();
        let linearizable = Consistency::Linearizable;
        let both = (balance(&client, &a, linearizable), balance(&client, &b, linearizable));
        let (left, has) = tokio::join!(both.0, both.1);
        assert_eq!((left.unwrap(), has.unwrap()), (100 - moved, 100 + moved));
    }
    client.close().await;
    cluster.stop().await;
}
