//! One run of a plan, from an empty cluster to a graceful stop.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aspen_client::{Client, Options};
use bytes::Bytes;
use madsim::net::NetSim;
use tokio::sync::{mpsc, oneshot};

use super::cluster::{CLIENTS, SimCluster};
use super::diverge::diverge;
use super::faults::Attack;
use super::invariants::{leaks, liveness, replicas};
use super::plan::Plan;
use super::site::{PATIENCE, Site};
use super::trace::Trace;
use super::upgrade::upgrade;

/// Runs `plan` with files in `folder`.
pub async fn run(
    plan: Plan,
    folder: &Path,
    components: Arc<BTreeMap<String, Bytes>>,
    trace: Trace,
) {
    NetSim::current().update_config(|config| {
        config.packet_loss_rate = plan.loss;
        config.send_latency = plan.latency.0..plan.latency.1;
    });
    trace.event(format_args!("{plan:?}"));
    let cluster = SimCluster::start(&plan, &folder.join("states"), &folder.join("synced"), &trace);
    let client = lend_client(&cluster).await;
    let site = Site::new(&cluster, &plan, components, &trace, 1);
    for workload in &plan.workloads {
        workload.prepare(&client, &site).await;
    }
    let site = Site::new(&cluster, &plan, site.components, &trace, 1);
    trace.event("the clients begin");
    let started = plan.workloads.iter().map(|workload| workload.start(&site));
    let started: Vec<_> = started.collect();
    match plan.diverges {
        true => {
            let number = 1 + (plan.seed % 3) as u8;
            diverge(&cluster, number, &client, site.until, &trace).await;
        }
        false if plan.upgrades => upgrade(&cluster, plan.nodes, &client, &trace).await,
        false => Attack::new(&cluster, &plan, &trace).run(&client).await,
    }
    NetSim::current().update_config(|config| {
        config.packet_loss_rate = plan.loss.min(LOSS_MENDED_MAX);
    });
    trace.event("everything is mended");
    liveness::check(&client, plan.shards).await;
    for mut work in started {
        for worker in work.clients.drain(..) {
            worker.await.expect("a client ends without a panic");
        }
        (work.check)(client.clone()).await;
    }
    leaks::nothing_stays(&cluster).await;
    cluster.converge().await;
    leaks::sessions(&cluster).await;
    replicas::stored_alike(&client, plan.shards).await;
    drop(client);
    cluster.stop().await;
}

/// The share of messages that may get lost where everything is mended: more is a fault too. With 0.3 half
/// of a request's attempts fail, each costs a second or two, and one request in a hundred is not done
/// within [`PATIENCE`].
const LOSS_MENDED_MAX: f64 = 0.05;

/// Returns a client with much patience, for the run's own requests.
async fn lend_client(cluster: &SimCluster) -> Client {
    let (sender, receiver) = oneshot::channel();
    let options = Options { limit: PATIENCE, attempt: Duration::from_secs(1) };
    cluster.run_client(CLIENTS, options, |client| async move {
        // Somebody receives it: the lender waits.
        let _ = sender.send(client);
        // The machine must stay.
        let (_stays, mut never) = mpsc::channel::<()>(1);
        never.recv().await;
    });
    receiver.await.expect("a client connects")
}
