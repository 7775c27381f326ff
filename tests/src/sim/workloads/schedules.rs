//! Calls that the cluster makes by itself: one again and again, many once each.

use std::time::Duration;

use aspen_client::{CallEndKind, Client, FirstRun, RequestError, ScheduledCall, Val, WriteError};
use madsim::time::{Instant, sleep};

use crate::sim::invariants::acknowledged::Tally;
use crate::sim::site::{Site, WorkUnderWay, Worker, insist};

const TAG: &str = "{schedule}";
/// The amount that the calls take from: more than a run can move.
const CENTS: u64 = 1 << 40;
/// Until the last scheduled call has run: with clocks that jumped.
const RUN_WAIT: Duration = Duration::from_secs(60);

pub async fn prepare(client: &Client, site: &Site<'_>) {
    let component = &site.components["bank"];
    insist(|| client.upload("scheduled", component.clone())).await;
    for (name, cents) in [("source", CENTS), ("again", 0), ("once", 0)] {
        let args = [Val::String(account(name)), Val::U64(cents)];
        // If it was open already an earlier try, whose answer got lost, has opened it.
        insist(async || match client.call("scheduled", "open", TAG, &args).await {
            Err(aspen_client::CallError::Aborted { .. }) => Ok(()),
            other => other.map(|_| ()),
        })
        .await;
    }
    let every = Some(Duration::from_secs(1));
    insist(|| client.schedule("again", transfer("again"), FirstRun::After(0), every)).await;
}

fn account(name: &str) -> String {
    format!("{TAG}/{name}")
}

/// A transfer of one cent.
fn transfer(to: &str) -> ScheduledCall {
    let args = [Val::String(account("source")), Val::String(account(to)), Val::U64(1)];
    ScheduledCall::new("scheduled", "transfer", TAG, &args).expect("the call is within all limits")
}

async fn cents(client: &Client, name: &str) -> Result<u64, RequestError> {
    let found = client.get(format!("account/{}", account(name))).await?;
    let found = found.expect("the account is open");
    Ok(u64::from_le_bytes(found.value.as_bytes().try_into().expect("8 bytes")))
}

pub fn start(site: &Site<'_>) -> WorkUnderWay {
    let once = Tally::default();
    let work = |once: Tally| site.client(move |worker| work(worker, once));
    let clients = vec![work(once.clone()), work(once.clone())];
    let check = move |client: Client| -> aspen_net::BoxFuture<()> {
        Box::pin(async move {
            insist(|| look(&client)).await;
            insist(|| client.unschedule("again", TAG)).await;
            // All that were scheduled to run once run within seconds of entry time.
            let begun = Instant::now();
            while !insist(|| client.schedules()).await.is_empty() {
                assert!(begun.elapsed() < RUN_WAIT, "schedules: one that is due does not run");
                sleep(Duration::from_millis(200)).await;
            }
            once.check("scheduled calls", insist(|| cents(&client, "once")).await);
        })
    };
    WorkUnderWay { clients, check: Box::new(check) }
}

/// The account tells every run of the repeated call.
async fn look(client: &Client) -> Result<(), RequestError> {
    let before = runs(client).await?;
    let cents = cents(client, "again").await?;
    let after = runs(client).await?;
    assert!(
        before <= cents && cents <= after,
        "schedules: {cents} calls were done, and counted {before} before and {after} after"
    );
    Ok(())
}

async fn runs(client: &Client) -> Result<u64, RequestError> {
    let all = client.schedules().await?;
    let again = all.iter().find(|(name, _)| name.as_str() == "again");
    let (_, again) = again.expect("schedules: one that repeats is gone");
    if let Some(last) = &again.last {
        assert_eq!(last.ended, Ok(CallEndKind::Returned), "schedules: a run failed");
        assert!(last.time < again.due, "schedules: the next run is not after the last one");
    }
    Ok(again.runs)
}

async fn work(worker: Worker, once: Tally) {
    for turn in 0.. {
        if !worker.goes_on().await {
            return;
        }
        if rand::random_range(0..4) == 0 {
            // No answer says nothing.
            let _ = look(&worker.client).await;
            continue;
        }
        let name = format!("once-{}-{turn}", worker.number);
        let first = FirstRun::After(rand::random_range(0..3_000));
        once.sent();
        match worker.client.schedule(&name, transfer("once"), first, None).await {
            Ok(due) => {
                once.acknowledged();
                worker.note(format_args!("{name} is due at {due}"));
            }
            Err(WriteError::Request { .. }) => worker.note(format_args!("{name}: unknown")),
            Err(error) => panic!("schedules: one cannot end so: {error}"),
        }
    }
}
