//! Getting a request to whoever can answer it, within its time limit.
//!
//! Knows the map of some epoch and the leader of each shard as last heard, follows redirects, goes
//! round the nodes that have a replica with jittered backoff when one does not answer, and asks the
//! node it falls back to for the present map. A node that has no replica of a shard (any more) says
//! who has: whatever is known, a request ends up with whom it concerns. That one node denies the client
//! ends nothing: others are asked. Repeats are safe: reads change nothing, and writes carry request ids.

use std::collections::{BTreeMap, BTreeSet};
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

struct Map {
    epoch: u64,
    /// Of a map that was not seen yet.
    announced: u64,
    nodes: Vec<PeerAddr>,
    /// Who has a replica of each shard, by the map of that epoch; nobody until it is known.
    replicas: BTreeMap<ShardId, Vec<PeerAddr>>,
    leaders: BTreeMap<ShardId, PeerAddr>,
    /// When a node last failed to answer.
    failed: BTreeMap<PeerAddr, Instant>,
    /// The node that is asked what any can answer.
    current: PeerAddr,
    /// Whose turn it is when that one does not.
    turn: usize,
}

impl Map {
    fn is_shunned(&self, node: &PeerAddr) -> bool {
        self.failed.get(node).is_some_and(|failed| failed.elapsed() < SHUNNED)
    }
}

/// Who can answer a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whom {
    /// Any node.
    Any,
    /// Any node with a replica of the shard.
    Replica(ShardId),
    /// The leader of the shard.
    Leader(ShardId),
}

impl Whom {
    fn shard(self) -> Option<ShardId> {
        match self {
            Whom::Any => None,
            Whom::Replica(shard) | Whom::Leader(shard) => Some(shard),
        }
    }
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
        let current = nodes[turn % nodes.len()];
        let (replicas, leaders, failed) = Default::default();
        let map = Map { epoch: 0, announced: 0, nodes, replicas, leaders, failed, current, turn };
        Self { transport, map: Mutex::new(map), limit, attempt }
    }

    /// Asks the leader of `shard` until it answers or time is up. `body` is encoded per attempt.
    pub async fn ask_leader(
        &self,
        shard: ShardId,
        body: impl Fn() -> Bytes,
    ) -> Result<Answer, RequestError> {
        self.ask(Whom::Leader(shard), self.attempt, body).await
    }

    /// As [`Self::ask_leader`], for a request that takes a node so long by its nature.
    pub async fn ask_leader_at_length(
        &self,
        shard: ShardId,
        takes: Duration,
        body: impl Fn() -> Bytes,
    ) -> Result<Answer, RequestError> {
        self.ask(Whom::Leader(shard), self.attempt.max(takes), body).await
    }

    /// Asks any node with a replica of `shard`.
    pub async fn ask_replica(
        &self,
        shard: ShardId,
        request: &Request,
    ) -> Result<Response, RequestError> {
        Ok(self.ask(Whom::Replica(shard), self.attempt, || encode(request)).await?.response)
    }

    /// Asks one node, once.
    pub async fn ask_node(
        &self,
        node: &PeerAddr,
        request: &Request,
    ) -> Result<Response, RequestError> {
        match self.attempt(Whom::Any, node, encode(request), self.attempt).await {
            Attempt::Done(response) => Ok(response),
            Attempt::Fail(error) => Err(error),
            Attempt::Again { why: last, .. } | Attempt::Unsure { why: last } => {
                UnreachableSnafu { waited: self.attempt, last }.fail()
            }
        }
    }

    /// How long a whole operation may take.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// The nodes as last heard.
    pub fn nodes(&self) -> Vec<PeerAddr> {
        self.map().nodes.clone()
    }

    /// There is a map of this epoch: what an older one says is of the past.
    pub fn must_know(&self, epoch: u64) {
        let mut map = self.map();
        map.announced = map.announced.max(epoch);
    }

    /// The newest epoch that was heard of.
    pub fn known_epoch(&self) -> u64 {
        let map = self.map();
        map.epoch.max(map.announced)
    }

    /// Asks for the cluster's map and keeps it.
    pub async fn cluster(&self) -> Result<ClusterInfo, RequestError> {
        match self.ask(Whom::Any, self.attempt, || encode(&Request::Cluster)).await?.response {
            Response::Cluster(info) => {
                self.learn(&info);
                Ok(info)
            }
            _ => ProtocolSnafu.fail(),
        }
    }

    /// Lets another node say what any can, one that answers if there is one: who looks again at what
    /// a single node says may never see it change, for that one may be cut off from the others, or
    /// removed without having heard so.
    pub fn turn_to_another(&self) {
        let mut map = self.map();
        let all = map.nodes.len();
        let next = (1..=all).map(|ahead| map.turn.wrapping_add(ahead));
        let answers = |turn: &usize| !map.is_shunned(&map.nodes[turn % all]);
        map.turn = next.clone().find(answers).unwrap_or(map.turn.wrapping_add(1));
        map.current = map.nodes[map.turn % all];
    }

    async fn ask(
        &self,
        whom: Whom,
        attempt: Duration,
        body: impl Fn() -> Bytes,
    ) -> Result<Answer, RequestError> {
        let end = Instant::now() + self.limit.max(attempt);
        let mut backoff = BACKOFF_MIN;
        let (mut repeated, mut before) = (false, None);
        let mut denied = BTreeSet::new();
        loop {
            let node = self.target(whom);
            let left = end.saturating_duration_since(Instant::now());
            let result = self.attempt(whom, &node, body(), left.min(attempt)).await;
            let (pause, why) = match result {
                Attempt::Done(response) => return Ok(Answer { response, repeated }),
                // It speaks for itself: it may be new, or no node of this cluster at all.
                Attempt::Fail(RequestError::Denied { reason })
                    if denied.insert(node) && denied.len() < self.nodes().len() =>
                {
                    self.forget(whom, &node);
                    (false, reason)
                }
                Attempt::Fail(error) => return Err(error),
                Attempt::Again { pause, why } => (pause, why),
                Attempt::Unsure { why } => {
                    repeated = true;
                    (true, why)
                }
            };
            // An attempt that the limit cut short says less than what went wrong before it.
            let last = before.filter(|_| Instant::now() >= end).unwrap_or(why);
            if Instant::now() + backoff >= end {
                return UnreachableSnafu { waited: self.limit, last }.fail();
            }
            before = Some(last);
            if pause {
                tokio::time::sleep(backoff.mul_f64(rand::random_range(0.5..1.5))).await;
                backoff = (backoff * 2).min(BACKOFF_MAX);
                self.refresh(whom).await;
            }
        }
    }

    /// After a failure: ask the node whose turn it is for the map. Its failure changes the turn.
    async fn refresh(&self, whom: Whom) {
        if whom.shard().is_none_or(|shard| self.map().leaders.contains_key(&shard)) {
            return;
        }
        let node = self.target(Whom::Any);
        let asked =
            self.attempt(Whom::Any, &node, encode(&Request::Cluster), self.attempt / 4).await;
        if let Attempt::Done(Response::Cluster(info)) = asked {
            self.learn(&info);
        }
    }

    async fn attempt(
        &self,
        whom: Whom,
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
            Err(error) => return self.failed(whom, node, &error),
        };
        match response {
            Response::Refused(Refused::NotLeader { leader }) => self.redirected(whom, node, leader),
            Response::Refused(refused @ Refused::NotHere { .. }) => {
                self.misplaced(whom, node, refused)
            }
            Response::Refused(Refused::OutcomeUnknown) => {
                self.forget(whom, node);
                Attempt::Unsure { why: Refused::OutcomeUnknown.to_string() }
            }
            Response::Refused(refused @ (Refused::Unavailable { .. } | Refused::Failed { .. })) => {
                self.forget(whom, node);
                Attempt::Again { pause: true, why: refused.to_string() }
            }
            Response::Refused(refused) => Attempt::Fail(RefusedSnafu { refused }.build()),
            response => Attempt::Done(response),
        }
    }

    fn failed(&self, whom: Whom, node: &PeerAddr, error: &NetError) -> Attempt {
        self.forget(whom, node);
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

    fn redirected(&self, whom: Whom, node: &PeerAddr, leader: Option<(NodeId, String)>) -> Attempt {
        let why = Refused::NotLeader { leader: leader.clone() }.to_string();
        let address = leader.and_then(|(_, address)| address.parse::<PeerAddr>().ok());
        let address = address.filter(|address| address != node && !self.map().is_shunned(address));
        match (whom.shard(), address) {
            (Some(shard), Some(address)) => {
                // The node named may be the one that just failed us: pause if nothing is new.
                let before = self.map().leaders.insert(shard, address);
                Attempt::Again { pause: before == Some(address), why }
            }
            _ => {
                self.forget(whom, node);
                Attempt::Again { pause: true, why }
            }
        }
    }

    /// The node has no replica: whoever has one by its map is asked next.
    fn misplaced(&self, whom: Whom, node: &PeerAddr, refused: Refused) -> Attempt {
        let why = refused.to_string();
        self.forget(whom, node);
        let (Refused::NotHere { epoch, replicas }, Some(shard)) = (refused, whom.shard()) else {
            return Attempt::Again { pause: true, why };
        };
        let mut map = self.map();
        let replicas = replicas.iter().filter_map(|(_, address)| address.parse().ok());
        let replicas: Vec<PeerAddr> = replicas.collect();
        // Between two that send to each other, the newer map counts; with equal ones a move is
        // under way, and it takes a moment.
        let is_news = epoch > map.epoch && !replicas.is_empty();
        if epoch >= map.epoch && !replicas.is_empty() {
            map.replicas.insert(shard, replicas);
        }
        Attempt::Again { pause: !is_news, why }
    }

    /// The node to ask: the shard's leader if known, else of those that have a replica the one whose
    /// turn it is.
    fn target(&self, whom: Whom) -> PeerAddr {
        let map = self.map();
        let leader = match whom {
            Whom::Leader(shard) => map.leaders.get(&shard).copied(),
            Whom::Any | Whom::Replica(_) => None,
        };
        let replicas = whom.shard().and_then(|shard| map.replicas.get(&shard));
        let nodes = replicas.filter(|replicas| !replicas.is_empty()).unwrap_or(&map.nodes);
        leader.unwrap_or_else(|| {
            // It stays with one node as long as that answers.
            let current = nodes.iter().position(|node| *node == map.current);
            nodes[current.unwrap_or(map.turn) % nodes.len()]
        })
    }

    fn forget(&self, whom: Whom, node: &PeerAddr) {
        let mut map = self.map();
        if let Some(shard) = whom.shard()
            && map.leaders.get(&shard) == Some(node)
        {
            map.leaders.remove(&shard);
        }
        map.turn = map.turn.wrapping_add(1);
        if map.current == *node {
            map.current = map.nodes[map.turn % map.nodes.len()];
        }
    }

    fn learn(&self, info: &ClusterInfo) {
        let mut map = self.map();
        let nodes = info.placement.nodes.iter();
        let parsed = nodes.filter_map(|(id, node)| Some((*id, node.address.parse().ok()?)));
        let members: BTreeMap<NodeId, PeerAddr> = parsed.collect();
        if members.is_empty() || info.epoch < map.epoch {
            return;
        }
        map.epoch = info.epoch;
        map.nodes = members.values().copied().collect();
        let placed = (0..).map(ShardId::new).zip(&info.placement.shards);
        let at = |ids: &[NodeId]| ids.iter().filter_map(|id| members.get(id).copied()).collect();
        map.replicas = placed.map(|(shard, replicas)| (shard, at(&replicas.now))).collect();
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
