//! Who may talk to this node, and for what.
//!
//! Nodes are those of the cluster's membership (replicated) and those named when the folder was
//! made; clients are the keys that the folder lists. Nobody else gets in, and the refusal says so.
//! Leaves out rights: a client that is let in may do everything.

use std::collections::BTreeSet;
use std::sync::RwLock;

use aspen_net::{PeerId, Purpose};

use crate::folder::Identity;

/// The lists, as of now.
pub struct Access {
    founders: BTreeSet<PeerId>,
    clients: BTreeSet<PeerId>,
    members: RwLock<BTreeSet<PeerId>>,
}

impl Access {
    /// As the folder says.
    pub fn new(identity: &Identity) -> Self {
        let founders = identity.peers.iter().map(|peer| peer.id).collect();
        let clients = identity.clients.iter().copied().collect();
        Self { founders, clients, members: RwLock::default() }
    }

    /// Replaces the members by those of a newer membership.
    pub fn set_members(&self, members: BTreeSet<PeerId>) {
        *self.members.write().expect("no panic while the lock is held") = members;
    }

    /// Whether `from` may open a stream.
    pub fn admit(&self, from: PeerId, purpose: Purpose) -> Result<(), String> {
        let members = self.members.read().expect("no panic while the lock is held");
        let known = match purpose {
            // Once the log has told the members, founders that left are strangers.
            Purpose::Raft | Purpose::Snapshot if members.is_empty() => {
                self.founders.contains(&from)
            }
            Purpose::Raft | Purpose::Snapshot => members.contains(&from),
            Purpose::Client => self.clients.contains(&from) || members.contains(&from),
        };
        match (known, purpose) {
            (true, _) => Ok(()),
            (false, Purpose::Client) => {
                Err(format!("key {from} is not a client of this cluster; ask for a ticket"))
            }
            (false, _) => Err(format!("key {from} is not a node of this cluster")),
        }
    }
}
