//! The link to a cluster: it gets a request to a node that can answer, within the request's time limit.
//!
//! Follows redirects to leaders. If a node does not answer, the link pauses with jitter, goes round the
//! nodes that have a replica, and asks the node of the next turn for the present placement map. A node
//! without a replica of the shard names the nodes that have one. So a request reaches the right node,
//! however old the client's map is. A denial by one node does not end a request: others are asked.
//! Repeats are safe: reads change nothing, and writes carry request ids.
//! The routing table is in `link/routing.rs`.

mod routing;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aspen_core::codec::{decode, encode};
use aspen_core::ids::{NodeId, ShardId};
use aspen_core::protocol::{ClusterInfo, ErrorReply, Request, Response};
use aspen_net::{Backoff, NetError, PeerAddr, Purpose, Transport};
use bytes::Bytes;
use tokio::time::Instant;

use crate::error::{DeniedSnafu, ProtocolSnafu, RefusedSnafu, RequestError, UnreachableSnafu};
use crate::link::routing::{RoutingTable, Target};

/// First pause after a node did not answer; doubles up to [`PAUSE_MAX`], each with jitter.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// Longest pause between attempts: a leader election takes about a second.
const PAUSE_MAX: Duration = Duration::from_millis(200);

/// The way to the cluster.
pub struct Link {
    transport: Arc<dyn Transport>,
    table: Mutex<RoutingTable>,
    limit: Duration,
    attempt: Duration,
}

/// The result of one attempt.
enum Attempt {
    Done(Response),
    /// Try again, at once if `pause` is false; the text is for the error at the end.
    Again {
        pause: bool,
        why: String,
    },
    /// Like `Again`, but the request may have been executed.
    Unsure {
        why: String,
    },
    Fail(RequestError),
}

/// A response of the cluster.
pub struct Delivery {
    pub response: Response,
    /// True if an earlier attempt may have been executed, and its response was lost.
    pub repeated: bool,
}

impl Link {
    /// Makes a link to `nodes`, of which there is at least one.
    pub fn new(
        transport: Arc<dyn Transport>,
        nodes: Vec<PeerAddr>,
        limit: Duration,
        attempt: Duration,
    ) -> Self {
        Self { transport, table: Mutex::new(RoutingTable::new(nodes)), limit, attempt }
    }

    /// Asks the leader of `shard` until it answers or time is up. `body` is encoded per attempt.
    pub async fn ask_leader(
        &self,
        shard: ShardId,
        body: impl Fn() -> Bytes,
    ) -> Result<Delivery, RequestError> {
        self.ask(Target::Leader(shard), self.attempt, body).await
    }

    /// Asks as [`Self::ask_leader`] a request that takes a node up to `takes`.
    pub async fn ask_leader_at_length(
        &self,
        shard: ShardId,
        takes: Duration,
        body: impl Fn() -> Bytes,
    ) -> Result<Delivery, RequestError> {
        self.ask(Target::Leader(shard), self.attempt.max(takes), body).await
    }

    /// Asks any node with a replica of `shard`.
    pub async fn ask_replica(
        &self,
        shard: ShardId,
        request: &Request,
    ) -> Result<Response, RequestError> {
        Ok(self.ask(Target::Replica(shard), self.attempt, || encode(request)).await?.response)
    }

    /// Asks one node, once.
    pub async fn ask_node(
        &self,
        node: &PeerAddr,
        request: &Request,
    ) -> Result<Response, RequestError> {
        match self.attempt(Target::AnyNode, node, encode(request), self.attempt).await {
            Attempt::Done(response) => Ok(response),
            Attempt::Fail(error) => Err(error),
            Attempt::Again { why: last, .. } | Attempt::Unsure { why: last } => {
                UnreachableSnafu { waited: self.attempt, last }.fail()
            }
        }
    }

    /// Returns the time limit of a whole operation.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Returns the nodes as last heard.
    pub fn nodes(&self) -> Vec<PeerAddr> {
        self.table().nodes().to_vec()
    }

    /// Notes that a map of this epoch exists: an older map is of the past.
    pub fn must_know(&self, epoch: u64) {
        self.table().announce(epoch);
    }

    /// Returns the newest epoch that was heard of.
    pub fn known_epoch(&self) -> u64 {
        self.table().known_epoch()
    }

    /// Asks for the placement map and keeps it.
    pub async fn cluster(&self) -> Result<ClusterInfo, RequestError> {
        match self.ask(Target::AnyNode, self.attempt, || encode(&Request::Cluster)).await?.response
        {
            Response::Cluster(info) => {
                self.table().learn(&info);
                Ok(info)
            }
            _ => ProtocolSnafu.fail(),
        }
    }

    /// Lets another node answer the next question that any node can answer.
    ///
    /// A caller that asks one node again and again may never see a change: that node may be cut off from
    /// the others, or removed without knowing so.
    pub fn turn_to_another(&self) {
        self.table().turn_to_another();
    }

    async fn ask(
        &self,
        target: Target,
        attempt: Duration,
        body: impl Fn() -> Bytes,
    ) -> Result<Delivery, RequestError> {
        let end = Instant::now() + self.limit.max(attempt);
        let mut backoff = Backoff::new(PAUSE_MIN, PAUSE_MAX);
        let (mut repeated, mut before) = (false, None);
        let mut denied = BTreeSet::new();
        loop {
            let node = self.table().node_for(target);
            let left = end.saturating_duration_since(Instant::now());
            let result = self.attempt(target, &node, body(), left.min(attempt)).await;
            let (pause, why) = match result {
                Attempt::Done(response) => return Ok(Delivery { response, repeated }),
                // A node denies for itself alone: it may be new, or no node of this cluster.
                Attempt::Fail(RequestError::Denied { reason })
                    if denied.insert(node) && denied.len() < self.table().nodes().len() =>
                {
                    self.table().forget(target, &node);
                    (false, reason)
                }
                Attempt::Fail(error) => return Err(error),
                Attempt::Again { pause, why } => (pause, why),
                Attempt::Unsure { why } => {
                    repeated = true;
                    (true, why)
                }
            };
            // An attempt that the limit cut short says less than the failure before it.
            let last = before.filter(|_| Instant::now() >= end).unwrap_or(why);
            if Instant::now() + backoff.peek() >= end {
                return UnreachableSnafu { waited: self.limit, last }.fail();
            }
            before = Some(last);
            if pause {
                let pause = backoff.pause();
                tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
                self.refresh(target).await;
            }
        }
    }

    /// Asks after a failure the node whose turn it is for the map. If that node fails too, the turn
    /// passes on.
    async fn refresh(&self, target: Target) {
        if target.shard().is_none_or(|shard| self.table().has_leader(shard)) {
            return;
        }
        let node = self.table().node_for(Target::AnyNode);
        let body = encode(&Request::Cluster);
        let asked = self.attempt(Target::AnyNode, &node, body, self.attempt / 4).await;
        if let Attempt::Done(Response::Cluster(info)) = asked {
            self.table().learn(&info);
        }
    }

    async fn attempt(
        &self,
        target: Target,
        node: &PeerAddr,
        body: Bytes,
        deadline: Duration,
    ) -> Attempt {
        let reply = self.transport.request(node, Purpose::Client, body, deadline).await;
        let response = match reply.map(|bytes| decode::<Response>(&bytes)) {
            Ok(Ok(response)) => response,
            Ok(Err(_)) => return Attempt::Fail(ProtocolSnafu.build()),
            Err(NetError::Refused { reason, .. }) => {
                return Attempt::Fail(DeniedSnafu { reason }.build());
            }
            Err(error) => return self.failed(target, node, &error),
        };
        match response {
            Response::Error(ErrorReply::NotLeader { leader }) => {
                self.redirected(target, node, leader)
            }
            Response::Error(refused @ ErrorReply::NotHere { .. }) => {
                self.misplaced(target, node, refused)
            }
            Response::Error(ErrorReply::OutcomeUnknown) => {
                self.table().forget(target, node);
                Attempt::Unsure { why: ErrorReply::OutcomeUnknown.to_string() }
            }
            Response::Error(
                refused @ (ErrorReply::Unavailable { .. } | ErrorReply::Failed { .. }),
            ) => {
                self.table().forget(target, node);
                Attempt::Again { pause: true, why: refused.to_string() }
            }
            Response::Error(refused) => Attempt::Fail(RefusedSnafu { refused }.build()),
            response => Attempt::Done(response),
        }
    }

    fn failed(&self, target: Target, node: &PeerAddr, error: &NetError) -> Attempt {
        self.table().note_failure(target, node);
        let why = error.to_string();
        match error {
            NetError::TooLarge { .. } => {
                let refused = ErrorReply::Invalid { reason: why };
                Attempt::Fail(RefusedSnafu { refused }.build())
            }
            error if error.is_ambiguous() => Attempt::Unsure { why },
            _ => Attempt::Again { pause: true, why },
        }
    }

    /// The node does not lead: the leader that it names is asked next.
    fn redirected(
        &self,
        target: Target,
        node: &PeerAddr,
        leader: Option<(NodeId, String)>,
    ) -> Attempt {
        let why = ErrorReply::NotLeader { leader: leader.clone() }.to_string();
        let leader = leader.and_then(|(_, address)| address.parse().ok());
        let is_news = self.table().note_leader(target, node, leader);
        Attempt::Again { pause: !is_news, why }
    }

    /// The node has no replica: a node that has one by its map is asked next.
    fn misplaced(&self, target: Target, node: &PeerAddr, refused: ErrorReply) -> Attempt {
        let why = refused.to_string();
        self.table().forget(target, node);
        let (ErrorReply::NotHere { epoch, replicas }, Some(shard)) = (refused, target.shard())
        else {
            return Attempt::Again { pause: true, why };
        };
        let replicas = replicas.iter().filter_map(|(_, address)| address.parse().ok()).collect();
        let is_news = self.table().note_replicas(shard, epoch, replicas);
        Attempt::Again { pause: !is_news, why }
    }

    fn table(&self) -> MutexGuard<'_, RoutingTable> {
        self.table.lock().expect("no panic while the lock is held")
    }
}
