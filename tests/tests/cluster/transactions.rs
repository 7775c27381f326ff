//! Transactions, leases and reads of every consistency, as clients use them on real clusters and
//! on an embedded node.

use std::collections::BTreeSet;
use std::time::Duration;

use aspen_client::{
    Client, Consistency, Expectation, Expiry, KeyRange, OperationResult, Options, Refusal,
    RequestError, Revision, ScanOptions, ScanToken, ScanTokenError, Ticket, TransactionBuilder,
    TransactionError, TransactionOutcome, WriteError, after, stale,
};
use aspen_core::limits::TXN_OPS_MAX;
use aspen_tests::cluster::{Cluster, pause};
use tokio::task::JoinSet;

fn number(value: &[u8]) -> u64 {
    u64::from_le_bytes(value.try_into().unwrap())
}

async fn get(client: &Client, key: &str) -> Option<u64> {
    client.get(key).await.unwrap().map(|record| number(record.value.as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_transaction_in_a_chain_commits_or_names_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    let store = aspen_node::open(dir.path()).await.unwrap();
    let client = store.client();
    client.put("a", "1").await.unwrap();
    let seen = client.get("a").await.unwrap();
    let transfer = || client.transaction().read("a", &seen).absent("b").write("b", "1").delete("a");
    let TransactionOutcome::Committed(committed) = transfer().commit().await.unwrap() else {
        panic!("nothing changed in between")
    };
    assert_eq!((committed.revision.get(), committed.results.len()), (2, 2));
    let TransactionOutcome::Conflict { keys, revision } = transfer().commit().await.unwrap() else {
        panic!("both keys changed")
    };
    assert_eq!(revision, committed.revision);
    let names: Vec<_> = keys.iter().map(|key| key.to_string()).collect();
    assert_eq!(
        names,
        [
            "key a: expected mod revision 1, is absent",
            "key b: expected absent, is version 1 of mod revision 2"
        ]
    );
    let present = keys[1].record.as_ref().unwrap();
    assert_eq!(present.value.as_bytes(), b"1");
    // The records that came with the conflict are enough for the next attempt.
    let again = client.transaction().read("b", present).write("b", "2").commit().await.unwrap();
    assert!(matches!(again, TransactionOutcome::Committed(_)));
    // The builder's command goes through `write` as well.
    let command = TransactionBuilder::new().read("b", 2).write("b", "3").build().unwrap();
    assert!(client.write(command).await.unwrap().succeeded);
    let long = client.transaction().write("k".repeat(1025), "").commit().await.unwrap_err();
    assert_eq!(long.to_string(), "key is 1025 bytes, allowed are 1 to 1024");
    let range = client.transaction().unchanged(.., committed.revision).write("c", "");
    assert!(matches!(range.commit().await.unwrap(), TransactionOutcome::Conflict { .. }));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_closures_that_conflict_lose_nothing() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let mut tasks = JoinSet::new();
    for n in 0..16u64 {
        let client = client.clone();
        tasks.spawn(async move {
            for _ in 0..10 {
                let done = client.transact(|t| async move {
                    let read = |value: Option<aspen_client::Value>| {
                        value.map_or(0, |value| number(value.as_bytes()))
                    };
                    let (all, own) = (read(t.get("all").await?), read(t.get(n.to_string()).await?));
                    t.set("all", (all + 1).to_le_bytes());
                    t.set(n.to_string(), (own + 1).to_le_bytes());
                    assert_eq!(read(t.get("all").await?), all + 1, "it sees its own writes");
                    Ok(all + 1)
                });
                done.await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(get(&client, "all").await, Some(160));
    let all = client.get("all").await.unwrap().unwrap();
    assert_eq!(all.version.get(), 160, "each increment once");
    for n in 0..16 {
        assert_eq!(get(&client, &n.to_string()).await, Some(10));
    }
    cluster.equal_digests().await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_closure_reads_one_view_and_is_told_what_it_may_not() {
    let dir = tempfile::tempdir().unwrap();
    let store = aspen_node::open(dir.path()).await.unwrap();
    let client = store.client();
    for key in ["p/1", "p/2", "p/3"] {
        client.put(key, key).await.unwrap();
    }
    a_change_is_noticed_at_the_next_read(&client).await;
    a_conflict_is_not_mixed_with_later_reads(&client).await;
    a_scan_sees_own_writes_and_phantoms(&client).await;
    giving_up_writes_nothing(&client).await;
    store.close().await;
}

async fn a_change_is_noticed_at_the_next_read(client: &Client) {
    // The first attempt reads p/1, then somebody changes it: the second read notices at once.
    let meanwhile = client.clone();
    let done = client.transact(|t| {
        let meanwhile = meanwhile.clone();
        async move {
            let first = t.get("p/1").await?.map(|value| value.as_bytes().to_vec());
            if first.as_deref() == Some(b"p/1") {
                meanwhile.put("p/1", "changed").await.unwrap();
                let error = t.get("p/2").await.unwrap_err();
                assert!(matches!(error, TransactionError::Changed));
                return Err(error);
            }
            t.get("p/2").await?;
            t.set("seen", first.unwrap());
            Ok(())
        }
    });
    assert_eq!(done.await.unwrap().attempts, 2);
    assert_eq!(client.get("seen").await.unwrap().unwrap().value.as_bytes(), b"changed");
}

async fn a_conflict_is_not_mixed_with_later_reads(client: &Client) {
    // The records of a conflict are not mixed with those that are read later.
    let meanwhile = client.clone();
    let done = client.transact(|t| {
        let meanwhile = meanwhile.clone();
        async move {
            if meanwhile.get("turn").await.unwrap().is_none() {
                t.get("p/1").await?;
                meanwhile.put("turn", "1").await.unwrap();
                meanwhile.put("p/1", "first").await.unwrap();
                t.set("x", "");
                return Ok(vec![]);
            }
            t.get("p/2").await?;
            meanwhile.put("p/1", "second").await.unwrap();
            Ok(t.get("p/1").await?.unwrap().as_bytes().to_vec())
        }
    });
    let done = done.await.unwrap();
    assert_eq!((done.attempts, done.value), (2, b"second".to_vec()));
}

async fn a_scan_sees_own_writes_and_phantoms(client: &Client) {
    // A scan sees the transaction's own writes, and a phantom ends the attempt.
    let meanwhile = client.clone();
    let done = client.transact(|t| {
        let meanwhile = meanwhile.clone();
        async move {
            t.delete("p/2");
            t.set("p/9", "own");
            let found = t.scan(KeyRange::prefix("p/"), 0).await?;
            let keys: Vec<String> = found.iter().map(|(key, _)| key.to_string()).collect();
            if keys.len() == 3 {
                assert_eq!(keys, ["p/1", "p/3", "p/9"]);
                meanwhile.put("p/4", "phantom").await.unwrap();
            }
            t.set("sum", keys.len().to_string());
            assert_eq!(t.scan("p/3".."p/9", 1).await?.len(), 1);
            Ok(())
        }
    });
    assert_eq!(done.await.unwrap().attempts, 2);
    assert_eq!(client.get("sum").await.unwrap().unwrap().value.as_bytes(), b"4");
}

async fn giving_up_writes_nothing(client: &Client) {
    // Giving up writes nothing; bad keys and values are reported at the end.
    let gave_up = client.transact(|t| async move {
        t.set("never", "x");
        Err::<(), _>(t.give_up("no money"))
    });
    assert_eq!(gave_up.await.unwrap_err().to_string(), "no money");
    let bad = client.transact(|t| async move {
        t.set("", "x");
        Ok(())
    });
    assert_eq!(bad.await.unwrap_err().to_string(), "key is 0 bytes, allowed are 1 to 1024");
    assert!(client.get("never").await.unwrap().is_none());
    let nothing = client.transact(|_| async { Ok(7) }).await.unwrap();
    assert_eq!(nothing.value, 7);
    let many = client.transact(|t| async move {
        (0..=TXN_OPS_MAX).for_each(|n| t.set(n.to_string(), ""));
        Ok(())
    });
    let many = many.await.unwrap_err().to_string();
    assert_eq!(many, "transaction has 1025 operations, limit is 1024");
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_leases_end_by_the_leaders_entries() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let hour = Duration::from_secs(3600);
    let lease = client.grant_lease("a", hour).await.unwrap();
    client.put_expiring("a", "x", lease.into()).await.unwrap();
    let info = client.lease(lease).await.unwrap().unwrap();
    assert_eq!((info.ttl_ms, info.keys.len()), (3_600_000, 1));
    assert!((1..=3_600_000).contains(&info.left_ms));
    assert_eq!(client.get("a").await.unwrap().unwrap().lease, lease.id);
    client.keep_alive(lease).await.unwrap();
    assert_eq!(client.revoke_lease(lease).await.unwrap(), 1);
    assert!(client.get("a").await.unwrap().is_none());
    let gone = client.keep_alive(lease).await.unwrap_err();
    assert!(
        matches!(gone, WriteError::Refusal { refusal: Refusal::LeaseUnknown { lease: l } } if l == lease.id)
    );
    assert!(client.lease(lease).await.unwrap().is_none());
    // Nobody writes: the leader itself proposes the end.
    client.put_expiring("b", "x", after(Duration::from_millis(1))).await.unwrap();
    while client.get("b").await.unwrap().is_some() {
        pause().await;
    }
    let zero = client.put_expiring("c", "x", Expiry::After(0)).await.unwrap_err();
    assert!(zero.to_string().starts_with("time to live is 0 ms"), "{zero}");
    cluster.equal_digests().await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_stale_read_is_bounded_and_needs_no_leader() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    client.put("a", "1").await.unwrap();
    let follower = (cluster.leader().await + 1) % 3;
    let ticket: Ticket = cluster.ticket().parse().unwrap();
    let node = ticket.nodes()[follower];
    let one = Ticket::new(ticket.cluster(), vec![node], ticket.secret().cloned()).unwrap();
    let limit = Duration::from_secs(5);
    let options = Options { limit, attempt: limit };
    let near = Client::connect_with(&one, options).await.unwrap();
    // Age 0 asks the leader each time: it sees what was acknowledged before.
    for n in 0..20 {
        client.put("a", n.to_string()).await.unwrap();
        let read = near.read(["a", "b"], stale(Duration::ZERO)).await.unwrap();
        let value = read.records[0].as_ref().unwrap().value.clone();
        assert_eq!(value.as_bytes(), n.to_string().as_bytes());
        assert_eq!(read.records[1], None);
    }
    for other in (0..3).filter(|other| *other != follower) {
        cluster.stop_node(other).await;
    }
    // Alone, the follower still answers from what it has, as long as the bound allows.
    let hour = stale(Duration::from_secs(3600));
    let read = near.read(["a"], hour).await.unwrap();
    assert_eq!(read.records[0].as_ref().unwrap().value.as_bytes(), b"19");
    let options = ScanOptions { consistency: hour, ..ScanOptions::default() };
    assert_eq!(near.scan(.., options).await.unwrap().len(), 1);
    for consistency in [Consistency::Linearizable, stale(Duration::ZERO)] {
        let error = near.read(["a"], consistency).await.unwrap_err();
        assert!(matches!(error, RequestError::Unreachable { .. }), "{error}");
    }
    near.close().await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_scan_goes_on_by_token() {
    let dir = tempfile::tempdir().unwrap();
    let store = aspen_node::open(dir.path()).await.unwrap();
    let client = store.client();
    let pairs: Vec<String> = (0..1_500).map(|n| format!("k{n:04}")).collect();
    for part in pairs.chunks(500) {
        let built = part.iter().fold(TransactionBuilder::new(), |t, key| t.write(key, "v"));
        let results = client.write(built.build().unwrap()).await.unwrap().results;
        assert!(matches!(results[0], OperationResult::Written { .. }));
    }
    for reverse in [false, true] {
        let options = ScanOptions { limit: 7, reverse, ..ScanOptions::default() };
        let mut page = client.scan_page("k1".."k14", options).await.unwrap();
        let mut found = vec![];
        loop {
            found.extend(page.items.iter().map(|item| item.key.to_string()));
            let Some(next) = page.next else { break };
            // A token is text that may be kept.
            let token: ScanToken = next.to_string().parse().unwrap();
            page = client.scan_on(&token, options).await.unwrap();
        }
        let mut want = pairs[1_000..1_400].to_vec();
        if reverse {
            want.reverse();
        }
        assert_eq!(found, want);
        let keys: BTreeSet<_> = found.iter().collect();
        assert_eq!(keys.len(), 400);
    }
    let foreign = ScanToken::new(7, KeyRange::all(), false);
    let error = client.scan_on(&foreign, ScanOptions::default()).await.unwrap_err();
    assert!(error.to_string().contains("of cluster"), "{error}");
    assert_eq!("scan1-00".parse::<ScanToken>(), Err(ScanTokenError::Damaged));
    // Values that would not fit into one answer are refused, and can be read one by one.
    let large: Vec<String> = (0..5).map(|n| format!("large/{n}")).collect();
    for key in &large {
        client.put(key, vec![7; 1 << 20]).await.unwrap();
    }
    let all = client.read(&large, Consistency::Linearizable).await.unwrap_err().to_string();
    assert_eq!(all, "the keys hold more than 4194304 bytes, read fewer");
    assert_eq!(client.read(&large[..3], Consistency::Linearizable).await.unwrap().records.len(), 3);
    // A bad range in a transaction's read set is refused by the first that sees it.
    let inverted = client.transact(|t| async move {
        t.scan("b".."a", 0).await?;
        t.get("k0001").await
    });
    let inverted = inverted.await.unwrap();
    assert!(inverted.value.is_some(), "a range without keys reads nothing");
    let none = client.read(Vec::<&str>::new(), Consistency::Linearizable).await.unwrap_err();
    assert_eq!(none.to_string(), "the request is empty");
    let future = Expectation::ModRevision(Revision::new(99));
    let future = client.transaction().read("k0000", future);
    let future = future.delete("k0000").commit().await.unwrap();
    assert!(matches!(future, TransactionOutcome::Conflict { .. }), "never so: a conflict");
    store.close().await;
}
