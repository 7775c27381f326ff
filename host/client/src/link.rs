//! Getting a request to whoever can answer it, within its time limit.
//!
//! Knows the nodes and the leader of each shard as last heard, follows redirects, goes round the
//! nodes with jittered backoff when one does not answer, and asks the node it falls back to for
//! the present map. Repeats are safe: reads change nothing, and writes carry request ids.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use aspen_core::{ClusterInfo, NodeId, Refused, Request, Response, ShardId, decode, encode};
use aspen_net::{NetError, PeerAddr, Purpose, Transport};
use bytes::Bytes;
use tokio::time::Instant;

use crate::error::{DeniedSnafu, ProtocolSnafu, RefusedSnafu, RequestError, UnreachableSnafu};

/// First pause after a node did not answer; doubles up to [`BACKOFF_MAX`], each with jitter.
const BACKOFF_MIN: Duration = Duration::from_millis(5);
/// Longest pause between attempts: a leader election takes about a second.
const BACKOFF_MAX: Duration = Duration::from_millis(200);
/// So long a node that did not answer is not believed to lead, whoever says so: followers name a
/// dead leader until they elect another, and dialling the dead takes seconds.
const SHUNNED: Duration = Duration::from_secs(1);

/// The way to the cluster.
pub struct Link {
    transport: Arc<dyn Transport>,
    map: Mutex<Map>,
    limit: Duration,
    attempt: Duration,
}

#[derive(Default)]
struct Map {
    nodes: Vec<PeerAddr>,
    leaders: BTreeMap<ShardId, PeerAddr>,
    /// When a node last failed to answer.
    failed: BTreeMap<PeerAddr, Instant>,
    turn: usize,
}

/// What one attempt came to.
enum Attempt {
    Done(Response),
    /// Try again, at once if a leader was named; the text is for the error at the end.
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

/// An answer, and whether an earlier attempt may have been executed without our knowing.
pub struct Answer {
    pub response: Response,
    pub repeated: bool,
}

impl Link {
    pub fn new(
        transport: Arc<dyn Transport>,
        nodes: Vec<PeerAddr>,
        limit: Duration,
        attempt: Duration,
    ) -> Self {
        let turn = rand::random_range(0..nodes.len().max(1));
        let map = Map { nodes, turn, ..Map::default() };
        Self { transport, map: Mutex::new(map), limit, attempt }
    }

    /// Asks the leader of `shard` until it answers or time is up. `body` is encoded per attempt.
    pub async fn ask_leader(
        &self,
        shard: ShardId,
        body: impl Fn() -> Bytes,
    ) -> Result<Answer, RequestError> {
        self.ask(Some(shard), body).await
    }

    /// Asks any node.
    pub async fn ask_any(&self, request: &Request) -> Result<Response, RequestError> {
        Ok(self.ask(None, || encode(request)).await?.response)
    }

    /// Asks one node, once.
    pub async fn ask_node(
        &self,
        node: &PeerAddr,
        request: &Request,
    ) -> Result<Response, RequestError> {
        match self.attempt(None, node, encode(request), self.attempt).await {
            Attempt::Done(response) => Ok(response),
            Attempt::Fail(error) => Err(error),
            Attempt::Again { why: last, .. } | Attempt::Unsure { why: last } => {
                UnreachableSnafu { waited: self.attempt, last }.fail()
            }
        }
    }

    /// The nodes as last heard.
    pub fn nodes(&self) -> Vec<PeerAddr> {
        self.map().nodes.clone()
    }

    /// Asks for the cluster's map and keeps it.
    pub async fn cluster(&self) -> Result<ClusterInfo, RequestError> {
        match self.ask_any(&Request::Cluster).await? {
            Response::Cluster(info) => {
                self.learn(&info);
                Ok(info)
            }
            _ => ProtocolSnafu.fail(),
        }
    }

    async fn ask(
        &self,
        shard: Option<ShardId>,
        body: impl Fn() -> Bytes,
    ) -> Result<Answer, RequestError> {
        let end = Instant::now() + self.limit;
        let mut backoff = BACKOFF_MIN;
        let mut repeated = false;
        loop {
            let node = self.target(shard);
            let left = end.saturating_duration_since(Instant::now());
            let result = self.attempt(shard, &node, body(), left.min(self.attempt)).await;
            let (pause, last) = match result {
                Attempt::Done(response) => return Ok(Answer { response, repeated }),
                Attempt::Fail(error) => return Err(error),
                Attempt::Again { pause, why } => (pause, why),
                Attempt::Unsure { why } => {
                    repeated = true;
                    (true, why)
                }
            };
            if Instant::now() + backoff >= end {
                return UnreachableSnafu { waited: self.limit, last }.fail();
            }
            if pause {
                tokio::time::sleep(backoff.mul_f64(rand::random_range(0.5..1.5))).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
                self.refresh(shard).await;
            }
        }
    }

    /// After a failure: ask the node whose turn it is for the map. Its failure changes the turn.
    async fn refresh(&self, shard: Option<ShardId>) {
        if shard.is_none_or(|shard| self.map().leaders.contains_key(&shard)) {
            return;
        }
        let node = self.target(None);
        let asked = self.attempt(None, &node, encode(&Request::Cluster), self.attempt / 4).await;
        if let Attempt::Done(Response::Cluster(info)) = asked {
            self.learn(&info);
        }
    }

    async fn attempt(
        &self,
        shard: Option<ShardId>,
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
            Err(error) => return self.failed(shard, node, &error),
        };
        match response {
            Response::Refused(Refused::NotLeader { leader }) => {
                self.redirected(shard, node, leader)
            }
            Response::Refused(Refused::OutcomeUnknown) => {
                self.forget(shard, node);
                Attempt::Unsure { why: Refused::OutcomeUnknown.to_string() }
            }
            Response::Refused(refused @ (Refused::Unavailable { .. } | Refused::Failed { .. })) => {
                self.forget(shard, node);
                Attempt::Again { pause: true, why: refused.to_string() }
            }
            Response::Refused(refused) => Attempt::Fail(RefusedSnafu { refused }.build()),
            response => Attempt::Done(response),
        }
    }

    fn failed(&self, shard: Option<ShardId>, node: &PeerAddr, error: &NetError) -> Attempt {
        self.forget(shard, node);
        self.map().failed.insert(*node, Instant::now());
        let why = error.to_string();
        match error {
            NetError::TooLarge { .. } => {
                let refused = Refused::Invalid { reason: why };
                Attempt::Fail(RefusedSnafu { refused }.build())
            }
            error if error.is_ambiguous() => Attempt::Unsure { why },
            _ => Attempt::Again { pause: true, why },
        }
    }

    fn redirected(
        &self,
        shard: Option<ShardId>,
        node: &PeerAddr,
        leader: Option<(NodeId, String)>,
    ) -> Attempt {
        let why = Refused::NotLeader { leader: leader.clone() }.to_string();
        let address = leader.and_then(|(_, address)| address.parse::<PeerAddr>().ok());
        let address = address.filter(|address| address != node && !self.is_shunned(address));
        match (shard, address) {
            (Some(shard), Some(address)) => {
                // The node named may be the one that just failed us: pause if nothing is new.
                let before = self.map().leaders.insert(shard, address);
                Attempt::Again { pause: before == Some(address), why }
            }
            _ => {
                self.forget(shard, node);
                Attempt::Again { pause: true, why }
            }
        }
    }

    fn is_shunned(&self, node: &PeerAddr) -> bool {
        self.map().failed.get(node).is_some_and(|failed| failed.elapsed() < SHUNNED)
    }

    /// The node to ask: the shard's leader if known, else the one whose turn it is.
    fn target(&self, shard: Option<ShardId>) -> PeerAddr {
        let map = self.map();
        let leader = shard.and_then(|shard| map.leaders.get(&shard).copied());
        leader.unwrap_or_else(|| map.nodes[map.turn % map.nodes.len()])
    }

    fn forget(&self, shard: Option<ShardId>, node: &PeerAddr) {
        let mut map = self.map();
        if let Some(shard) = shard.filter(|shard| map.leaders.get(shard) == Some(node)) {
            map.leaders.remove(&shard);
        }
        if map.nodes[map.turn % map.nodes.len()] == *node {
            map.turn += 1;
        }
    }

    fn learn(&self, info: &ClusterInfo) {
        let mut map = self.map();
        let parsed = info.members.iter().filter_map(|m| Some((m.node, m.address.parse().ok()?)));
        let members: BTreeMap<NodeId, PeerAddr> = parsed.collect();
        if members.is_empty() {
            return;
        }
        let current = map.nodes[map.turn % map.nodes.len()];
        map.nodes = members.values().copied().collect();
        map.turn = map.nodes.iter().position(|node| *node == current).unwrap_or(0);
        map.failed.retain(|_, failed| failed.elapsed() < SHUNNED);
        for (shard, leader) in info.leaders.iter().enumerate() {
            let leader = leader.and_then(|leader| members.get(&leader));
            if let Some(leader) = leader.filter(|leader| !map.failed.contains_key(leader)) {
                map.leaders.insert(ShardId::new(shard as u16), *leader);
            }
        }
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().expect("no panic while the lock is held")
    }
}
