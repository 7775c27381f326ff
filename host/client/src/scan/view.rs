//! A view for a consistent scan: opened once, held by the nodes that pinned it, closed at the end.
//!
//! Promises that dropping a view, or closing it, lets the nodes know. If that message is lost, they
//! find out by the clock. Leaves out the reason why a view is of one moment (`aspen-node`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aspen_core::ids::{ShardId, ViewId};
use aspen_core::key::KeyRange;
use aspen_core::protocol::{ErrorReply, Page, Request, Response, ScanRequest, ViewInfo};
use aspen_net::PeerAddr;
use snafu::{OptionExt, ensure};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::error::*;

/// Pause before a node that does not answer is asked once more: a connection may have broken.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A view of all shards of a scan.
pub struct OpenView {
    view: ViewId,
    holders: BTreeMap<ShardId, PeerAddr>,
    /// Dropped when the scan ends.
    in_use: oneshot::Sender<()>,
    closed: JoinHandle<()>,
}

/// The view of one shard, and the node that holds it.
#[derive(Clone, Copy)]
pub struct Holder {
    view: ViewId,
    node: PeerAddr,
}

impl OpenView {
    /// Opens a view for reading `range`, which lies on `shards`.
    pub async fn open(
        client: &Client,
        range: &KeyRange,
        shards: &[ShardId],
    ) -> Result<OpenView, RequestError> {
        let shard = if let [only] = shards { *only } else { ShardId::new(0) };
        let request = Request::OpenView { shard, range: range.clone() };
        let response = client.ask(shard, &request).await?;
        let Response::View(ViewInfo { view, parts }) = response else {
            return ProtocolSnafu.fail();
        };
        let part = |(shard, address): (ShardId, String)| Some((shard, address.parse().ok()?));
        let holders: Option<BTreeMap<_, _>> = parts.into_iter().map(part).collect();
        let holders = holders.context(ProtocolSnafu)?;
        let nodes: BTreeSet<PeerAddr> = holders.values().copied().collect();
        let (in_use, over) = oneshot::channel::<()>();
        let client = client.clone();
        let closed = tokio::spawn(async move {
            // Nothing is ever sent: the end of the sender is the signal.
            let _: Result<(), _> = over.await;
            for node in nodes {
                // A node that does not hear this closes the view when it was idle for long.
                let _: Result<Response, _> =
                    client.link().ask_node(&node, &Request::CloseView { view }).await;
            }
        });
        let opened = OpenView { view, holders, in_use, closed };
        ensure!(shards.iter().all(|shard| opened.holders.contains_key(shard)), ProtocolSnafu);
        Ok(opened)
    }

    /// Returns the holder of `shard`, one of the shards that the view was opened for.
    pub fn holder(&self, shard: ShardId) -> Holder {
        Holder { view: self.view, node: self.holders[&shard] }
    }

    /// Closes the view, and returns when the nodes know.
    pub async fn close(self) {
        drop(self.in_use);
        // The task fails only when the runtime ends.
        let _: Result<(), _> = self.closed.await;
    }
}

impl Holder {
    /// Reads one page of the view.
    pub async fn page(self, client: &Client, scan: ScanRequest) -> Result<Page, RequestError> {
        let shard = scan.shard;
        let request = Request::Scan(ScanRequest { view: Some(self.view), ..scan });
        let mut asked_before = false;
        loop {
            match client.link().ask_node(&self.node, &request).await {
                Ok(Response::Page(page)) => return Ok(page),
                Ok(_) => return ProtocolSnafu.fail(),
                Err(RequestError::Refused { refused: ErrorReply::ViewLost }) => {
                    return ViewLostSnafu { shard }.fail();
                }
                Err(RequestError::Unreachable { .. }) if asked_before => {
                    return ViewLostSnafu { shard }.fail();
                }
                Err(RequestError::Unreachable { .. }) => asked_before = true,
                Err(error) => return Err(error),
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }
}
