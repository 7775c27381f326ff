//! One interface: the same code works with a cluster's client, with a node of it in this process, and
//! with a node that is alone.

use aspen_client::{KeyRange, KeyValueStore, ScanOptions, Transact, Val, Value, WriteOp};
use aspen_core::key::Key;
use aspen_node::Timing;
use aspen_tests::cluster::Cluster;
use aspen_tests::guests;

/// Uses the store as any application could, and leaves nothing behind.
async fn use_it(store: &impl KeyValueStore, name: &str) {
    let key = |n: u32| format!("{name}/{n:02}").into_bytes();
    for n in 0..20 {
        assert_eq!(store.put(&key(n), b"1").await.unwrap().version.get(), 1);
    }
    assert_eq!(store.get(&key(3)).await.unwrap().unwrap().value.as_bytes(), b"1");
    assert_eq!(store.get(&key(99)).await.unwrap(), None);
    // Twenty keys without a tag live on all the shards there are.
    let set = |n| WriteOp::set(Key::new(key(n)).unwrap(), Value::try_from("2").unwrap());
    let all = Transact::writes((0..20).map(set));
    assert_eq!(store.write(all).await.unwrap().results.len(), 20);
    let range = KeyRange::prefix(format!("{name}/"));
    let items = store.scan(range.clone(), ScanOptions::default()).await.unwrap();
    let found: Vec<_> = items.iter().map(|item| item.key.as_bytes().to_vec()).collect();
    assert_eq!(found, (0..20).map(key).collect::<Vec<_>>());
    assert!(items.iter().all(|item| item.record.version.get() == 2));
    let (account, key_of) = (format!("{{{name}}}"), format!("account/{{{name}}}"));
    let args: [Val; 2] = [account.as_str().into(), 70u64.into()];
    store.call("bank", "open", key_of.as_bytes(), &args).await.unwrap();
    let balance = store.call("bank", "balance", key_of.as_bytes(), &args[..1]).await.unwrap();
    assert_eq!(balance.value, Some(Val::U64(70)));
    for n in 0..20 {
        store.delete(&key(n)).await.unwrap();
    }
    store.delete(key_of.as_bytes()).await.unwrap();
    assert_eq!(store.scan(range, ScanOptions::default()).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn key_value_store_is_one_far_away_and_at_hand() {
    // Five nodes, three replicas: no node has all shards.
    let cluster = Cluster::with_shards(5, 4, Timing::default()).await;
    let client = cluster.client().await;
    client.upload("bank", guests::component("bank")).await.unwrap();
    use_it(&client, "far").await;
    for server in cluster.servers.iter().flatten() {
        let node = server.node();
        use_it(&**node, &format!("at {}", node.id())).await;
    }
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn key_value_store_is_one_alone_too() {
    let dir = tempfile::tempdir().unwrap();
    let store = aspen_node::open(dir.path()).await.unwrap();
    store.client().upload("bank", guests::component("bank")).await.unwrap();
    use_it(&**store.node(), "alone").await;
    store.close().await;
}
