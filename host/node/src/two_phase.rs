//! Transactions across shards: this node drives those that it was asked for, and resolves what
//! others left behind.
//!
//! ```text
//! client -> leader of the coordinator's shard -> leaders of the other shards   (Participate)
//!           a reader or writer meets a lock   -> leader of the coordinator's shard   (Settle)
//! ```
//!
//! The rules are `aspen_core::Coordinator`'s; here are the messages, the waiting and the repeating.
//! Promises that a lock whose transaction nobody drives is resolved within some seconds, by any
//! leader that finds it, and that an attempt which this node drives is not aborted behind its back
//! while the node leads. Should that happen all the same, the state machine keeps it harmless.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use std::time::Duration;

use aspen_core::{
    Action, Answer, Branch, Caller, Command, Coordinator, Decide, Decision, Event, Finish, Outcome,
    Refusal, Refused, Reply, RequestId, Response, ShardId, Split, Timestamp, Transact, TxnId,
    decode, encode,
};
use aspen_net::PeerId;
use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::driving::Driven;
use crate::limits::{ACROSS_WAIT, FINISH_WAIT, LOCK_PATIENCE, PREPARE_WAIT, SWEEP_EVERY};
use crate::node::ShardedRaftNode;
use crate::participate::{Participated, Participation, ask};
use crate::requests::{entry, find, refused};
use crate::shard::{NotDone, Shard};

/// Does a transaction across shards, of which `shard` is the coordinator's, as a transaction on one
/// shard would be done.
pub async fn transact(
    node: &Arc<ShardedRaftNode>,
    from: PeerId,
    shard: ShardId,
    request: RequestId,
    transact: &Transact,
) -> Result<Response, Refused> {
    let split = match Split::new(&node.router(), transact) {
        Ok(split) => split,
        Err(refusal) => return Ok(Response::Outcome(encode(&Outcome::Refused(refusal)))),
    };
    let shards: Vec<ShardId> = split.shards().collect();
    if shards.len() < 2 || !shards.contains(&shard) {
        let reason = format!("the transaction is not one of {shard} and others");
        return Err(Refused::Invalid { reason });
    }
    let asked = Asked { caller: Caller::new(*from.as_bytes()), request };
    let outcome = commit(node, shard, &asked, &split, None, Instant::now() + ACROSS_WAIT).await?;
    Ok(Response::Outcome(conclude(node, shard, &asked, outcome).await?))
}

/// What the client may be told: `outcome`, if it was decided, or once the log of the coordinator's shard
/// says that it is the answer. Without that another attempt at the same request, which the client asked
/// for because an answer was late, could commit afterwards.
pub async fn conclude(
    node: &Arc<ShardedRaftNode>,
    shard: ShardId,
    asked: &Asked,
    outcome: Bytes,
) -> Result<Bytes, Refused> {
    let nothing_done = match decode(&outcome) {
        // Such a request is never done.
        Ok(Outcome::Refused(Refusal::SessionUnknown | Refusal::SequenceForgotten)) => None,
        Ok(told @ (Outcome::Conflict { .. } | Outcome::Refused(_))) => Some(told),
        _ => None,
    };
    let Some(told) = nothing_done else { return Ok(outcome) };
    let Asked { caller, request } = *asked;
    let command = Command::Conclude(Box::new(told));
    let home = led(node, shard)?;
    home.propose(entry(node, caller, Some(request), command)).await.map_err(refused)
}

/// Who asked for a transaction, and as what.
#[derive(Clone, Copy)]
pub struct Asked {
    pub caller: Caller,
    pub request: RequestId,
}

/// Tries to commit until another transaction is not in the way; the encoded outcome.
pub async fn commit(
    node: &Arc<ShardedRaftNode>,
    shard: ShardId,
    asked: &Asked,
    split: &Split,
    answer: Option<Answer>,
    until: Instant,
) -> Result<Bytes, Refused> {
    let mut pause = Duration::from_millis(1);
    loop {
        let home = led(node, shard)?;
        let begun = home.reader.status().header.clock.max(Timestamp::new(node.clock_ms()));
        let txn = TxnId { begun, coordinator: shard, nonce: rand::random() };
        let (reply, replied) = oneshot::channel();
        let coordinator = Coordinator::new(txn, split.clone(), answer.clone());
        let attempt = Attempt { driven: Driven::begin(node, txn).await, asked: *asked };
        tokio::spawn(attempt.drive(coordinator, reply));
        let (at, by) = match replied.await {
            Ok(Reply::Outcome(outcome)) if !is_over(&outcome) => return Ok(outcome),
            Ok(Reply::Outcome(_)) => (shard, None),
            Ok(Reply::Locked(at, by)) => (at, Some(by)),
            Ok(Reply::Silent(silent)) => {
                let reason = format!("{silent} does not answer");
                return Err(Refused::Unavailable { reason });
            }
            Ok(Reply::Unknown) | Err(_) => return Err(Refused::OutcomeUnknown),
        };
        if Instant::now() >= until {
            let reason = "other transactions hold the keys".into();
            return Err(Refused::Unavailable { reason });
        }
        if let (Some(by), Ok(home)) = (by, find(node, at)) {
            unlocked(node, &home, by, until).await;
        }
        // Two that met may meet again: who waits longer lets the other pass.
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.0..1.0))).await;
        pause = (2 * pause).min(Duration::from_millis(100));
    }
}

/// The shard, if this node leads it.
pub fn led(node: &ShardedRaftNode, shard: ShardId) -> Result<Arc<Shard>, Refused> {
    let home = find(node, shard)?;
    match home.leader() == Some(node.id()) {
        true => Ok(home),
        false => Err(Refused::NotLeader { leader: home.leader_address() }),
    }
}

fn is_over(outcome: &[u8]) -> bool {
    let is_refusal = Outcome::is_refusal(outcome);
    is_refusal && matches!(decode(outcome), Ok(Outcome::Refused(Refusal::AttemptOver)))
}

/// Whose locks kept an entry from being applied, if that is its outcome.
pub fn locked_by(outcome: &[u8]) -> Option<TxnId> {
    let refused = Outcome::is_refusal(outcome).then(|| decode(outcome).ok()).flatten();
    match refused {
        Some(Outcome::Refused(Refusal::Locked { by })) => Some(by),
        _ => None,
    }
}

/// One attempt, driven to its end whether or not anybody waits for it any more.
struct Attempt {
    driven: Driven,
    asked: Asked,
}

impl Attempt {
    async fn drive(self, mut coordinator: Coordinator, reply: oneshot::Sender<Reply>) {
        let mut reply = Some(reply);
        let mut under_way = FuturesUnordered::new();
        let mut actions = coordinator.begin();
        loop {
            for action in actions {
                match action {
                    Action::Reply(answer) => {
                        // Whoever asked may have gone.
                        let _ = reply.take().map(|reply| reply.send(answer));
                    }
                    Action::Forget => self.node().driving().is_done(self.driven.txn),
                    other => under_way.push(self.act(other)),
                }
            }
            let Some(event) = under_way.next().await else { return };
            actions = event.map(|event| coordinator.step(event)).unwrap_or_default();
        }
    }

    fn node(&self) -> &Arc<ShardedRaftNode> {
        &self.driven.node
    }

    /// Does one thing and says what came of it; nothing if it was given up.
    async fn act(&self, action: Action) -> Option<Event> {
        let node = self.node();
        match action {
            Action::Prepare(shard, prepare) => {
                let is_home = shard == prepare.txn.coordinator;
                let command = Command::Prepare(prepare);
                let answer = match is_home {
                    true => self.propose(shard, command).await.ok(),
                    false => participate(node, shard, command, PREPARE_WAIT).await,
                };
                Some(answer.map_or(Event::Silent(shard), |answer| Event::Voted(shard, answer)))
            }
            Action::Decide(decide) => {
                let (shard, txn) = (decide.txn.coordinator, decide.txn);
                let decided = match self.propose(shard, Command::Decide(decide)).await {
                    Ok(outcome) => Some((outcome, decision(node, shard, txn).await.ok()?)),
                    Err(_) => None,
                };
                Some(Event::Decided(decided))
            }
            Action::Finish(shard, finish) => {
                let command = Command::Finish(finish);
                let done = participate(node, shard, command, FINISH_WAIT).await;
                done.map(|_| Event::Finished(shard))
            }
            Action::Forget | Action::Reply(_) => None,
        }
    }

    /// Proposes on the coordinator's shard, in the name of whoever asked.
    async fn propose(&self, shard: ShardId, command: Command) -> Result<Bytes, NotDone> {
        let node = self.node();
        let shard = find(node, shard).map_err(|refused| NotDone::Stopped(refused.to_string()))?;
        let Asked { caller, request } = self.asked;
        shard.propose(entry(node, caller, Some(request), command)).await
    }
}

/// What the state of a shard says of an attempt.
async fn decision(
    node: &ShardedRaftNode,
    shard: ShardId,
    txn: TxnId,
) -> Result<Option<Decision>, Refused> {
    let shard = find(node, shard)?;
    let look =
        shard.reader.inspect(move |_, resident, _| Ok(resident.locks.decision(&txn).cloned()));
    look.await.map_err(|fault| Refused::Failed { reason: fault.to_string() })
}

/// Has a shard's leader, wherever it is, propose a step, again and again until it is applied or the
/// time is over.
async fn participate(
    node: &ShardedRaftNode,
    shard: ShardId,
    command: Command,
    limit: Duration,
) -> Option<Bytes> {
    let asked = ask(node, shard, Participation::Propose(command), limit).await?;
    match asked {
        Participated::Outcome(outcome) => Some(outcome),
        _ => None,
    }
}

/// As the leader of the coordinator's shard: what was decided of an attempt. One that nobody
/// drives is aborted; none: it is under way here.
pub async fn settle(
    node: &ShardedRaftNode,
    home: &Shard,
    txn: TxnId,
) -> Result<Option<Decision>, NotDone> {
    if node.driving().has(&txn) {
        return Ok(None);
    }
    let decide = Decide { txn, decision: Decision::Abort, answer: Answer::Results(vec![]) };
    let command = Command::Decide(decide);
    let outcome = home.propose(entry(node, Caller::LOCAL, None, command)).await?;
    match decode(&outcome) {
        Ok(Outcome::Decided(decision)) => Ok(Some(decision)),
        _ => Ok(None),
    }
}

/// As the leader of a shard that has a lock: asks what became of the attempt and does that.
async fn resolve(node: &ShardedRaftNode, shard: &Shard, txn: TxnId, ticket: u64) {
    let asked = ask(node, txn.coordinator, Participation::Settle(txn), FINISH_WAIT).await;
    if let Some(Participated::Settled(Some(decision))) = asked {
        let branch = decision.branch_for(shard.id, ticket);
        let finish = Command::Finish(Finish { txn, ticket: Some(ticket), branch });
        // Should it not be done, the next one who meets the lock tries again.
        let _: Result<Bytes, NotDone> =
            shard.propose(entry(node, Caller::LOCAL, None, finish)).await;
    }
}

/// Waits until a transaction that holds locks on this replica is over, at most until `until`; does
/// something about it if it takes long.
pub async fn unlocked(node: &ShardedRaftNode, shard: &Shard, txn: TxnId, until: Instant) {
    let patient = Instant::now() + LOCK_PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        let look = move |locks: &aspen_core::Locks| locks.prepared(&txn).map(|held| held.ticket);
        let held = shard.reader.inspect(move |_, resident, _| Ok(look(&resident.locks))).await;
        let Ok(Some(ticket)) = held else { return };
        let now = Instant::now();
        if now >= until {
            return;
        }
        if now >= patient && shard.leader() == Some(node.id()) {
            resolve(node, shard, txn, ticket).await;
        }
        tokio::time::sleep(pause).await;
        pause = (2 * pause).min(Duration::from_millis(50));
    }
}

/// What an earlier look found, so that only what stays is taken for left behind.
type Seen = BTreeSet<(ShardId, TxnId)>;

/// Looks for what was left behind: locks of attempts that nobody drives, commits that not every
/// shard has done yet, and commits that can be forgotten.
pub async fn sweep(node: Weak<ShardedRaftNode>) {
    let mut seen = Seen::new();
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(node) = node.upgrade() else { return };
        // A shard that does not answer holds up no other.
        let mut looks = FuturesUnordered::new();
        for shard in node.shards().filter(|shard| node.leads(shard.id)) {
            looks.push(sweep_shard(&node, shard, &seen));
        }
        let mut found = Seen::new();
        while let Some(of_shard) = looks.next().await {
            found.extend(of_shard);
        }
        drop(looks);
        seen = found;
    }
}

/// Looks at one shard; returns what it found and does something about what was there before.
async fn sweep_shard(node: &ShardedRaftNode, shard: Arc<Shard>, seen: &Seen) -> Seen {
    let shard = &*shard;
    let look = shard.reader.inspect(|_, resident, _| {
        let locks = &resident.locks;
        let held: Vec<_> = locks.all_prepared().map(|(txn, held)| (*txn, held.ticket)).collect();
        let commits = |(txn, decision): (&TxnId, &Decision)| match decision {
            Decision::Commit { branch, tickets } => Some((*txn, *branch, tickets.clone())),
            Decision::Abort => None,
        };
        let commits: Vec<_> = locks.all_decided().filter_map(commits).collect();
        Ok((held, commits))
    });
    let Ok((held, commits)) = look.await else { return Seen::new() };
    let mut done = node.driving().take_done(shard.id);
    let is_left = |txn: &TxnId| seen.contains(&(shard.id, *txn)) && !node.driving().has(txn);
    let found = held.iter().map(|(txn, _)| txn).chain(commits.iter().map(|(txn, ..)| txn));
    let found: Seen = found.map(|txn| (shard.id, *txn)).collect();
    let mut work = FuturesUnordered::new();
    for (txn, ticket) in held.into_iter().filter(|(txn, _)| is_left(txn)) {
        work.push(Left::Lock(txn, ticket).tidy(node, shard));
    }
    for (txn, branch, tickets) in commits {
        if is_left(&txn) && !done.contains(&txn) {
            work.push(Left::Commit(txn, branch, tickets).tidy(node, shard));
        }
    }
    while let Some(completed) = work.next().await {
        done.extend(completed);
    }
    drop(work);
    if !done.is_empty() {
        // Should it not be done, they are found again.
        let _: Result<Bytes, NotDone> =
            shard.propose(entry(node, Caller::LOCAL, None, Command::Forget(done))).await;
    }
    found
}

/// What was left behind.
enum Left {
    Lock(TxnId, u64),
    Commit(TxnId, Branch, Vec<(ShardId, u64)>),
}

impl Left {
    /// Brings it to its end; names a commit that every shard has done now.
    async fn tidy(self, node: &ShardedRaftNode, shard: &Shard) -> Option<TxnId> {
        match self {
            Left::Lock(txn, ticket) => {
                resolve(node, shard, txn, ticket).await;
                None
            }
            Left::Commit(txn, branch, tickets) => {
                for (participant, ticket) in tickets {
                    let finish = Finish { txn, ticket: Some(ticket), branch: Some(branch) };
                    participate(node, participant, Command::Finish(finish), FINISH_WAIT).await?;
                }
                Some(txn)
            }
        }
    }
}
