//! Learning the members that came after this node's copy of the placement map.
//!
//! Promises at most one round of questions each [`LEARN_AGAIN`], however many strangers knock. Why
//! a node must learn says `context/access.rs`.

use std::sync::{Arc, Weak};

use aspen_core::ids::ShardId;
use tokio::sync::Notify;

use crate::context::{Members, NodeContext};
use crate::limits::LEARN_AGAIN;

/// Asks the known members for their map, whenever a stranger was refused.
pub async fn learn(node: Weak<NodeContext>, refused: Arc<Notify>) {
    loop {
        refused.notified().await;
        let Some(now) = node.upgrade() else { return };
        let own = now.opener().identity.address.id;
        let net = now.opener().net(ShardId::SYSTEM);
        for address in now.access().addresses() {
            let peer = net.peer(&address.to_string());
            if address.id != own
                && let Some(map) = peer.map().await
            {
                now.access().told(Members::from(&map));
            }
        }
        drop(now);
        tokio::time::sleep(LEARN_AGAIN).await;
    }
}
