//! Admission control on real clusters: functions that take long let other requests go on, and end as well.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aspen_client::{CallError, Client, Consistency, GuestFault};
use aspen_node::Timing;
use aspen_tests::cluster::{Cluster, pause};
use bytes::Bytes;
use tokio::task::JoinSet;

/// Endless loops under way all the time.
const LOOPS: u64 = 12;

/// Cheap calls, one after another.
const CHEAP: u64 = 40;

/// The way in which a function is asked for.
#[derive(Clone, Copy)]
enum How {
    Call,
    Query,
    CallAcross,
}

/// A component with one function.
fn component(function: &str, body: &str) -> Bytes {
    let text = format!(
        r#"(component
            (core module $m (func (export "{function}") {body}))
            (core instance $i (instantiate $m))
            (func (export "{function}") (canon lift (core func $i "{function}"))))"#
    );
    wat::parse_str(text).unwrap().into()
}

async fn ask(client: &Client, how: How, name: &str, function: &str) -> Result<(), CallError> {
    let consistency = Consistency::Linearizable;
    match how {
        How::Call => client.call(name, function, "k", &[]).await.map(drop),
        How::CallAcross => client.call_across(name, function, "k", &[]).await.map(drop),
        How::Query => client.query(name, function, "k", &[], consistency).await.map(drop),
    }
}

/// Loops that have ended, and whether there shall be more.
#[derive(Default)]
struct Loops {
    ended: AtomicU64,
    stop: AtomicBool,
}

impl Loops {
    fn ended(&self) -> u64 {
        self.ended.load(Ordering::SeqCst)
    }

    /// Waits until more than this many have ended.
    async fn more(&self, than: u64) {
        while self.ended() <= than {
            pause().await;
        }
    }
}

async fn spin(client: Client, how: How, loops: Arc<Loops>) {
    while !loops.stop.load(Ordering::SeqCst) {
        let ended = ask(&client, how, "endless", "spin").await.unwrap_err();
        assert!(matches!(ended, CallError::Faulted { fault: GuestFault::OutOfFuel, .. }));
        loops.ended.fetch_add(1, Ordering::SeqCst);
    }
}

/// Does cheap ones one after another while one client has endless loops under way all the time.
async fn check(how: How) {
    let cluster = Cluster::with_shards(3, 1, Timing::default()).await;
    let (client, bad) = (cluster.client().await, cluster.client().await);
    client.upload("polite", component("nod", "")).await.unwrap();
    bad.upload("endless", component("spin", "(loop (br 0))")).await.unwrap();
    ask(&client, how, "polite", "nod").await.unwrap();

    let loops = Arc::<Loops>::default();
    let mut spinning = JoinSet::new();
    for _ in 0..LOOPS {
        spinning.spawn(spin(bad.clone(), how, loops.clone()));
    }
    loops.more(LOOPS).await;
    // Those before it found nobody else there, and several were under way.
    ask(&client, how, "polite", "nod").await.unwrap();
    let before = loops.ended();
    for _ in 0..CHEAP {
        ask(&client, how, "polite", "nod").await.unwrap();
    }
    // A cheap one finds at most one under way, and after that the door rests.
    let between = loops.ended() - before;
    assert!(between <= 2 * CHEAP, "{between} loops while {CHEAP} cheap ones");

    // They go on all the time.
    loops.more(loops.ended() + LOOPS).await;
    loops.stop.store(true, Ordering::SeqCst);
    while let Some(ended) = spinning.join_next().await {
        ended.unwrap();
    }
    client.close().await;
    bad.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_lets_few_loops_in_between_cheap_calls() {
    check(How::Call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_lets_few_loops_in_between_cheap_queries() {
    check(How::Query).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_lets_few_loops_in_between_cheap_calls_across_shards() {
    check(How::CallAcross).await;
}
