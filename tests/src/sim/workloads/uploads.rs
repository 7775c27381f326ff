//! One name for two components in turn, while others call it.

use std::sync::Arc;

use aspen_client::{CallError, Client, Val};
use aspen_core::Refusal;

use super::{Site, Started, Worker, insist};

/// Two examples: only the first has a function `touch`, only the second one `place`.
const COMPONENTS: [&str; 2] = ["bank", "purchases"];
const NAME: &str = "teller";

pub async fn prepare(client: &Client, site: &Site<'_>) {
    let component = &site.components[COMPONENTS[0]];
    insist(|| client.upload(NAME, component.clone())).await;
}

pub fn start(site: &Site<'_>) -> Started {
    let components = site.components.clone();
    let uploader = site.client(move |worker| async move {
        for turn in 1.. {
            madsim::time::sleep(std::time::Duration::from_millis(1_500)).await;
            if !worker.goes_on().await {
                return;
            }
            let component = &components[COMPONENTS[turn % 2]];
            match worker.client.upload(NAME, component.clone()).await {
                Ok(hash) => worker.note(format_args!("upload {hash}")),
                Err(error) => worker.note(format_args!("upload: {error}")),
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
    Started { clients, check: Box::new(check) }
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
