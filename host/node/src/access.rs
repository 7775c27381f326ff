//! Who may talk to this node, and for what.
//!
//! Nodes are those of the map (replicated), and those named when the folder was made until there is a
//! map; clients are the keys that the folder lists. Nobody else gets in, and the refusal says so.
//! Leaves out rights: a client that is let in may do everything.
//!
//! A replica that is behind does not know the members that came later, and one of those may be the
//! leader that it needs to catch up: Raft itself takes entries from leaders it does not know
//! (Ongaro 2014, section 4.1). So before a node refuses a stranger for good, it asks the members
//! that it knows for their map ([`learn`]), and believes the latest answer until its own is as new.

use std::collections::BTreeSet;
use std::sync::{Arc, RwLock, Weak};

use aspen_core::ShardId;
use aspen_net::{PeerAddr, PeerId, Purpose};
use tokio::sync::Notify;

use crate::folder::Identity;
use crate::limits::LEARN_AGAIN;
use crate::map::Known as Map;
use crate::node::ShardedRaftNode;
use crate::shard::parse_address;

/// The lists, as of now.
pub struct Access {
    founders: Members,
    clients: BTreeSet<PeerId>,
    members: RwLock<Known>,
    /// A node that is not known wants to get in.
    stranger: Arc<Notify>,
}

/// The members by the map of some epoch.
#[derive(Clone, Default)]
pub struct Members {
    epoch: u64,
    addresses: Vec<PeerAddr>,
}

#[derive(Default)]
struct Known {
    /// As this node's copy of the map says.
    own: Members,
    /// As another member says.
    told: Members,
}

impl Members {
    /// Those at `addresses`, from before any map.
    pub fn at(addresses: impl IntoIterator<Item = PeerAddr>) -> Self {
        Self { epoch: 0, addresses: addresses.into_iter().collect() }
    }

    fn has(&self, key: PeerId) -> bool {
        self.addresses.iter().any(|address| address.id == key)
    }
}

impl From<&Map> for Members {
    fn from(map: &Map) -> Self {
        let nodes = map.placement.nodes.values();
        let addresses = nodes.filter_map(|node| parse_address(&node.address)).collect();
        Self { epoch: map.epoch, addresses }
    }
}

impl Access {
    /// As the folder says.
    pub fn new(identity: &Identity) -> Self {
        let founders = Members::at(identity.peers.iter().cloned());
        let clients = identity.clients.iter().copied().collect();
        Self { founders, clients, members: RwLock::default(), stranger: Default::default() }
    }

    /// Replaces the members that this node's own map gives.
    pub fn set_members(&self, members: Members) {
        self.members.write().expect("no panic while the lock is held").own = members;
    }

    /// Takes what another member says, if it is the latest.
    fn told(&self, members: Members) {
        let mut known = self.members.write().expect("no panic while the lock is held");
        if members.epoch > known.told.epoch {
            known.told = members;
        }
    }

    /// What `read` finds in the latest that is known.
    fn current<T>(&self, read: impl FnOnce(&Members) -> T) -> T {
        let known = self.members.read().expect("no panic while the lock is held");
        let latest = if known.told.epoch > known.own.epoch { &known.told } else { &known.own };
        // Once the map has told the members, founders that left are strangers.
        read(if latest.addresses.is_empty() { &self.founders } else { latest })
    }

    /// Told whenever a node was refused.
    pub fn refused(&self) -> Arc<Notify> {
        self.stranger.clone()
    }

    /// Whether `from` may open a stream.
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

/// Whenever a stranger was refused, asks the known members who the members are; not more often
/// than each [`LEARN_AGAIN`], whoever knocks.
pub async fn learn(node: Weak<ShardedRaftNode>, refused: Arc<Notify>) {
    loop {
        refused.notified().await;
        let Some(now) = node.upgrade() else { return };
        let own = now.opening().identity.address.id;
        let net = now.opening().net(ShardId::SYSTEM);
        for address in now.access().current(|members| members.addresses.clone()) {
            let replica = net.replica(&address.to_string());
            if address.id != own
                && let Some(map) = replica.map().await
            {
                now.access().told(Members::from(&map));
            }
        }
        drop(now);
        tokio::time::sleep(LEARN_AGAIN).await;
    }
}
