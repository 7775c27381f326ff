//! The links of a process, one per peer, address and purpose.
//!
//! Promises one attempt per link: the first request begins it, and requests that come meanwhile wait
//! for the same attempt and share its outcome. An entry leaves the map when its link ends, so the next
//! request dials afresh and never gets an old failure.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio_real::sync::watch;

use super::{link::Link, lock::lock};
use crate::error::NetError;
use crate::peer::PeerAddr;
use crate::transport::Purpose;

type Outcome = Option<Result<Arc<Link>, NetError>>;
type Key = (PeerAddr, Purpose);

/// All links, dialling or live.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<BTreeMap<Key, watch::Receiver<Outcome>>>);

/// A link that is dialling or live, as seen by a request.
#[derive(Debug)]
pub(super) struct LinkWaiter(watch::Receiver<Outcome>);

/// A link that is dialling or live, as held by the task that runs it. The end of the task frees the
/// entry.
#[derive(Debug)]
pub(super) struct LinkEntry {
    links: Arc<Links>,
    key: Key,
    outcome: watch::Sender<Outcome>,
}

impl Links {
    /// Finds a usable entry, or makes one and lets `begin` start the task behind it.
    pub fn find_or_begin(
        self: &Arc<Self>,
        to: PeerAddr,
        purpose: Purpose,
        begin: impl FnOnce(LinkEntry) -> Result<(), NetError>,
    ) -> Result<LinkWaiter, NetError> {
        let key = (to, purpose);
        let mut links = lock(&self.0);
        if let Some(entry) = links.get(&key)
            && is_usable(&entry.borrow())
        {
            return Ok(LinkWaiter(entry.clone()));
        }
        let (outcome, entry) = watch::channel(None);
        links.insert(key, entry.clone());
        drop(links);
        begin(LinkEntry { links: self.clone(), key, outcome })?;
        Ok(LinkWaiter(entry))
    }
}

fn is_usable(outcome: &Outcome) -> bool {
    match outcome {
        None => true,
        Some(Ok(link)) => !link.has_ended(),
        Some(Err(_)) => false,
    }
}

impl LinkWaiter {
    /// Waits for the end of the attempt. `Closed` if its task was ended before.
    pub async fn wait(mut self) -> Result<Arc<Link>, NetError> {
        let outcome = self.0.wait_for(Option::is_some).await;
        outcome.ok().and_then(|outcome| outcome.clone()).unwrap_or(Err(NetError::Closed))
    }
}

impl LinkEntry {
    /// Tells the outcome to all requests that wait.
    pub fn tell(&self, outcome: Result<Arc<Link>, NetError>) {
        self.outcome.send_replace(Some(outcome));
    }
}

impl Drop for LinkEntry {
    fn drop(&mut self) {
        let mut links = lock(&self.links.0);
        // A successor may have the place already.
        let is_ours = |entry: &watch::Receiver<_>| entry.same_channel(&self.outcome.subscribe());
        if links.get(&self.key).is_some_and(is_ours) {
            links.remove(&self.key);
        }
    }
}
