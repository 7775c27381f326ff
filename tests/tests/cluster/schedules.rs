//! Schedules on real clusters: they run by themselves, each run once, also when the lead goes.

use std::time::{Duration, Instant};

use aspen_client::{
    CallEndKind, Client, FirstRun, LogPosition, Schedule, ScheduledCall, Timestamp, Val, WriteError,
};
use aspen_core::ids::ShardId;
use aspen_core::placement::ShardRouter;
use aspen_core::refusal::Refusal;
use aspen_node::Timing;
use aspen_tests::cluster::{Cluster, pause};
use aspen_tests::guests::component;

const SHARDS: u16 = 2;
const SECOND: Option<Duration> = Some(Duration::from_secs(1));

/// A tag on each shard.
fn tags() -> Vec<String> {
    let router = ShardRouter::new(SHARDS).unwrap();
    let on = |shard: ShardId| {
        let tags = (0..).map(|n| format!("{{t{n}}}"));
        tags.into_iter().find(|tag| router.shard(tag.as_bytes()) == shard).unwrap()
    };
    router.all().map(on).collect()
}

/// A transfer of one cent to `to`, of the bank that has this tag.
fn transfer(tag: &str, to: &str) -> ScheduledCall {
    let account = |name: &str| Val::String(format!("{tag}{name}"));
    let args = [account("from"), account(to), Val::U64(1)];
    ScheduledCall::new("bank", "transfer", tag, &args).unwrap()
}

async fn open_bank(client: &Client, tag: &str) {
    for (name, cents) in [("from", 1_000_000), ("again", 0), ("once", 0), ("last", 0)] {
        let args = [Val::String(format!("{tag}{name}")), Val::U64(cents)];
        client.call("bank", "open", tag, &args).await.unwrap();
    }
}

async fn balance(client: &Client, tag: &str, name: &str) -> u64 {
    let args = [Val::String(format!("{tag}{name}"))];
    match client.call("bank", "balance", tag, &args).await.unwrap().value {
        Some(Val::U64(cents)) => cents,
        other => panic!("{other:?}"),
    }
}

async fn find(client: &Client, name: &str) -> Option<Schedule> {
    let all = client.schedules().await.unwrap();
    all.into_iter().find(|(known, _)| known.as_str() == name).map(|(_, schedule)| schedule)
}

/// Waits until `is_so`.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so().await {
        assert!(Instant::now() < end, "{what} does not happen");
        pause().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_schedules_run_each_time_once_also_when_the_lead_goes() {
    let mut cluster = Cluster::with_shards(3, SHARDS, Timing::default()).await;
    let client = cluster.client().await;
    client.upload("bank", component("bank")).await.unwrap();
    let tags = tags();
    for (number, tag) in tags.iter().enumerate() {
        open_bank(&client, tag).await;
        let again = format!("again-{number}");
        client.schedule(&again, transfer(tag, "again"), FirstRun::After(0), SECOND).await.unwrap();
        let past = FirstRun::At(Timestamp::new(1));
        let once = format!("once-{number}");
        client.schedule(&once, transfer(tag, "once"), past, None).await.unwrap();
    }
    let ran = async |client: &Client, least: u64| {
        let all = client.schedules().await.unwrap();
        let again = all.iter().filter(|(name, _)| name.as_str().starts_with("again"));
        all.len() == 2 && again.clone().count() == 2 && again.clone().all(|(_, s)| s.runs >= least)
    };
    until("the first runs", async || ran(&client, 1).await).await;
    let leader = cluster.leader().await;
    cluster.stop_node(leader).await;
    until("a run under the next leader", async || ran(&client, 3).await).await;
    for (number, tag) in tags.iter().enumerate() {
        assert_eq!(balance(&client, tag, "once").await, 1);
        // The account tells every run, between one look at the schedule and the next.
        let again = format!("again-{number}");
        let before = find(&client, &again).await.unwrap();
        let cents = balance(&client, tag, "again").await;
        let after = find(&client, &again).await.unwrap();
        assert!(before.runs <= cents && cents <= after.runs, "{before:?} {cents} {after:?}");
        assert!(matches!(&after.last, Some(last) if last.ended == Ok(CallEndKind::Returned)));
        assert_eq!(after.caller, before.caller);

        assert!(client.unschedule(&again, tag).await.unwrap());
        assert!(!client.unschedule(&again, tag).await.unwrap());
        let cents = balance(&client, tag, "again").await;
        // A schedule that was due before this has run, if it existed.
        let last = format!("last-{number}");
        let call = transfer(tag, "last");
        client.schedule(&last, call, FirstRun::After(1_000), None).await.unwrap();
        until("the last run", async || find(&client, &last).await.is_none()).await;
        assert_eq!(balance(&client, tag, "again").await, cents, "it runs no more");
        assert_eq!(balance(&client, tag, "last").await, 1);
    }
    cluster.start_node(leader).await;
    cluster.equal_digests().await;
    client.close().await;
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cluster_schedule_survives_a_restart_and_tells_what_went_wrong() {
    let mut cluster = Cluster::with_shards(1, SHARDS, Timing::default()).await;
    let client = cluster.client().await;
    client.upload("bank", component("bank")).await.unwrap();
    let tag = &tags()[1];
    // No account is open, and a function that is not there.
    client.schedule("poor", transfer(tag, "once"), FirstRun::After(0), SECOND).await.unwrap();
    let wrong = ScheduledCall::new("bank", "no-such", tag, &[]).unwrap();
    client.schedule("wrong", wrong, FirstRun::After(0), SECOND).await.unwrap();
    let unknown = ScheduledCall::new("nobody", "transfer", tag, &[]).unwrap();
    let refused = client.schedule("unknown", unknown, FirstRun::After(0), SECOND).await;
    assert!(
        matches!(refused, Err(WriteError::Refusal { refusal: Refusal::ComponentUnknown })),
        "{refused:?}"
    );
    let ended = async |name: &str| find(&client, name).await?.last.map(|last| last.ended);
    until("both runs", async || ended("poor").await.and(ended("wrong").await).is_some()).await;
    assert_eq!(ended("poor").await, Some(Ok(CallEndKind::Aborted)));
    assert_eq!(ended("wrong").await, Some(Err(Refusal::FunctionUnknown)));
    let statistics = client.statistics().await.unwrap();
    let transfer = statistics.iter().find(|one| one.function == "transfer").unwrap();
    assert!(transfer.aborted >= 1, "runs are counted like calls: {transfer:?}");
    assert_eq!(client.logs(None, &mut LogPosition::default()).await.unwrap(), []);

    let before = find(&client, "poor").await.unwrap();
    client.close().await;
    cluster.stop_node(0).await;
    cluster.start_node(0).await;
    let client = cluster.client().await;
    let runs = async || find(&client, "poor").await.unwrap().runs;
    until("a run after the restart", async || runs().await > before.runs).await;
    client.close().await;
    cluster.stop().await;
}
