//! The client: connecting, writing, and what every other request goes through.
//!
//! One method for each thing a user wants, over [`Link`] and [`Session`]. Reads, transactions, leases,
//! functions and members have files of their own.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aspen_core::{
    ClusterInfo, Command, Expiry, Key, KeyError, Operation, OperationResult, Outcome, Refusal,
    ReplicaStatus, Request, RequestId, Response, Revision, ShardId, ShardRouter, Timestamp,
    Transact, Value, ValueError, Version, WriteOp, decode, encode,
};
use aspen_net::{IrohConfig, IrohTransport, PeerAddr, Ticket, Transport};
use bytes::Bytes;
use snafu::{OptionExt, ResultExt, ensure};
use tokio::sync::Mutex;

use crate::error::*;
use crate::link::Link;
use crate::session::Session;

/// A leader tries to compile an upload for up to 20 s before it answers, and then waits for other replicas
/// as long and 3 s; asked again meanwhile it would begin anew.
const UPLOAD_TAKES: Duration = Duration::from_secs(45);

/// The same of one of more than 2 MiB: six minutes, and as long for the others.
const LARGE_UPLOAD_TAKES: Duration = Duration::from_secs(750);

/// Time limits of a client.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// For a whole operation with all its repeats: 30 s; longer for the end of a large upload.
    pub limit: Duration,
    /// For one attempt at one node: 5 s; of an upload, which is compiled first, at least 25 s.
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

/// Where a transaction is decided.
enum Home {
    One(ShardId),
    Many { coordinator: ShardId },
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
    /// Whether every read held: of compare, then, else it tells which branch was done.
    pub succeeded: bool,
    /// One per operation done, in order.
    pub results: Vec<OperationResult>,
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

    /// Writes one key.
    pub async fn put(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> Result<Written, WriteError> {
        let value = to_value(value)?;
        self.write_one(WriteOp::set(to_key(key)?, value)).await
    }

    /// Removes one key; it need not exist.
    pub async fn delete(&self, key: impl AsRef<[u8]>) -> Result<Written, WriteError> {
        self.write_one(WriteOp::Delete { key: to_key(key)? }).await
    }

    /// Writes one key that is removed again after a time, or with a lease.
    pub async fn put_expiring(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        expiry: Expiry,
    ) -> Result<Written, WriteError> {
        let (key, value) = (to_key(key)?, to_value(value)?);
        self.write_one(WriteOp::Set { key, value, expiry }).await
    }

    async fn write_one(&self, write: WriteOp) -> Result<Written, WriteError> {
        let Committed { revision, results, .. } = self.write(Transact::writes([write])).await?;
        match results[..] {
            [OperationResult::Written { version } | OperationResult::Deleted { version }] => {
                Ok(Written { revision, version })
            }
            _ => Err(ProtocolSnafu.build().into()),
        }
    }

    /// Does a write: any form of [`aspen_core::WriteCommand`], or what
    /// [`aspen_core::TransactionBuilder`] made.
    /// If its keys live on several shards it is committed on all of them or on none: that takes two
    /// round trips through logs instead of one. A conflict is an error here; `transaction()` has it
    /// as an outcome.
    pub async fn write(&self, command: impl Into<Transact>) -> Result<Committed, WriteError> {
        let transact: Transact = command.into();
        let home = self.home(&transact)?;
        self.write_at(home, transact).await
    }

    /// As [`Self::write`], on a shard that is known: for commands that name no key.
    pub(crate) async fn write_to(
        &self,
        shard: ShardId,
        transact: Transact,
    ) -> Result<Committed, WriteError> {
        self.write_at(Home::One(shard), transact).await
    }

    async fn write_at(&self, home: Home, transact: Transact) -> Result<Committed, WriteError> {
        transact.check().map_err(|refusal| RefusalSnafu { refusal }.build())?;
        let outcome = match home {
            Home::One(shard) => self.propose(shard, &Command::Transact(transact)).await?,
            Home::Many { coordinator: shard } => {
                let across =
                    |request| Request::Across { shard, request, transact: transact.clone() };
                self.propose_as(shard, across).await?
            }
        };
        match outcome {
            Outcome::Committed { revision, time, succeeded, results } => {
                Ok(Committed { revision, time, succeeded, results })
            }
            Outcome::Conflict { revision, conflicts } => {
                ConflictSnafu { revision, conflicts }.fail()
            }
            Outcome::Refused(refusal) => RefusalSnafu { refusal }.fail(),
            _ => Err(ProtocolSnafu.build().into()),
        }
    }

    /// Where a transaction is decided. Across shards a shard that it writes to is the coordinator's:
    /// that one writes a log entry less.
    fn home(&self, transact: &Transact) -> Result<Home, Invalid> {
        let is_empty = transact.reads.is_empty() && transact.operations().next().is_none();
        ensure!(!is_empty, EmptySnafu);
        let router = &self.inner.router;
        let operations = transact.operations().filter_map(Operation::key);
        let operations = operations.map(|key| Some(router.shard(key.as_bytes())));
        let reads = transact.reads.iter().map(|read| read.shard(router));
        let mut shards = operations.chain(reads);
        let first = shards.next().unwrap_or_else(|| router.only());
        let first = first.context(ManyShardsSnafu)?;
        let mut is_one = true;
        for shard in shards {
            is_one &= shard.context(ManyShardsSnafu)? == first;
        }
        Ok(if is_one { Home::One(first) } else { Home::Many { coordinator: first } })
    }

    pub(crate) fn cluster_id(&self) -> u128 {
        self.inner.cluster
    }

    pub(crate) fn router(&self) -> &ShardRouter {
        &self.inner.router
    }

    pub(crate) fn link(&self) -> &Link {
        &self.inner.link
    }

    /// Asks the leader of a shard something that changes nothing, or may be done twice.
    pub(crate) async fn ask(
        &self,
        shard: ShardId,
        request: &Request,
    ) -> Result<Response, RequestError> {
        Ok(self.inner.link.ask_leader(shard, || encode(request)).await?.response)
    }

    /// Proposes a command under a request id until its outcome is known.
    pub(crate) async fn propose(
        &self,
        shard: ShardId,
        command: &Command,
    ) -> Result<Outcome, RequestError> {
        let write = |request| {
            let (request, command) = (Some(request), command.clone());
            Request::Write { shard, request, command }
        };
        let takes = match command {
            Command::Upload(_) => UPLOAD_TAKES,
            Command::FinishUpload { .. } => LARGE_UPLOAD_TAKES,
            _ => Duration::ZERO,
        };
        self.propose_within(shard, takes, write).await
    }

    /// As [`Self::propose`], whatever the request is that proposes.
    pub(crate) async fn propose_as(
        &self,
        shard: ShardId,
        request: impl Fn(RequestId) -> Request,
    ) -> Result<Outcome, RequestError> {
        self.propose_within(shard, Duration::ZERO, request).await
    }

    /// As [`Self::propose_as`]; `takes` is how long a node may need before it answers.
    async fn propose_within(
        &self,
        shard: ShardId,
        takes: Duration,
        request: impl Fn(RequestId) -> Request,
    ) -> Result<Outcome, RequestError> {
        loop {
            let session = self.session(shard).await?;
            let ticket = session.ticket().await;
            let body = || encode(&request(ticket.request()));
            let link = &self.inner.link;
            let answer = link.ask_leader_at_length(shard, takes, body).await?;
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

pub(crate) fn to_key(key: impl AsRef<[u8]>) -> Result<Key, Invalid> {
    Key::new(Bytes::copy_from_slice(key.as_ref())).map_err(|error: KeyError| error.into())
}

pub(crate) fn to_value(value: impl AsRef<[u8]>) -> Result<Value, Invalid> {
    Value::new(Bytes::copy_from_slice(value.as_ref())).map_err(|error: ValueError| error.into())
}

pub(crate) fn outcome(response: Response) -> Result<Outcome, RequestError> {
    let Response::Outcome(bytes) = response else { return ProtocolSnafu.fail() };
    decode(&bytes).ok().context(ProtocolSnafu)
}
