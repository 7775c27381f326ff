//! A replica: its shard, its member of the Raft group, its storage, and the times that it
//! remembers.
//!
//! Leaves out the actions of a replica: the other files of this room add them.

use std::sync::Mutex;

use aspen_core::ids::ShardId;
use aspen_store::{Raft, ShardLog, StateReader};
use tokio::time::Instant;

use super::open_views::OpenViews;
use super::rate::Rate;
use super::snapshot_slots::{IncomingSnapshot, OutgoingSnapshot};
use crate::peer::ShardNetwork;

/// A replica that this node hosts.
pub struct Replica {
    /// The shard.
    pub id: ShardId,
    pub raft: Raft,
    pub reader: StateReader,
    pub log: ShardLog,
    pub(super) incoming: IncomingSnapshot,
    pub outgoing: OutgoingSnapshot,
    /// The connections to the shard's other replicas.
    pub net: ShardNetwork,
    /// The time when the latest read began that found this replica up to date.
    pub(super) fresh: Mutex<Option<Instant>>,
    /// The time when the leader was last heard.
    pub(super) heard: Mutex<Option<Instant>>,
    /// A disagreement that is not this replica's fault for certain.
    pub(super) warning: Mutex<Option<String>>,
    /// The rate at which the replica applies.
    pub rate: Rate,
    /// Views of the replica that stay open.
    pub views: OpenViews,
}

impl Replica {
    /// A replica of shard `id` that has just been opened.
    pub fn new(
        id: ShardId,
        raft: Raft,
        reader: StateReader,
        log: ShardLog,
        net: ShardNetwork,
    ) -> Replica {
        let (incoming, outgoing, fresh, heard, warning) = Default::default();
        let (rate, views) = Default::default();
        Replica {
            id,
            raft,
            reader,
            log,
            incoming,
            outgoing,
            net,
            fresh,
            heard,
            warning,
            rate,
            views,
        }
    }

    /// Ends the open views and the membership in the group, and closes the state.
    pub async fn close(&self) {
        self.views.end();
        // Fails only when the group has stopped already.
        let _ = self.raft.shutdown().await;
        self.reader.closed().await;
    }
}
