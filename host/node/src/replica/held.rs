//! The resources of a replica that must not stay: for a search for leaks.
//!
//! Promises counts of one moment, but for the views. Leaves out the status (`status.rs`).

use aspen_core::two_phase::Decision;

use crate::replica::parts::Replica;

/// The resources of a replica that must not stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldResources {
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

impl Replica {
    /// Counts the resources of this replica that must not stay.
    pub async fn held(&self) -> Option<HeldResources> {
        let views = self.views.count();
        let held = self.reader.inspect(move |_, resident, _| {
            let commits = resident.locks.all_decided();
            let commits = commits.filter(|(_, decision)| **decision != Decision::Abort).count();
            Ok(HeldResources {
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
