//! The client: one method for each thing a user wants, over [`Link`] and [`Session`].

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aspen_core::limits::COMPONENT_BYTES_MAX;
use aspen_core::{
    Call, ClusterInfo, Command, ComponentHash, ComponentInfo, ComponentRef, Fuel, Item, Key,
    KeyError, KeyRange, Manifest, Name, NodeId, Outcome, Page, Read, Record, Refusal,
    ReplicaStatus, Request, Response, Revision, ScanRequest, ShardId, ShardRouter, Timestamp,
    Transact, Upload, Val, Value, ValueError, Version, WriteOp, decode, decode_vals, encode,
    encode_vals,
};
use aspen_net::{IrohConfig, IrohTransport, PeerAddr, Ticket, Transport};
use bytes::Bytes;
use snafu::{OptionExt, ResultExt, ensure};
use tokio::sync::Mutex;

use crate::error::*;
use crate::link::Link;
use crate::session::Session;

/// Time limits of a client.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// For a whole operation with all its repeats: 30 s.
    pub limit: Duration,
    /// For one attempt at one node: 5 s.
    pub attempt: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { limit: Duration::from_secs(30), attempt: Duration::from_secs(5) }
    }
}

/// A connection to a cluster, or to an embedded node. Cheap to clone; clones share sessions.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    link: Link,
    router: ShardRouter,
    cluster: u128,
    sessions: Mutex<BTreeMap<ShardId, Arc<Session>>>,
    /// The socket that this client owns, to be closed with it.
    socket: Option<Arc<IrohTransport>>,
}

/// A committed write of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The shard's revision after it.
    pub revision: Revision,
    /// After a put the key's version; after a delete the version that was removed, 0 if none was.
    pub version: Version,
}

/// A committed transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The shard's revision after it.
    pub revision: Revision,
    /// Entry time of the commit.
    pub time: Timestamp,
    /// Per write as in [`Written::version`].
    pub versions: Vec<Version>,
}

/// What a function returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallReply {
    /// Its result; of a `result` type the payload of `ok`.
    pub value: Option<Val>,
    /// The shard's revision after it.
    pub revision: Revision,
    /// Fuel it used.
    pub fuel: Fuel,
    /// Keys it wrote.
    pub writes: u32,
}

/// How to scan.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScanOptions {
    /// From the last key to the first.
    pub reverse: bool,
    /// Leave values out.
    pub keys_only: bool,
    /// Entries wanted, all if 0.
    pub limit: usize,
}

impl Client {
    /// Connects with a ticket's text, as `aspen dev` and `aspen node` write it.
    pub async fn connect(ticket: &str) -> Result<Client, ConnectError> {
        let ticket: Ticket = ticket.trim().parse().context(BadTicketSnafu)?;
        Self::connect_with(&ticket, Options::default()).await
    }

    /// Connects with a ticket and time limits of one's own.
    pub async fn connect_with(ticket: &Ticket, options: Options) -> Result<Client, ConnectError> {
        let secret = ticket.secret().context(NoSecretSnafu)?.clone();
        let bind = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let local = ticket.nodes().iter().all(|node| node.addr.ip().is_loopback());
        let bind = if local { SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) } else { bind };
        let socket = IrohTransport::bind(IrohConfig { secret, bind }).await.context(BindSnafu)?;
        let made =
            Self::make(socket.clone(), Some(socket.clone()), ticket.nodes().to_vec(), options);
        let found = match made.await {
            Ok(client) if client.inner.cluster == ticket.cluster() => return Ok(client),
            Ok(client) => client.inner.cluster,
            Err(error) => {
                socket.close().await;
                return Err(error);
            }
        };
        socket.close().await;
        OtherClusterSnafu { expected: ticket.cluster(), found }.fail()
    }

    /// Connects over a transport of the caller's: an embedded node, or a simulation.
    pub async fn over(
        transport: Arc<dyn Transport>,
        nodes: Vec<PeerAddr>,
        options: Options,
    ) -> Result<Client, ConnectError> {
        Self::make(transport, None, nodes, options).await
    }

    async fn make(
        transport: Arc<dyn Transport>,
        socket: Option<Arc<IrohTransport>>,
        nodes: Vec<PeerAddr>,
        options: Options,
    ) -> Result<Client, ConnectError> {
        let link = Link::new(transport, nodes, options.limit, options.attempt);
        let info = link.cluster().await.context(RequestSnafu)?;
        let router = ShardRouter::new(info.shards).ok().context(ProtocolSnafu);
        let router = router.context(RequestSnafu)?;
        let sessions = Mutex::new(BTreeMap::new());
        Ok(Client {
            inner: Arc::new(Inner { link, router, cluster: info.cluster, sessions, socket }),
        })
    }

    /// Ends the connection. Requests under way fail.
    pub async fn close(&self) {
        if let Some(socket) = &self.inner.socket {
            socket.close().await;
        }
    }

    /// Who is in the cluster, and who leads.
    pub async fn cluster(&self) -> Result<ClusterInfo, RequestError> {
        self.inner.link.cluster().await
    }

    /// How every node is; `Err` for those that do not answer.
    pub async fn status(&self) -> Vec<(PeerAddr, Result<ReplicaStatus, RequestError>)> {
        let ask = async |node: PeerAddr| {
            let status = match self.inner.link.ask_node(&node, &Request::Status).await {
                Ok(Response::Status(status)) => Ok(status),
                Ok(_) => ProtocolSnafu.fail(),
                Err(error) => Err(error),
            };
            (node, status)
        };
        let mut all = vec![];
        for node in self.inner.link.nodes() {
            all.push(ask(node).await);
        }
        all
    }

    /// The record of a key: its value, version and revisions. Linearizable.
    pub async fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Record>, RequestError> {
        let key = to_key(key)?;
        let shard = self.inner.router.shard(key.as_bytes());
        let request = Request::Get { shard, keys: vec![key] };
        match self.inner.link.ask_leader(shard, || encode(&request)).await?.response {
            Response::Records { mut records, .. } if records.len() == 1 => Ok(records.remove(0)),
            _ => ProtocolSnafu.fail(),
        }
    }

    /// Writes one key.
    pub async fn put(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Written, WriteError> {
        let value = to_value(value)?;
        self.write_one(WriteOp::Set { key: to_key(key)?, value }).await
    }

    /// Removes one key; it need not exist.
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<Written, WriteError> {
        self.write_one(WriteOp::Delete { key: to_key(key)? }).await
    }

    async fn write_one(&self, write: WriteOp) -> Result<Written, WriteError> {
        let committed = self.commit(Transact { reads: vec![], writes: vec![write] }).await?;
        let version = *committed.versions.first().context(ProtocolSnafu)?;
        Ok(Written { revision: committed.revision, version })
    }

    /// Commits a transaction whose keys all live on one shard; see `WriteCommand` for the forms.
    pub async fn commit(&self, transact: impl Into<Transact>) -> Result<Committed, WriteError> {
        let transact: Transact = transact.into();
        transact.check().map_err(|refusal| RefusalSnafu { refusal }.build())?;
        let router = &self.inner.router;
        let mut shards = transact.keys().map(|key| router.shard(key.as_bytes()));
        let shard = shards.next().context(EmptySnafu)?;
        ensure!(shards.all(|other| other == shard), ManyShardsSnafu);
        drop(shards);
        match self.write(shard, &Command::Transact(transact)).await? {
            Outcome::Committed { revision, time, versions } => {
                Ok(Committed { revision, time, versions })
            }
            Outcome::Conflict { conflicts } => ConflictSnafu { conflicts }.fail(),
            Outcome::Refused(refusal) => RefusalSnafu { refusal }.fail(),
            _ => Err(ProtocolSnafu.build().into()),
        }
    }

    /// One page of a range on one shard, from the range's start.
    async fn page(
        &self,
        shard: ShardId,
        range: KeyRange,
        options: ScanOptions,
    ) -> Result<Page, RequestError> {
        let ScanOptions { reverse, keys_only, limit } = options;
        let limit = if limit == 0 { u32::MAX } else { u32::try_from(limit).unwrap_or(u32::MAX) };
        let request = Request::Scan(ScanRequest { shard, range, reverse, keys_only, limit });
        match self.inner.link.ask_leader(shard, || encode(&request)).await?.response {
            Response::Page(page) => Ok(page),
            _ => ProtocolSnafu.fail(),
        }
    }

    /// The entries of a range, in order, up to `options.limit`. Fetched page by page, each page
    /// linearizable at a revision of its own; shards are merged by key.
    pub async fn scan(
        &self,
        range: KeyRange,
        options: ScanOptions,
    ) -> Result<Vec<Item>, RequestError> {
        let mut all = vec![];
        for shard in self.inner.router.all() {
            all.extend(self.scan_shard(shard, range.clone(), options).await?);
        }
        if self.inner.router.shards() > 1 {
            all.sort_by(|a: &Item, b: &Item| a.key.cmp(&b.key));
            if options.reverse {
                all.reverse();
            }
        }
        if options.limit > 0 {
            all.truncate(options.limit);
        }
        Ok(all)
    }

    async fn scan_shard(
        &self,
        shard: ShardId,
        mut range: KeyRange,
        mut options: ScanOptions,
    ) -> Result<Vec<Item>, RequestError> {
        let mut items: Vec<Item> = vec![];
        let wanted = options.limit;
        loop {
            let page = self.page(shard, range.clone(), options).await?;
            items.extend(page.items);
            let Some(last) = items.last().filter(|_| page.more) else { return Ok(items) };
            if wanted > 0 && items.len() >= wanted {
                return Ok(items);
            }
            options.limit = wanted.saturating_sub(items.len());
            if options.reverse {
                range.end = Some(last.key.clone().into());
            } else {
                range = range.after(&last.key);
            }
        }
    }

    /// Stores a component on every shard and points `name` to it.
    pub async fn upload(
        &self,
        name: &str,
        component: impl Into<Bytes>,
    ) -> Result<ComponentHash, WriteError> {
        let name = Name::new(name).map_err(Invalid::from)?;
        let bytes: Bytes = component.into();
        let limit = COMPONENT_BYTES_MAX;
        ensure!(bytes.len() <= limit, ComponentSnafu { bytes: bytes.len(), limit });
        let hash = ComponentHash::of(&bytes);
        for shard in self.inner.router.all() {
            let upload = Upload { name: name.clone(), bytes: bytes.clone() };
            match self.write(shard, &Command::Upload(upload)).await? {
                Outcome::Uploaded { component } if component == hash => {}
                Outcome::Refused(refusal) => return RefusalSnafu { refusal }.fail(),
                _ => return Err(ProtocolSnafu.build().into()),
            }
        }
        Ok(hash)
    }

    /// Calls a function: `component` by name, on the shard where `key` lives.
    pub async fn call(
        &self,
        component: &str,
        function: &str,
        key: impl AsRef<[u8]>,
        args: &[Val],
    ) -> Result<CallReply, CallError> {
        let name = Name::new(component).map_err(Invalid::from)?;
        self.call_if(ComponentRef::Name(name), function, key, args, vec![]).await
    }

    /// Calls a function that runs only if every one of `reads` still holds.
    pub async fn call_if(
        &self,
        component: ComponentRef,
        function: &str,
        key: impl AsRef<[u8]>,
        args: &[Val],
        reads: Vec<Read>,
    ) -> Result<CallReply, CallError> {
        let key = to_key(key)?;
        let args = encode_vals(args).map_err(Invalid::from)?;
        let shard = self.inner.router.shard(key.as_bytes());
        let call = Call { key, component, function: function.into(), args, reads };
        match self.write(shard, &Command::Call(call)).await? {
            Outcome::Returned { revision, values, fuel, writes } => {
                Ok(CallReply { value: one(&values)?, revision, fuel, writes })
            }
            Outcome::Aborted { error, fuel } => AbortedSnafu { error: one(&error)?, fuel }.fail(),
            Outcome::Faulted { fault, fuel } => FaultedSnafu { fault, fuel }.fail(),
            Outcome::Conflict { conflicts } => CallConflictSnafu { conflicts }.fail(),
            Outcome::Refused(refusal) => CallRefusalSnafu { refusal }.fail(),
            _ => Err(ProtocolSnafu.build().into()),
        }
    }

    /// The names that components were uploaded under.
    pub async fn components(&self) -> Result<Vec<ComponentInfo>, RequestError> {
        let shard = ShardId::new(0);
        match self.inner.link.ask_leader(shard, || encode(&Request::Components)).await?.response {
            Response::Components(components) => Ok(components),
            _ => ProtocolSnafu.fail(),
        }
    }

    /// The functions of a component, with their types.
    pub async fn describe(&self, name: &str) -> Result<Manifest, RequestError> {
        let name = Name::new(name).map_err(Invalid::from)?;
        let request = Request::Describe { name };
        let shard = ShardId::new(0);
        match self.inner.link.ask_leader(shard, || encode(&request)).await?.response {
            Response::Manifest(manifest) => Ok(manifest),
            _ => ProtocolSnafu.fail(),
        }
    }

    /// Adds a node to the cluster, without a vote, and gives the id it has from then on.
    pub async fn add_node(&self, address: &PeerAddr) -> Result<NodeId, RequestError> {
        let request = Request::AddNode { address: address.to_string() };
        let shard = ShardId::new(0);
        match self.inner.link.ask_leader(shard, || encode(&request)).await?.response {
            Response::NodeAdded { node } => Ok(node),
            _ => ProtocolSnafu.fail(),
        }
    }

    /// Gives an added node its vote, once it has caught up.
    pub async fn promote_node(&self, node: NodeId) -> Result<(), RequestError> {
        let request = Request::PromoteNode { node };
        let shard = ShardId::new(0);
        match self.inner.link.ask_leader(shard, || encode(&request)).await?.response {
            Response::NodeAdded { .. } => Ok(()),
            _ => ProtocolSnafu.fail(),
        }
    }

    /// Removes a node from the cluster.
    pub async fn remove_node(&self, node: NodeId) -> Result<(), RequestError> {
        let request = Request::RemoveNode { node };
        let shard = ShardId::new(0);
        match self.inner.link.ask_leader(shard, || encode(&request)).await?.response {
            Response::NodeRemoved => Ok(()),
            _ => ProtocolSnafu.fail(),
        }
    }

    /// Proposes a command under a request id until its outcome is known.
    async fn write(&self, shard: ShardId, command: &Command) -> Result<Outcome, RequestError> {
        loop {
            let session = self.session(shard).await?;
            let ticket = session.ticket().await;
            let body = || {
                let (request, command) = (Some(ticket.request()), command.clone());
                encode(&Request::Write { shard, request, command })
            };
            let answer = self.inner.link.ask_leader(shard, body).await?;
            match outcome(answer.response)? {
                Outcome::Refused(Refusal::SessionUnknown) => {
                    self.drop_session(shard, &session).await;
                    ensure!(!answer.repeated, OutcomeLostSnafu);
                }
                Outcome::Refused(Refusal::SequenceForgotten) => return OutcomeLostSnafu.fail(),
                outcome => return Ok(outcome),
            }
        }
    }

    async fn session(&self, shard: ShardId) -> Result<Arc<Session>, RequestError> {
        let mut sessions = self.inner.sessions.lock().await;
        if let Some(session) = sessions.get(&shard) {
            return Ok(session.clone());
        }
        let request = Request::Write { shard, request: None, command: Command::OpenSession };
        let answer = self.inner.link.ask_leader(shard, || encode(&request)).await?;
        let Outcome::SessionOpened { session } = outcome(answer.response)? else {
            return ProtocolSnafu.fail();
        };
        let session = Session::new(session);
        sessions.insert(shard, session.clone());
        Ok(session)
    }

    async fn drop_session(&self, shard: ShardId, expired: &Arc<Session>) {
        let mut sessions = self.inner.sessions.lock().await;
        if sessions.get(&shard).is_some_and(|current| Arc::ptr_eq(current, expired)) {
            sessions.remove(&shard);
        }
    }
}

fn to_key(key: impl AsRef<[u8]>) -> Result<Key, Invalid> {
    Key::new(Bytes::copy_from_slice(key.as_ref())).map_err(|error: KeyError| error.into())
}

fn to_value(value: impl AsRef<[u8]>) -> Result<Value, Invalid> {
    Value::new(Bytes::copy_from_slice(value.as_ref())).map_err(|error: ValueError| error.into())
}

fn outcome(response: Response) -> Result<Outcome, RequestError> {
    let Response::Outcome(bytes) = response else { return ProtocolSnafu.fail() };
    decode(&bytes).ok().context(ProtocolSnafu)
}

fn one(values: &Bytes) -> Result<Option<Val>, RequestError> {
    let mut values = decode_vals(values).ok().context(ProtocolSnafu)?;
    ensure!(values.len() <= 1, ProtocolSnafu);
    Ok(values.pop())
}
