//! The invariants of a cluster, whatever happens to it. One file for each.
//!
//! | file | promise | looked at |
//! |---|---|---|
//! | `replicas` | equal index, equal digest; all that is stored is equal | every 20 ms; at the end |
//! | `terms` | terms never go back, one leader per term | every 20 ms |
//! | `order` | revisions follow the log, log and state agree | every 20 ms |
//! | `acknowledged` | every acknowledged write exists, once | at the end |
//! | `money` | transfers make and lose none | in the middle and at the end |
//! | `lists` | appends are in one order, each once | in the middle and at the end |
//! | `leases` | keys go with their leases, by entry time alone | at every read of one |
//! | `staleness` | a stale read is not older than its bound | at every read |
//! | `leaks` | no session or lease is left that should be gone | at the end |
//! | `liveness` | once everything is mended, every shard serves | at the end |
//!
//! Strict serializability of histories is checked by `crate::history`. A promise that is broken
//! ends the run with a panic that says which and where.

pub mod acknowledged;
pub mod leaks;
pub mod leases;
pub mod lists;
pub mod liveness;
pub mod money;
mod order;
pub mod replicas;
pub mod staleness;
mod terms;

use aspen_core::ids::{LogIndex, NodeId, ShardId};
use aspen_core::protocol::ReplicaStatus;

use super::trace::Trace;

/// Looks at replicas while they work.
pub struct Watch {
    replicas: replicas::Replicas,
    terms: terms::Terms,
    order: order::Order,
}

impl Watch {
    /// Nothing seen yet.
    pub fn new(trace: Trace) -> Watch {
        let (replicas, order) = Default::default();
        Watch { replicas, terms: terms::Terms::new(trace), order }
    }

    /// Looks at one replica. If it is `known` to compute otherwise, that is not held against it.
    pub fn look(&mut self, node: NodeId, status: &ReplicaStatus, known: bool) {
        self.terms.look(node, status);
        match known {
            true => self.replicas.note(node, status),
            false => {
                self.replicas.look(node, status);
                self.order.look(node, status);
            }
        }
    }

    /// See [`replicas::Replicas::parted`].
    pub fn parted(&self, shard: ShardId) -> (LogIndex, Option<LogIndex>) {
        self.replicas.parted(shard)
    }
}
