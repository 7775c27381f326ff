//! Transactions across shards on real clusters: all shards or none, exactly once, nothing locked.

use std::collections::BTreeSet;
use std::time::Duration;

use aspen_client::{
    CallError, Client, GuestFault, KeyRange, OperationResult, Options, Read, Refusal, ScanOptions,
    TransactionError, TransactionOutcome, Val, Value, WriteCommand, WriteError, WriteOp, after,
};
use aspen_core::ids::{Revision, ShardId};
use aspen_core::key::Key;
use aspen_core::placement::ShardRouter;
use aspen_core::transaction::{Expectation, Operation, Transact};
use aspen_node::Timing;
use aspen_tests::cluster::{Cluster, pause};
use aspen_tests::guests::component;
use tokio::task::JoinSet;

const SHARDS: u16 = 3;

/// A key of this shard.
fn key(shard: u16, name: &str) -> String {
    let mut keys = (0..).map(|n| format!("{name}{n}"));
    keys.find(|key| router().shard(key.as_bytes()) == ShardId::new(shard)).unwrap()
}

fn router() -> ShardRouter {
    ShardRouter::new(SHARDS).unwrap()
}

async fn cluster() -> (Cluster, Client) {
    let cluster = Cluster::with_shards(3, SHARDS, Timing::default()).await;
    let client = cluster.client().await;
    (cluster, client)
}

async fn text(client: &Client, key: &str) -> Option<String> {
    let record = client.get(key).await.unwrap()?;
    Some(String::from_utf8_lossy(record.value.as_bytes()).into_owned())
}

/// Waits until no replica has locks, or decisions that not every shard knows of.
async fn nothing_locked(cluster: &Cluster) {
    for server in cluster.servers.iter().flatten() {
        for shard in 0..SHARDS {
            let node = server.node();
            let end = tokio::time::Instant::now() + Duration::from_secs(60);
            while let Some(held) = node.held(ShardId::new(shard)).await
                && (held.prepared, held.commits) != (0, 0)
            {
                assert!(tokio::time::Instant::now() < end, "{held:?}");
                pause().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_across_shards_commits_everywhere_or_names_every_conflict() {
    let (cluster, client) = cluster().await;
    let [a, b, c] = [0, 1, 2].map(|shard| key(shard, "k"));
    let put = client.transaction().write(&a, "1").write(&b, "1").absent(&c);
    let TransactionOutcome::Committed(done) = put.commit().await.unwrap() else { panic!() };
    assert_eq!(done.results.len(), 2);
    let seen = client.get(&a).await.unwrap();
    client.put(&a, "2").await.unwrap();
    let late = client.transaction().read(&a, &seen).absent(&b).write(&c, "1");
    let TransactionOutcome::Conflict { keys, .. } = late.commit().await.unwrap() else { panic!() };
    let names: Vec<String> = keys.iter().map(|conflict| conflict.key.to_string()).collect();
    assert_eq!(names, [a.clone(), b.clone()]);
    assert_eq!(keys[0].record.as_ref().unwrap().value.as_bytes(), b"2");
    assert_eq!(text(&client, &c).await, None);

    // The other branch, with results in the order of the operations.
    let to_key = |text: &str| Key::try_from(text).unwrap();
    let set = |key: &str| WriteOp::set(to_key(key), Value::try_from("3").unwrap()).into();
    let either = Transact {
        reads: vec![Read::key(to_key(&c), Expectation::Version(aspen_core::ids::Version::new(9)))],
        then: vec![],
        otherwise: Some(vec![set(&c), Operation::Get(to_key(&a)), set(&b)]),
        return_values: false,
    };
    let done = client.write(either).await.unwrap();
    assert!(!done.succeeded);
    let [OperationResult::Written { version: of_c }, OperationResult::Got(Some(got)), of_b] =
        &done.results[..]
    else {
        panic!("{:?}", done.results)
    };
    assert_eq!((of_c.get(), got.value.as_bytes()), (1, &b"2"[..]));
    assert_eq!(*of_b, OperationResult::Written { version: aspen_core::ids::Version::new(2) });

    let lease = client.grant_lease(&a, Duration::from_secs(60)).await.unwrap();
    let on_lease = client.transaction().write_expiring(&a, "x", lease.into()).write(&b, "x");
    let refused = on_lease.commit().await.unwrap_err();
    let WriteError::Refusal { refusal: Refusal::LeaseAcrossShards } = refused else {
        panic!("{refused}")
    };
    let ttl = after(Duration::from_secs(60));
    let timed = client.transaction().write_expiring(&a, "t", ttl).write(&b, "t");
    assert!(matches!(timed.commit().await.unwrap(), TransactionOutcome::Committed(_)));
    nothing_locked(&cluster).await;
    client.close().await;
    cluster.stop().await;
}

async fn balance(t: &aspen_client::Transaction, key: &str) -> Result<u64, TransactionError> {
    let value = t.get(key).await?.expect("accounts are open");
    Ok(String::from_utf8_lossy(value.as_bytes()).parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_across_shards_transfers_keep_the_sum_while_a_leader_restarts() {
    let (mut cluster, client) = cluster().await;
    let accounts: Vec<String> = (0..6).map(|n| key(n % SHARDS, &format!("account{n}/"))).collect();
    for account in &accounts {
        client.put(account, "100").await.unwrap();
    }
    let mut workers = JoinSet::new();
    for worker in 0..4usize {
        let (client, accounts) = (client.clone(), accounts.clone());
        workers.spawn(async move {
            for n in 0..40 {
                let (from, to) = (&accounts[(worker + n) % 6], &accounts[(worker + 2 * n + 1) % 6]);
                if from == to {
                    continue;
                }
                let moved = client.transact(|t| async move {
                    let (has, had) = (balance(&t, from).await?, balance(&t, to).await?);
                    t.set(from, (has.saturating_sub(1)).to_string());
                    t.set(to, (had + has.min(1)).to_string());
                    Ok(())
                });
                moved.await.unwrap();
            }
        });
    }
    let audit = async || {
        let sum = client.transact(|t| {
            let accounts = accounts.clone();
            async move {
                let mut sum = 0;
                for account in &accounts {
                    sum += balance(&t, account).await?;
                }
                Ok(sum)
            }
        });
        sum.await.unwrap().value
    };
    for _ in 0..2 {
        assert_eq!(audit().await, 600);
        let leader = cluster.leader().await;
        cluster.stop_node(leader).await;
        cluster.start_node(leader).await;
    }
    while let Some(done) = workers.join_next().await {
        done.unwrap();
    }
    assert_eq!(audit().await, 600);
    nothing_locked(&cluster).await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_across_shards_is_done_once_however_often_it_is_asked_for() {
    let (cluster, client) = cluster().await;
    let keys: Vec<Key> =
        (0..SHARDS).map(|shard| Key::try_from(key(shard, "n").as_str()).unwrap()).collect();
    let command = || {
        let value = || Value::try_from("x").unwrap();
        let write_set = keys.iter().map(|key| WriteOp::set(key.clone(), value())).collect();
        WriteCommand::OptimisticTransaction { read_set: vec![], write_set }
    };
    // The time that it takes here, on any machine.
    let mut took = vec![];
    for _ in 0..15 {
        let begun = tokio::time::Instant::now();
        client.write(command()).await.unwrap();
        took.push(begun.elapsed());
    }
    took.sort();
    // A client that does not wait that long asks again and again under the same request id.
    let options = Options { attempt: took[took.len() / 2], ..Options::default() };
    let hasty = cluster.client_with(Options { limit: Duration::from_secs(60), ..options }).await;
    for n in took.len() as u64 + 1..took.len() as u64 + 30 {
        hasty.write(command()).await.unwrap();
        for key in &keys {
            let record = client.get(key.as_bytes()).await.unwrap().unwrap();
            assert_eq!(record.version.get(), n, "{key}");
        }
    }
    nothing_locked(&cluster).await;
    hasty.close().await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_across_shards_a_function_is_called_as_on_one() {
    let (cluster, client) = cluster().await;
    client.upload("bank", component("bank")).await.unwrap();
    let account = |shard: u16| key(shard, "account/").trim_start_matches("account/").to_string();
    let [a, b, c] = [0, 1, 2].map(account);
    let home = |name: &str| format!("account/{name}");
    let call = async |function: &str, near: &str, args: &[Val]| {
        client.call_across("bank", function, home(near), args).await
    };
    for name in [&a, &b, &c] {
        call("open", name, &[name.as_str().into(), 100u64.into()]).await.unwrap();
    }
    let args =
        |from: &str, to: &str, cents: u64| -> [Val; 3] { [from.into(), to.into(), cents.into()] };
    let foreign = client.call("bank", "transfer", home(&a), &args(&a, &b, 1)).await.unwrap_err();
    let CallError::Faulted { fault: GuestFault::WrongShard { key, .. }, .. } = &foreign else {
        panic!("{foreign}")
    };
    assert_eq!(key.to_string(), home(&b));
    let done = call("transfer", &c, &args(&a, &b, 30)).await.unwrap();
    assert_eq!(done.writes, 2, "whoever coordinates: its shard need not be touched");
    let poor = call("transfer", &a, &args(&a, &b, 71)).await.unwrap_err();
    assert!(matches!(poor, CallError::Aborted { .. }), "{poor}");
    let none = call("nothing", &a, &[]).await.unwrap_err();
    let CallError::CallRefusal { refusal: Refusal::FunctionUnknown } = none else {
        panic!("{none}")
    };

    // Many at once, of a client that asks again and again: each is done once.
    let options = Options { attempt: Duration::from_millis(20), ..Options::default() };
    let hasty = cluster.client_with(Options { limit: Duration::from_secs(60), ..options }).await;
    let mut workers = JoinSet::new();
    for (from, to) in [(&a, &b), (&b, &c), (&c, &a)] {
        let (hasty, near, args) = (hasty.clone(), home(from), args(from, to, 1));
        workers.spawn(async move {
            for _ in 0..15 {
                hasty.call_across("bank", "transfer", &near, &args).await.unwrap();
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done.unwrap();
    }
    let mut balances = vec![];
    for name in [&a, &b, &c] {
        let record = client.get(home(name)).await.unwrap().unwrap();
        balances.push(u64::from_le_bytes(record.value.as_bytes().try_into().unwrap()));
    }
    assert_eq!(balances, [70, 130, 100]);
    nothing_locked(&cluster).await;
    hasty.close().await;
    client.close().await;
    cluster.stop().await;
}

/// Workers write as long as a range of all shards has too few keys: none of them may miss a key that
/// another wrote, though each writes another one.
#[tokio::test(flavor = "multi_thread")]
async fn cluster_across_shards_a_range_is_read_with_its_absent_keys() {
    const WANTED: usize = 6;
    let (cluster, client) = cluster().await;
    let mut workers = JoinSet::new();
    for worker in 0..5 {
        let client = client.clone();
        workers.spawn(async move {
            for n in 0.. {
                let done = client.transact(|t| async move {
                    let found = t.scan(KeyRange::prefix("seat/"), 0).await?;
                    if found.len() < WANTED {
                        t.set(format!("seat/{worker}-{n}"), "taken");
                    }
                    Ok(found.len())
                });
                if done.await.unwrap().value >= WANTED {
                    return;
                }
            }
        });
    }
    while let Some(done) = workers.join_next().await {
        done.unwrap();
    }
    let taken = client.scan(KeyRange::prefix("seat/"), ScanOptions::default()).await.unwrap();
    assert_eq!(taken.len(), WANTED);
    let shards: BTreeSet<ShardId> =
        taken.iter().map(|item| router().shard(item.key.as_bytes())).collect();
    assert!(shards.len() > 1, "they live on several shards");

    // In order, with own writes among them, and no more than wanted.
    let names: Vec<String> = taken.iter().map(|item| item.key.to_string()).collect();
    let names = &names;
    let seen = client.transact(|t| async move {
        t.delete(&names[0]);
        t.set("seat/!", "own");
        let some = t.scan(KeyRange::prefix("seat/"), 4).await?;
        let all = t.scan(KeyRange::prefix("seat/"), 0).await?;
        assert_eq!(some[..], all[..4]);
        Ok(all.into_iter().map(|(key, _)| key.to_string()).collect::<Vec<_>>())
    });
    let own = ["seat/!".to_string()];
    assert_eq!(seen.await.unwrap().value, [&own[..], &names[1..]].concat());
    nothing_locked(&cluster).await;
    client.close().await;
    cluster.stop().await;
}

/// Two customers on two shards buy in turns, the second when the first is acknowledged: a function that adds up
/// all customers sees that.
#[tokio::test(flavor = "multi_thread")]
async fn cluster_across_shards_a_function_reads_a_range_of_all_shards_at_one_moment() {
    let (cluster, client) = cluster().await;
    client.upload("purchases", component("purchases")).await.unwrap();
    let customer = |shard: u16| {
        let mut numbers = (0..).map(|n: u32| n.to_string());
        let is_there = |number: &String| {
            router().shard(format!("{{{number}}}").as_bytes()) == ShardId::new(shard)
        };
        numbers.find(is_there).unwrap()
    };
    let buyers = [(customer(2), 1_000u64), (customer(0), 1)];
    let buying = {
        let (client, buyers) = (client.clone(), buyers.clone());
        tokio::spawn(async move {
            for _ in 0..40 {
                for (number, cents) in &buyers {
                    let args =
                        [number.as_str().into(), "1997-01-01".into(), Val::U32(1), (*cents).into()];
                    let key = format!("{{{number}}}");
                    client.call("purchases", "record-purchase", key, &args).await.unwrap();
                }
            }
        })
    };
    let cents_of = |reply: &aspen_client::CallReply| {
        let Some(Val::Record(fields)) = &reply.value else { panic!("{reply:?}") };
        let (_, Val::U64(cents)) = &fields[2] else { panic!("{fields:?}") };
        *cents
    };
    let args = [Val::from("")];
    let mut last = 0;
    loop {
        let is_over = buying.is_finished();
        let all = client.call_across("purchases", "totals-of-all", "{x}", &args).await.unwrap();
        let cents = cents_of(&all);
        assert!(cents >= last, "it saw less than before");
        let (first, second) = (cents / 1_000, cents % 1_000);
        assert!(first == second || first == second + 1, "{cents}");
        last = cents;
        if is_over {
            break;
        }
    }
    buying.await.unwrap();
    assert_eq!(last, 40_040);
    // On one shard a call sees the keys of that one.
    let key = format!("{{{}}}", buyers[1].0);
    let own = client.call("purchases", "totals-of-all", key, &args).await.unwrap();
    assert_eq!(cents_of(&own), 40);
    nothing_locked(&cluster).await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_across_shards_refuses_what_touches_too_many() {
    let cluster = Cluster::with_shards(1, 20, Timing::default()).await;
    let client = cluster.client().await;
    let router = ShardRouter::new(20).unwrap();
    let of = |shard: u16| {
        let mut keys = (0..).map(|n| format!("k{n}"));
        keys.find(|key| router.shard(key.as_bytes()) == ShardId::new(shard)).unwrap()
    };
    let write = |shards: u16| {
        (0..shards).fold(client.transaction(), |all, shard| all.write(of(shard), "v")).commit()
    };
    let error = write(17).await.unwrap_err();
    let WriteError::Refusal { refusal: Refusal::TooManyShards { shards: 17 } } = error else {
        panic!("{error}")
    };
    assert_eq!(error.to_string(), "transaction touches 17 shards, limit is 16");
    for shard in 0..20 {
        assert_eq!(text(&client, &of(shard)).await, None, "nothing of it was done");
    }
    assert!(matches!(write(16).await.unwrap(), TransactionOutcome::Committed(_)));

    // A range without a tag lies on all of them.
    let scan = client.transact(|t| async move { t.scan(KeyRange::prefix("k"), 1).await });
    let TransactionError::TransactionRefusal { refusal } = scan.await.unwrap_err() else {
        panic!()
    };
    assert_eq!(refusal, Refusal::TooManyShards { shards: 20 });
    client.upload("purchases", component("purchases")).await.unwrap();
    let all = client.call_across("purchases", "totals-of-all", "{x}", &[Val::from("")]).await;
    let CallError::CallRefusal { refusal: told } = all.unwrap_err() else { panic!() };
    assert_eq!(told, refusal);
    // That a shard is said to be another one's, or none, is refused.
    for shard in [1, 20] {
        let shard = ShardId::new(shard);
        let (range, unchanged_since) = (KeyRange::prefix("k"), Revision::new(1));
        let reads = vec![Read::Range { range, unchanged_since, shard: Some(shard) }];
        let then =
            vec![WriteOp::set(Key::try_from("k").unwrap(), Value::try_from("v").unwrap()).into()];
        let strange = client.write(Transact { reads, then, ..Transact::default() }).await;
        match (shard.get(), strange) {
            (1, Ok(_)) => {}
            (20, Err(WriteError::Refusal { refusal: Refusal::WrongShard { shard: told } })) => {
                assert_eq!(told, shard)
            }
            (_, other) => panic!("{shard}: {other:?}"),
        }
    }
    client.close().await;
    cluster.stop().await;
}
