//! Looking for transactions across shards that were left behind.
//!
//! Promises that the leader of a shard ends locks of attempts that nobody drives, and commits that
//! not every shard has done yet, and forgets commits that every shard has done.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use aspen_core::ids::{Caller, ShardId, TxnId};
use aspen_core::protocol::Command;
use aspen_core::two_phase::{Branch, Decision, Finish};
use aspen_core::view::HostError;
use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};

use crate::across::attempt::propose_on;
use crate::across::locks::resolve;
use crate::context::{NodeContext, encoded_entry};
use crate::limits::{FINISH_WAIT, SWEEP_EVERY};
use crate::replica::{Replica, ReplicaError};

/// The transactions that an earlier look found: only those that stay are taken for left behind.
type Found = BTreeSet<(ShardId, TxnId)>;

/// Looks at the shards that this node leads until the node is gone.
pub async fn sweep(node: Weak<NodeContext>) {
    let mut before = Found::new();
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(node) = node.upgrade() else { return };
        // A shard that does not answer holds up no other.
        let mut looks = FuturesUnordered::new();
        for replica in node.replicas().filter(|replica| node.leads(replica.id)) {
            looks.push(sweep_shard(&node, replica, &before));
        }
        let mut found = Found::new();
        while let Some(of_shard) = looks.next().await {
            found.extend(of_shard);
        }
        drop(looks);
        before = found;
    }
}

/// Looks at one shard; returns the transactions found, and tidies those that were there before.
async fn sweep_shard(node: &NodeContext, replica: Arc<Replica>, before: &Found) -> Found {
    let replica = &*replica;
    let Ok(Unfinished { locks, commits }) = Unfinished::of(replica).await else {
        return Found::new();
    };
    let mut done = node.attempts().take_done(replica.id);
    let is_left = |txn: &TxnId| before.contains(&(replica.id, *txn)) && !node.attempts().has(txn);
    let found = locks.iter().map(|(txn, _)| txn).chain(commits.iter().map(|commit| &commit.txn));
    let found: Found = found.map(|txn| (replica.id, *txn)).collect();
    let mut work = FuturesUnordered::new();
    for (txn, prepare_id) in locks.into_iter().filter(|(txn, _)| is_left(txn)) {
        work.push(Leftover::Lock(txn, prepare_id).tidy(node, replica));
    }
    for commit in commits {
        if is_left(&commit.txn) && !done.contains(&commit.txn) {
            work.push(Leftover::Commit(commit).tidy(node, replica));
        }
    }
    while let Some(completed) = work.next().await {
        done.extend(completed);
    }
    drop(work);
    if !done.is_empty() {
        // Should it not be done, they are found again.
        let _: Result<Bytes, ReplicaError> =
            replica.propose(encoded_entry(node, Caller::LOCAL, None, Command::Forget(done))).await;
    }
    found
}

/// The transactions of a shard that are not finished everywhere.
struct Unfinished {
    /// Each prepared transaction, with its prepare_id.
    locks: Vec<(TxnId, u64)>,
    commits: Vec<UnfinishedCommit>,
}

/// A committed transaction that the shard coordinates.
struct UnfinishedCommit {
    txn: TxnId,
    branch: Branch,
    /// The prepare_ids of the other shards.
    prepare_ids: Vec<(ShardId, u64)>,
}

impl Unfinished {
    async fn of(replica: &Replica) -> Result<Unfinished, HostError> {
        let look = replica.reader.inspect(|_, resident, _| {
            let all = &resident.locks;
            let locks = all.all_prepared().map(|(txn, held)| (*txn, held.prepare_id)).collect();
            let commits = |(txn, decision): (&TxnId, &Decision)| match decision {
                Decision::Commit { branch, prepare_ids } => {
                    let (txn, branch, prepare_ids) = (*txn, *branch, prepare_ids.clone());
                    Some(UnfinishedCommit { txn, branch, prepare_ids })
                }
                Decision::Abort => None,
            };
            let commits = all.all_decided().filter_map(commits).collect();
            Ok(Unfinished { locks, commits })
        });
        look.await
    }
}

/// A lock or a commit that was left behind.
enum Leftover {
    Lock(TxnId, u64),
    Commit(UnfinishedCommit),
}

impl Leftover {
    /// Brings it to its end; returns a commit that every shard has done now.
    async fn tidy(self, node: &NodeContext, replica: &Replica) -> Option<TxnId> {
        match self {
            Leftover::Lock(txn, prepare_id) => {
                resolve(node, replica, txn, prepare_id).await;
                None
            }
            Leftover::Commit(UnfinishedCommit { txn, branch, prepare_ids }) => {
                for (participant, prepare_id) in prepare_ids {
                    let finish = Finish { txn, prepare_id: Some(prepare_id), branch: Some(branch) };
                    let command = Command::Finish(finish);
                    propose_on(node, participant, command, FINISH_WAIT).await?;
                }
                Some(txn)
            }
        }
    }
}
