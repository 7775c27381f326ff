//! A client inside the node's own process.
//!
//! Promises that a request which this node can answer costs no message: it is a function call.
//! Requests to other nodes go through the node's own transport, for members are admitted as
//! clients. A node that is alone has [`NoNetwork`] as its transport.

use std::sync::{Arc, Weak};
use std::time::Duration;

use aspen_client::{
    CallError, CallReply, Client, Commit, ConnectError, KeyRange, KeyValueStore, Options, Record,
    RequestError, ScanOptions, Transact, Val, WriteError, WriteReply,
};
use aspen_core::protocol::Item;
use aspen_net::{BoxFuture, NetError, PeerAddr, Purpose, Transport};
use bytes::Bytes;

use crate::context::NodeContext;
use crate::node::{ShardedRaftNode, handle};

impl ShardedRaftNode {
    /// Returns a client of the cluster that this node belongs to, in its process. Made once; the
    /// node must know its cluster's map, or another node must run that does.
    pub async fn client(&self) -> Result<Client, ConnectError> {
        let make = async {
            let opener = self.context().opener();
            let (own, transport) = (opener.identity.address, opener.transport.clone());
            let local = LocalTransport { own, node: Arc::downgrade(self.context()), transport };
            // The client learns the other nodes from this one, and stays with this one for requests
            // that any node can answer.
            Client::over(Arc::new(local), vec![own], Options::default()).await
        };
        self.own_client().get_or_try_init(|| make).await.cloned()
    }
}

/// Reaches the node itself by function call, others through the node's transport.
struct LocalTransport {
    own: PeerAddr,
    node: Weak<NodeContext>,
    transport: Arc<dyn Transport>,
}

impl Transport for LocalTransport {
    fn local(&self) -> PeerAddr {
        self.own
    }

    fn request(
        &self,
        to: &PeerAddr,
        purpose: Purpose,
        body: Bytes,
        deadline: Duration,
    ) -> BoxFuture<Result<Bytes, NetError>> {
        let peer = *to;
        if peer.id != self.own.id {
            return self.transport.request(to, purpose, body, deadline);
        }
        let Some(node) = self.node.upgrade() else {
            return Box::pin(async { Err(NetError::Closed) });
        };
        let handled = handle(node, self.own.id, purpose, body);
        Box::pin(async move {
            let reply = tokio::time::timeout(deadline, handled).await;
            reply.map_err(|_| NetError::Deadline { peer, after: deadline, sent: true })
        })
    }
}

/// The transport of a node that is alone.
pub struct NoNetwork(pub PeerAddr);

impl Transport for NoNetwork {
    fn local(&self) -> PeerAddr {
        self.0
    }

    fn request(
        &self,
        _: &PeerAddr,
        _: Purpose,
        _: Bytes,
        _: Duration,
    ) -> BoxFuture<Result<Bytes, NetError>> {
        Box::pin(async { Err(NetError::Closed) })
    }
}

impl ShardedRaftNode {
    async fn at_hand(&self) -> Result<Client, RequestError> {
        self.client().await.map_err(|error| match error {
            ConnectError::Request { source } => source,
            // A local client has neither ticket nor socket that could be wrong.
            _ => RequestError::Protocol,
        })
    }
}

impl KeyValueStore for ShardedRaftNode {
    async fn get(&self, key: &[u8]) -> Result<Option<Record>, RequestError> {
        self.at_hand().await?.get(key).await
    }

    async fn scan(&self, range: KeyRange, options: ScanOptions) -> Result<Vec<Item>, RequestError> {
        self.at_hand().await?.scan(range, options).await
    }

    async fn put(&self, key: &[u8], value: &[u8]) -> Result<WriteReply, WriteError> {
        self.at_hand().await?.put(key, value).await
    }

    async fn delete(&self, key: &[u8]) -> Result<WriteReply, WriteError> {
        self.at_hand().await?.delete(key).await
    }

    async fn write(&self, transact: Transact) -> Result<Commit, WriteError> {
        self.at_hand().await?.write(transact).await
    }

    async fn call(
        &self,
        component: &str,
        function: &str,
        key: &[u8],
        args: &[Val],
    ) -> Result<CallReply, CallError> {
        self.at_hand().await?.call(component, function, key, args).await
    }
}
