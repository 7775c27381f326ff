//! One name for two components in turn, while others call it; now and then one of them goes in parts.

use std::sync::Arc;
use std::time::Duration;

use aspen_client::{CallError, Client, Val};
use aspen_core::limits::COMPONENT_BYTES_MAX;
use aspen_core::refusal::Refusal;
use madsim::time::{sleep, timeout};

use crate::guests::padded;
use crate::sim::site::{Site, WorkUnderWay, Worker, insist};

/// Two examples: only the first has a function `touch`, only the second one `place`.
const COMPONENTS: [&str; 2] = ["bank", "purchases"];
const NAME: &str = "teller";

/// One of this many uploads goes in parts, if there are few shards: each shard gets all parts.
const LARGE_EVERY: usize = 3;
const LARGE_SHARDS_MAX: u16 = 2;

/// The time for which the client waits for that one, then it has given up in the middle.
const LARGE_PATIENCE: Duration = Duration::from_secs(5);

pub async fn prepare(client: &Client, site: &Site<'_>) {
    let component = &site.components[COMPONENTS[0]];
    insist(|| client.upload(NAME, component.clone())).await;
}

pub fn start(site: &Site<'_>) -> WorkUnderWay {
    let components = site.components.clone();
    let goes_in_parts = site.plan.shards <= LARGE_SHARDS_MAX;
    let uploader = site.client(move |worker| async move {
        for turn in 1.. {
            sleep(Duration::from_millis(1_500)).await;
            if !worker.goes_on().await {
                return;
            }
            let mut component = components[COMPONENTS[turn % 2]].clone();
            if goes_in_parts && turn % LARGE_EVERY == 0 {
                component = padded(&component, COMPONENT_BYTES_MAX + turn);
            }
            let bytes = component.len();
            match timeout(LARGE_PATIENCE, worker.client.upload(NAME, component)).await {
                Ok(Ok(hash)) => worker.note(format_args!("upload {hash}, {bytes} bytes")),
                Ok(Err(error)) => worker.note(format_args!("upload: {error}")),
                Err(_) => worker.note(format_args!("upload of {bytes} bytes given up")),
            }
        }
    });
    let clients = vec![uploader, site.client(work)];
    let components = Arc::clone(&site.components);
    let check = move |client: Client| -> aspen_net::BoxFuture<()> {
        Box::pin(async move {
            insist(|| client.upload(NAME, components[COMPONENTS[0]].clone())).await;
            insist(|| client.call(NAME, "touch", "{teller}", &[])).await;
        })
    };
    WorkUnderWay { clients, check: Box::new(check) }
}

async fn work(worker: Worker) {
    while worker.goes_on().await {
        match worker.client.call(NAME, "touch", "{teller}", &[]).await {
            Ok(reply) => worker.note(format_args!("touch at {}", reply.revision)),
            // The other component is there at the moment.
            Err(CallError::CallRefusal { refusal: Refusal::FunctionUnknown }) => {
                worker.note("no touch");
            }
            Err(CallError::CallRequest { .. }) => worker.note("touch: unknown"),
            Err(error) => panic!("uploads: a call cannot end so: {error}"),
        }
        let args = [Val::String("{teller}/nobody".into())];
        match worker.client.call(NAME, "balance", "{teller}", &args).await {
            Err(CallError::Faulted { fault, .. }) => panic!("uploads: {fault}"),
            _ => {}
        }
    }
}
