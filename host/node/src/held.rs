//! What a replica holds that must not stay: for whoever looks for leaks.
//!
//! Leaves out what the status tells everybody (`shard.rs`).

use aspen_core::{Decision, ShardId};

use crate::node::ShardedRaftNode;

/// What a replica holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Open sessions.
    pub sessions: usize,
    /// Leases, those behind a time to live included.
    pub leases: usize,
    /// Prepares of transactions across shards that are not finished.
    pub prepared: usize,
    /// Commits of such transactions that not every shard has done yet.
    pub commits: usize,
    /// Views for consistent scans.
    pub views: usize,
}

impl ShardedRaftNode {
    /// How much the replica of `shard` holds that must not stay: for whoever looks for leaks.
    pub async fn held(&self, shard: ShardId) -> Option<Held> {
        let shard = self.shard(shard)?;
        let views = shard.views.count();
        let held = shard.reader.inspect(move |_, resident, _| {
            let commits = resident.locks.all_decided();
            let commits = commits.filter(|(_, decision)| **decision != Decision::Abort).count();
            Ok(Held {
                sessions: resident.sessions.len(),
                leases: resident.leases.len(),
                prepared: resident.locks.all_prepared().count(),
                commits,
                views,
            })
        });
        held.await.ok()
    }
}
