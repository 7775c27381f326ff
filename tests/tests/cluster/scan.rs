//! Scans over several shards of real clusters: order, limits, tokens, and views of one moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aspen_client::{
    Client, Invalid, Item, KeyRange, RequestError, ScanOptions, ScanToken, TransactionBuilder,
    TransactionError, stale,
};
use aspen_core::ids::ShardId;
use aspen_core::placement::ShardRouter;
use aspen_node::Timing;
use aspen_tests::cluster::{Cluster, pause};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use tokio::task::JoinSet;

/// The records that the pages of a shard and of a scan must show.
type Model = BTreeMap<Vec<u8>, Vec<u8>>;

async fn cluster(shards: u16) -> (Cluster, Client) {
    let cluster = Cluster::with_shards(3, shards, Timing::default()).await;
    let client = cluster.client().await;
    (cluster, client)
}

/// Writes keys of all lengths and shards, some of which share tags.
async fn fill(client: &Client, count: usize) -> Model {
    let mut model = Model::new();
    for n in 0..count {
        let key = match n % 4 {
            0 => format!("k{n:05}"),
            1 => format!("{{{}}}/{n}", n % 7),
            2 => format!("k{n:05}/{}", "x".repeat(n % 40)),
            _ => format!("m{}", n * 7919 % 1000),
        };
        model.insert(key.into_bytes(), format!("value {n}").into_bytes());
    }
    let pairs: Vec<_> = model.iter().collect();
    let mut writes = JoinSet::new();
    for part in pairs.chunks(8) {
        for (key, value) in part {
            let (client, key, value) = (client.clone(), (*key).clone(), (*value).clone());
            writes.spawn(async move { client.put(key, value).await.map(drop) });
        }
        while let Some(written) = writes.join_next().await {
            written.unwrap().unwrap();
        }
    }
    model
}

fn expected(model: &Model, range: &KeyRange, reverse: bool, limit: usize) -> Vec<Vec<u8>> {
    let inside = model.keys().filter(|key| range.contains(key)).cloned();
    let mut keys: Vec<Vec<u8>> = inside.collect();
    if reverse {
        keys.reverse();
    }
    keys.truncate(if limit == 0 { usize::MAX } else { limit });
    keys
}

fn keys(items: &[Item]) -> Vec<Vec<u8>> {
    items.iter().map(|item| item.key.as_bytes().to_vec()).collect()
}

/// A scan in any of its forms.
#[derive(Clone, Debug)]
struct Asked {
    start: String,
    end: Option<String>,
    reverse: bool,
    limit: usize,
    one_moment: bool,
    page: usize,
}

fn asked() -> impl Strategy<Value = Asked> {
    let bound = || prop_oneof!["[km{][0-9]{0,3}", Just(String::new())];
    let end = proptest::option::of("[kmz{][0-9]{0,3}");
    let limit = prop_oneof![Just(0usize), 1..40usize, Just(5000)];
    (bound(), end, any::<bool>(), limit, any::<bool>(), 1..60usize).prop_map(
        |(start, end, reverse, limit, one_moment, page)| Asked {
            start,
            end,
            reverse,
            limit,
            one_moment,
            page,
        },
    )
}

async fn check(client: &Client, model: &Model, asked: &Asked) {
    let Asked { reverse, limit, one_moment, .. } = *asked;
    let end = asked.end.clone().map(Into::into);
    let range = KeyRange { start: asked.start.clone().into(), end };
    let options = ScanOptions { reverse, limit, one_moment, ..ScanOptions::default() };
    let want = expected(model, &range, reverse, limit);
    let found = client.scan(range.clone(), options).await.unwrap();
    assert_eq!(keys(&found), want, "{asked:?}");
    assert!(found.iter().all(|item| model[item.key.as_bytes()] == item.record.value.as_bytes()));
    // In pages, by tokens that went through text.
    let (mut found, mut left) = (vec![], want.len());
    let page = |left: usize| ScanOptions { limit: asked.page.min(left.max(1)), ..options };
    let mut next = client.scan_page(range.clone(), page(left)).await.unwrap();
    loop {
        assert!(next.items.len() <= asked.page);
        left -= next.items.len().min(left);
        found.extend(keys(&next.items));
        let Some(token) = next.next.filter(|_| left > 0) else { break };
        let token: ScanToken = token.to_string().parse().unwrap();
        next = client.scan_on(&token, page(left)).await.unwrap();
    }
    found.truncate(want.len());
    assert_eq!(found, want, "{asked:?}");
}

#[test]
fn cluster_scan_is_in_order_over_any_number_of_shards() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for shards in [1, 3, 8] {
        let (cluster, client) = runtime.block_on(cluster(shards));
        let model = runtime.block_on(fill(&client, 600));
        let rng_seed = RngSeed::Fixed(u64::from(shards));
        let config = Config { cases: 40, rng_seed, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new(config);
        let ran = runner.run(&asked(), |asked| {
            runtime.block_on(check(&client, &model, &asked));
            Ok(())
        });
        ran.unwrap();
        runtime.block_on(async {
            nothing_held(&cluster, shards).await;
            client.close().await;
            cluster.stop().await;
        });
    }
}

/// Waits until no node holds a view.
async fn nothing_held(cluster: &Cluster, shards: u16) {
    for server in cluster.servers.iter().flatten() {
        for shard in 0..shards {
            let end = tokio::time::Instant::now() + Duration::from_secs(60);
            while let Some(held) = server.node().held(ShardId::new(shard)).await
                && held.views > 0
            {
                assert!(tokio::time::Instant::now() < end, "{held:?}");
                pause().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_scan_holds_large_values_page_by_page_and_keys_alone() {
    let (cluster, client) = cluster(3).await;
    for n in 0..12 {
        client.put(format!("large{n:02}"), vec![n; 700_000]).await.unwrap();
    }
    let scan = client.scan_stream(KeyRange::prefix("large"), ScanOptions::default());
    let mut scan = scan.await.unwrap();
    let mut found = 0;
    while let Some(items) = scan.next_page().await.unwrap() {
        assert!(items.len() <= 2, "a page is a megabyte, and what passes it");
        for item in items {
            assert_eq!(item.record.value.as_bytes(), vec![found; 700_000]);
            found += 1;
        }
    }
    assert_eq!((found, scan.token()), (12, None));
    let options = ScanOptions { keys_only: true, ..ScanOptions::default() };
    let all = client.scan(.., options).await.unwrap();
    assert!(all.len() == 12 && all.iter().all(|item| item.record.value.as_bytes().is_empty()));
    // A token of another cluster, and options that exclude each other.
    let foreign = ScanToken::new(7, KeyRange::all(), false);
    for error in [
        client.scan_on(&foreign, ScanOptions::default()).await.unwrap_err(),
        client.scan_stream_on(&foreign, ScanOptions::default()).await.err().unwrap(),
    ] {
        assert!(
            matches!(error, RequestError::Invalid { source: Invalid::Token { .. } }),
            "{error}"
        );
    }
    let consistency = stale(Duration::from_secs(1));
    let options = ScanOptions { one_moment: true, consistency, ..ScanOptions::default() };
    let error = client.scan(.., options).await.unwrap_err();
    assert_eq!(error.to_string(), "a consistent scan cannot be stale");
    client.close().await;
    cluster.stop().await;
}

const ACCOUNTS: usize = 24;
const EACH: u64 = 100;

fn account(n: usize) -> String {
    format!("account/{n}")
}

async fn balance(t: &aspen_client::Transaction, n: usize) -> Result<u64, TransactionError> {
    let value = t.get(account(n)).await?.expect("accounts are open");
    Ok(u64::from_le_bytes(value.as_bytes().try_into().unwrap()))
}

/// Moves money between accounts of all shards until told to stop; how many transfers there were.
fn transfers(client: &Client, stop: &Arc<AtomicBool>) -> JoinSet<u64> {
    let mut workers = JoinSet::new();
    for worker in 0..4usize {
        let (client, stop) = (client.clone(), stop.clone());
        workers.spawn(async move {
            let mut moved = 0;
            while !stop.load(Ordering::SeqCst) {
                let n = moved as usize;
                let (from, to) = ((worker + n) % ACCOUNTS, (worker + 5 * n + 1) % ACCOUNTS);
                moved += 1;
                if from == to {
                    continue;
                }
                let done = client.transact(|t| async move {
                    let (has, had) = (balance(&t, from).await?, balance(&t, to).await?);
                    t.set(account(from), has.saturating_sub(3).to_le_bytes());
                    t.set(account(to), (had + has.min(3)).to_le_bytes());
                    Ok(())
                });
                done.await.unwrap();
            }
            moved
        });
    }
    workers
}

fn sum(items: &[Item]) -> u64 {
    let value = |item: &Item| u64::from_le_bytes(item.record.value.as_bytes().try_into().unwrap());
    items.iter().map(value).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_scan_consistent_sees_every_transfer_whole_while_leaders_change() {
    let (mut cluster, client) = cluster(3).await;
    let opened = (0..ACCOUNTS)
        .fold(TransactionBuilder::new(), |opened, n| opened.write(account(n), EACH.to_le_bytes()));
    client.write(opened.build().unwrap()).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = transfers(&client, &stop);
    let options = ScanOptions { one_moment: true, ..ScanOptions::default() };
    let mut last = None;
    for round in 0..30 {
        if round % 10 == 9 {
            let leader = cluster.leader().await;
            cluster.stop_node(leader).await;
            cluster.start_node(leader).await;
        }
        let mine = client.put("mine", [round]).await.unwrap();
        // A view may be lost with its node: then it is taken again.
        let found = loop {
            match client.scan(.., options).await {
                Ok(found) => break found,
                Err(RequestError::ViewLost { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        };
        let (accounts, others): (Vec<Item>, Vec<Item>) =
            found.into_iter().partition(|item| item.key.as_bytes().starts_with(b"account/"));
        assert_eq!(accounts.len(), ACCOUNTS);
        assert_eq!(sum(&accounts), ACCOUNTS as u64 * EACH, "round {round}");
        // It has what was acknowledged before, and never less than an earlier one had.
        assert_eq!(others[0].record.mod_revision, mine.revision);
        let revisions: Vec<_> = accounts.iter().map(|item| item.record.mod_revision).collect();
        if let Some(last) = last.replace(revisions.clone()) {
            assert!(revisions.iter().zip(&last).all(|(now, before)| now >= before));
        }
    }
    stop.store(true, Ordering::SeqCst);
    while let Some(moved) = workers.join_next().await {
        assert!(moved.unwrap() > 0, "transfers went on");
    }
    nothing_held(&cluster, 3).await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_scan_consistent_stays_at_its_moment_until_it_is_dropped() {
    let (cluster, client) = cluster(3).await;
    for n in 0..3000 {
        if n % 100 == 0 {
            let keys = n..n + 100;
            let some =
                keys.fold(TransactionBuilder::new(), |t, n| t.write(format!("k{n:04}"), "1"));
            client.write(some.build().unwrap()).await.unwrap();
        }
    }
    let options = ScanOptions { one_moment: true, ..ScanOptions::default() };
    let mut whole = client.scan_stream(.., options).await.unwrap();
    let tagged = KeyRange::prefix("{k}/");
    client.put("{k}/1", "1").await.unwrap();
    let mut one = client.scan_stream(tagged.clone(), options).await.unwrap();
    // Everything changes, and is written to the files below.
    for n in 0..3000 {
        if n % 100 == 0 {
            let keys = n..n + 100;
            let some =
                keys.fold(TransactionBuilder::new(), |t, n| t.write(format!("k{n:04}"), "2"));
            client.write(some.build().unwrap()).await.unwrap();
        }
    }
    client.delete("{k}/1").await.unwrap();
    client.put("{k}/2", "2").await.unwrap();
    let mut found = vec![];
    while let Some(items) = whole.next_page().await.unwrap() {
        found.extend(items);
    }
    assert_eq!(found.len(), 3000);
    assert!(found.iter().all(|item| item.record.value.as_bytes() == b"1"));
    let items = one.next_page().await.unwrap().unwrap();
    assert_eq!(keys(&items), [b"{k}/1".to_vec()]);
    // One that is at its end was closed; the others are when they are dropped.
    let half = client.scan_stream(.., options).await.unwrap();
    drop((half, one));
    nothing_held(&cluster, 3).await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_scan_consistent_is_lost_with_the_node_that_holds_its_view() {
    let (mut cluster, client) = cluster(3).await;
    let keys = || (0..9000).map(|n| format!("k{n:04}")).collect::<Vec<_>>();
    for part in keys().chunks(500) {
        let some = part.iter().fold(TransactionBuilder::new(), |t, key| t.write(key, "1"));
        client.write(some.build().unwrap()).await.unwrap();
    }
    let options = ScanOptions { one_moment: true, ..ScanOptions::default() };
    let mut scan = client.scan_stream(.., options).await.unwrap();
    let first = scan.next_page().await.unwrap().unwrap();
    let leader = cluster.leader().await;
    cluster.stop_node(leader).await;
    let mut found = first.len();
    let lost = loop {
        match scan.next_page().await {
            Ok(Some(items)) => found += items.len(),
            Ok(None) => panic!("{found} entries without the node that led shard 0"),
            Err(error) => break error,
        }
    };
    assert!(matches!(lost, RequestError::ViewLost { .. }), "{lost}");
    assert!(lost.to_string().contains("start the scan again"), "{lost}");
    // It stays lost, also when the node is back; its token goes on at another moment.
    cluster.start_node(leader).await;
    assert!(matches!(scan.next_page().await, Err(RequestError::ViewLost { .. })));
    let rest = client.scan_stream_on(&scan.token().unwrap(), options).await;
    let mut rest = rest.unwrap();
    while let Some(items) = rest.next_page().await.unwrap() {
        found += items.len();
    }
    assert_eq!(found, 9000);
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_scan_consistent_views_are_bounded() {
    let (cluster, client) = cluster(2).await;
    let options = ScanOptions { one_moment: true, ..ScanOptions::default() };
    client.put("k", "v").await.unwrap();
    let mut open = vec![];
    for _ in 0..16 {
        open.push(client.scan_stream(.., options).await.unwrap());
    }
    let limit = Duration::from_millis(500);
    let hasty = aspen_client::Options { limit, ..aspen_client::Options::default() };
    let hasty = cluster.client_with(hasty).await;
    let error = hasty.scan(.., options).await.unwrap_err();
    assert!(error.to_string().contains("too many consistent scans"), "{error}");
    // Other reads and writes do not mind.
    assert_eq!(client.scan(.., ScanOptions::default()).await.unwrap().len(), 1);
    client.put("k", "w").await.unwrap();
    open.clear();
    assert_eq!(client.scan(.., options).await.unwrap().len(), 1);
    let router = ShardRouter::new(2).unwrap();
    assert_eq!(router.range_shard(&KeyRange::all()), None);
    hasty.close().await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_scan_of_an_embedded_store_spans_its_shards() {
    let dir = tempfile::tempdir().unwrap();
    let store = aspen_node::open_sharded(dir.path(), 2).await.unwrap();
    let model = fill(&store.client(), 100).await;
    store.close().await;
    // One that is there keeps the number of shards that it was created with.
    let store = aspen_node::open(dir.path()).await.unwrap();
    assert_eq!(store.node().router().shards(), 2);
    for one_moment in [false, true] {
        let options = ScanOptions { one_moment, ..ScanOptions::default() };
        let found = store.client().scan(.., options).await.unwrap();
        assert_eq!(keys(&found), expected(&model, &KeyRange::all(), false, 0));
    }
    assert!(aspen_node::open_sharded(dir.path().join("new"), 300).await.is_err());
    store.close().await;
}
