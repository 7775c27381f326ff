//! The lists of the nodes and clients that may talk to this node.
//!
//! Nodes may talk to this node if the placement map has them (replicated), or, until there is a
//! map, if they were named when the folder was made. Clients may if the folder lists their keys.
//! Promises that nobody else gets in, and that the refusal says so. Leaves out rights: a client
//! that is let in may do everything.
//!
//! A replica that is behind does not know the members that came later, and one of those may be the
//! leader that the replica needs to catch up: Raft itself takes entries from leaders that it does
//! not know (Ongaro 2014, section 4.1). So before a node refuses a stranger for good, it asks the
//! members that it knows for their map (`placement/members.rs`), and believes the latest answer
//! until its own map is as new.

use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};

use aspen_net::{PeerAddr, PeerId, Purpose};
use tokio::sync::Notify;

use crate::folder::Identity;
use crate::peer::{PlacementMap, parse_address};

/// The lists, as of now.
pub struct Access {
    founders: Members,
    clients: BTreeSet<PeerId>,
    members: RwLock<MemberLists>,
    /// An unknown node wants to get in.
    stranger: Arc<Notify>,
}

/// The members by the map of some epoch.
#[derive(Clone, Default)]
pub struct Members {
    epoch: u64,
    addresses: Vec<PeerAddr>,
}

#[derive(Default)]
struct MemberLists {
    /// The members by this node's copy of the map.
    own: Members,
    /// The members that another member has told.
    told: Members,
}

impl Members {
    /// The members at `addresses`, from before any map.
    pub fn at(addresses: impl IntoIterator<Item = PeerAddr>) -> Self {
        Self { epoch: 0, addresses: addresses.into_iter().collect() }
    }

    fn has(&self, key: PeerId) -> bool {
        self.addresses.iter().any(|address| address.id == key)
    }
}

impl From<&PlacementMap> for Members {
    fn from(map: &PlacementMap) -> Self {
        let nodes = map.placement.nodes.values();
        let addresses = nodes.filter_map(|node| parse_address(&node.address)).collect();
        Self { epoch: map.epoch, addresses }
    }
}

impl Access {
    /// The lists that the folder gives.
    pub fn new(identity: &Identity) -> Self {
        let founders = Members::at(identity.peers.iter().cloned());
        let clients = identity.clients.iter().copied().collect();
        Self { founders, clients, members: RwLock::default(), stranger: Default::default() }
    }

    /// Replaces the members that this node's own map gives.
    pub fn set_members(&self, members: Members) {
        self.members.write().expect("no panic while the lock is held").own = members;
    }

    /// Takes the members that another member names, if they are the latest.
    pub fn told(&self, members: Members) {
        let mut lists = self.members.write().expect("no panic while the lock is held");
        if members.epoch > lists.told.epoch {
            lists.told = members;
        }
    }

    /// Returns the addresses of the latest known members.
    pub fn addresses(&self) -> Vec<PeerAddr> {
        self.current(|members| members.addresses.clone())
    }

    /// Reads the latest known members.
    fn current<T>(&self, read: impl FnOnce(&Members) -> T) -> T {
        let lists = self.members.read().expect("no panic while the lock is held");
        let latest = if lists.told.epoch > lists.own.epoch { &lists.told } else { &lists.own };
        // Once the map has told the members, founders that left are strangers.
        read(if latest.addresses.is_empty() { &self.founders } else { latest })
    }

    /// Returns a signal that is given whenever a node was refused.
    pub fn refused(&self) -> Arc<Notify> {
        self.stranger.clone()
    }

    /// Returns an error for the other side unless `from` may open a stream.
    pub fn admit(&self, from: PeerId, purpose: Purpose) -> Result<(), String> {
        let is_member = || self.current(|members| members.has(from));
        match purpose {
            Purpose::Client if self.clients.contains(&from) || is_member() => Ok(()),
            Purpose::Client => {
                Err(format!("key {from} is not a client of this cluster; ask for a ticket"))
            }
            Purpose::Raft | Purpose::Snapshot if is_member() => Ok(()),
            Purpose::Raft | Purpose::Snapshot => {
                self.stranger.notify_one();
                Err(format!("key {from} is not a node of this cluster"))
            }
        }
    }
}
