//! The notes that calls log, and their figures, on real clusters: each call once, also when the lead goes.

use aspen_client::{CallEndKind, CallError, CallNote, Client, GuestFault, LogPosition};
use aspen_core::ids::ShardId;
use aspen_core::placement::ShardRouter;
use aspen_node::Timing;
use aspen_tests::cluster::Cluster;
use bytes::Bytes;

const SHARDS: u16 = 2;

/// A component that logs `hello` in `say` and `fail`, of which the second one then panics.
fn talker() -> Bytes {
    let text = r#"(component
        (import "aspen:function/context@0.1.0" (instance $context
            (export "log" (func (param "line" string)))))
        (core module $memory (memory (export "m") 1) (data (i32.const 16) "hello"))
        (core instance $mem (instantiate $memory))
        (core func $log (canon lower (func $context "log") (memory (core memory $mem "m"))))
        (core module $m
            (import "c" "log" (func $log (param i32 i32)))
            (func (export "silent"))
            (func (export "say") (call $log (i32.const 16) (i32.const 5)))
            (func (export "fail") (call $log (i32.const 16) (i32.const 5)) unreachable))
        (core instance $i (instantiate $m (with "c" (instance (export "log" (func $log))))))
        (func (export "silent") (canon lift (core func $i "silent")))
        (func (export "say") (canon lift (core func $i "say")))
        (func (export "fail") (canon lift (core func $i "fail"))))"#;
    wat::parse_str(text).unwrap().into()
}

/// A key on each shard.
fn keys() -> Vec<String> {
    let router = ShardRouter::new(SHARDS).unwrap();
    let on = |shard: ShardId| {
        (0..).map(|n| format!("k{n}")).find(|key| router.shard(key.as_bytes()) == shard).unwrap()
    };
    router.all().map(on).collect()
}

async fn call(client: &Client, function: &str, key: &str) -> Result<(), CallError> {
    client.call("talker", function, key, &[]).await.map(|_| ())
}

/// Shard, function, lines, and whether it faulted.
fn short(notes: &[CallNote]) -> Vec<(u16, &str, usize, bool)> {
    let short = |note: &CallNote| {
        assert!(note.lines.iter().all(|line| line == "hello"));
        let (function, lines) = (note.function.clone(), note.lines.len());
        (note.shard.get(), function, lines, matches!(note.ended, CallEndKind::Faulted(_)))
    };
    let short = notes.iter().map(short);
    let names = ["silent", "say", "fail"];
    let named = |name: String| names.into_iter().find(|known| *known == name).unwrap();
    short.map(|(shard, name, lines, faulted)| (shard, named(name), lines, faulted)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_logs_have_each_call_once_also_when_the_lead_goes() {
    let mut cluster = Cluster::with_shards(3, SHARDS, Timing::default()).await;
    let client = cluster.client().await;
    client.upload("talker", talker()).await.unwrap();
    let keys = keys();
    let mut position = LogPosition::default();
    assert_eq!(client.logs(None, &mut position).await.unwrap(), []);
    for key in &keys {
        call(&client, "silent", key).await.unwrap();
        call(&client, "say", key).await.unwrap();
        let failed = call(&client, "fail", key).await.unwrap_err();
        assert!(matches!(failed, CallError::Faulted { fault: GuestFault::Unreachable, .. }));
    }
    let notes = client.logs(Some("talker"), &mut position).await.unwrap();
    let want =
        [(0, "say", 1, false), (0, "fail", 1, true), (1, "say", 1, false), (1, "fail", 1, true)];
    assert_eq!(short(&notes), want);
    let first = (notes[0].component, notes[0].caller);
    assert_eq!(client.logs(None, &mut position).await.unwrap(), []);

    // Each replica has them, by the same entries: the next leader goes on, and repeats nothing.
    for key in &keys {
        call(&client, "say", key).await.unwrap();
    }
    let leader = cluster.leader().await;
    cluster.stop_node(leader).await;
    let after = client.logs(Some("talker"), &mut position).await.unwrap();
    assert_eq!(short(&after), [(0, "say", 1, false), (1, "say", 1, false)]);
    let all = client.logs(None, &mut LogPosition::default()).await.unwrap();
    assert_eq!(all, [notes, after].concat());
    assert_eq!(client.logs(Some("other"), &mut LogPosition::default()).await.unwrap(), []);

    // A call across shards is in the log of the shard that decides it, also for the next leader.
    client.call_across("talker", "say", &keys[1], &[]).await.unwrap();
    let failed = client.call_across("talker", "fail", &keys[1], &[]).await.unwrap_err();
    assert!(matches!(failed, CallError::Faulted { fault: GuestFault::Unreachable, .. }));
    let across = client.logs(Some("talker"), &mut position).await.unwrap();
    assert_eq!(short(&across), [(1, "say", 1, false), (1, "fail", 1, true)]);
    assert!(across.iter().all(|note| (note.component, note.caller) == first));

    let statistics = client.statistics().await.unwrap();
    let [fail, say, silent] = &statistics[..] else { panic!("{statistics:?}") };
    assert_eq!((fail.function.as_str(), fail.calls()), ("fail", 3));
    assert_eq!(fail.faulted, [(GuestFault::Unreachable, 3)]);
    assert_eq!((say.function.as_str(), say.returned, say.calls()), ("say", 5, 5));
    assert_eq!((silent.function.as_str(), silent.returned), ("silent", 2));
    assert!(say.fuel.quantile(500) > silent.fuel.quantile(500), "{statistics:?}");
    assert_eq!(say.micros.total(), 5);

    cluster.start_node(leader).await;
    let second = cluster.leader().await;
    cluster.stop_node(second).await;
    let again = client.logs(None, &mut LogPosition::default()).await.unwrap();
    assert!(again.ends_with(&across), "{again:?}");
    client.close().await;
    cluster.stop().await;
}
