//! Compiling on every replica of a shard before the entry is proposed that makes a component
//! callable.
//!
//! ```text
//! leader                                        each other replica
//!   checks, compiles in a process of its own
//!   has it compiled? ------------------------->   yes: that is all
//!   its bytes, or who uploaded them in parts -->  checks, compiles in a process of its own
//!   proposes the entry  <----------------------   compiled, or why it cannot be
//! ```
//!
//! Promises that apply waits for no compiler if every replica answered, and that a component which
//! one of them cannot compile within its limits is not proposed. A replica that does not answer in
//! time compiles when it applies the entry, and so does a replica that comes later. Leaves out what
//! compiling is (`aspen-functions`).

use std::time::Duration;

use aspen_core::ids::{Caller, ComponentHash, NodeId};
use aspen_core::protocol::{Consistency, ErrorReply};
use aspen_core::state::Resident;
use aspen_core::view::{HostError, View};
use bytes::Bytes;
use futures::future::join_all;
use tokio::time::{Instant, sleep};

use crate::context::NodeContext;
use crate::functions::check::check;
use crate::limits::{COMPILE_AHEAD_WAIT, PARTS_AGAIN, PARTS_WAIT};
use crate::peer::{CompileReply, ComponentSource, PeerReplica};
use crate::replica::{Replica, failed};

/// Compiles a component here, then on the other replicas of the shard.
pub async fn compile_everywhere(
    node: &NodeContext,
    replica: &Replica,
    bytes: Bytes,
    source: ComponentSource,
) -> Result<(), ErrorReply> {
    let component = ComponentHash::of(&bytes);
    let begun = Instant::now();
    check(node, bytes).await?;
    // Another machine may have more to do.
    let wait = COMPILE_AHEAD_WAIT + begun.elapsed();
    let ask = async |(member, (address, _)): (NodeId, (String, bool))| {
        let peer = replica.net.peer(&address);
        (member, compile_on(&peer, component, &source, wait).await)
    };
    let others = replica.members().into_iter().filter(|(member, _)| *member != node.id());
    for (member, answer) in join_all(others.map(ask)).await {
        match answer {
            Some(CompileReply::Ready) => {}
            Some(CompileReply::Unfit { reason }) => {
                return Err(ErrorReply::BadComponent { reason: format!("on {member}: {reason}") });
            }
            Some(CompileReply::Lacks | CompileReply::Busy { .. }) | None => {
                let shard = replica.id;
                tracing::info!(%member, %component, %shard, ?answer, "not compiled ahead");
            }
        }
    }
    Ok(())
}

/// Compiles a component on another replica, which gets the bytes only if it has not compiled them.
async fn compile_on(
    peer: &PeerReplica,
    component: ComponentHash,
    source: &ComponentSource,
    wait: Duration,
) -> Option<CompileReply> {
    match peer.compile(component, ComponentSource::Compiled, wait).await {
        Some(CompileReply::Lacks) => peer.compile(component, source.clone(), wait).await,
        answer => answer,
    }
}

/// Compiles a component on all replicas from the parts that were uploaded. Returns false if the
/// parts are not all there, or not right. Then nothing may be proposed: the rest could arrive
/// before the entry, unchecked. If the component is there already it was checked, and an earlier
/// attempt at this request may have been done.
pub async fn check_staged(
    node: &NodeContext,
    replica: &Replica,
    caller: Caller,
    component: ComponentHash,
) -> Result<bool, ErrorReply> {
    // The entries that an earlier leader acknowledged are applied then.
    replica.ready(Consistency::Linearizable).await?;
    let staged = staged(replica, caller, component).await.map_err(failed)?;
    let Some(bytes) = staged else {
        return replica
            .reader
            .read(|view, _| view.components().has_component(&component))
            .map_err(failed);
    };
    if ComponentHash::of(&bytes) != component {
        return Ok(false);
    }
    let parts = ComponentSource::Parts(caller);
    compile_everywhere(node, replica, bytes, parts).await.map(|()| true)
}

/// Compiles a component here, for the leader of the shard.
pub async fn compile(
    node: &NodeContext,
    replica: &Replica,
    component: ComponentHash,
    source: ComponentSource,
) -> CompileReply {
    if node.functions().is_compiled(&component) == Some(true) {
        return CompileReply::Ready;
    }
    let bytes = match source {
        ComponentSource::Compiled => None,
        ComponentSource::Bytes(bytes) => Some(bytes),
        ComponentSource::Parts(caller) => parts(replica, caller, component).await,
    };
    let Some(bytes) = bytes.filter(|bytes| ComponentHash::of(bytes) == component) else {
        return CompileReply::Lacks;
    };
    match check(node, bytes).await {
        Ok(()) => CompileReply::Ready,
        Err(ErrorReply::BadComponent { reason }) => CompileReply::Unfit { reason },
        Err(error) => CompileReply::Busy { reason: error.to_string() },
    }
}

/// Returns the bytes that were uploaded in parts. This replica may be behind the leader, so the
/// function waits for the last part.
async fn parts(replica: &Replica, caller: Caller, component: ComponentHash) -> Option<Bytes> {
    let until = Instant::now() + PARTS_WAIT;
    loop {
        // A fault stops the replica, and the status says so.
        if let Some(bytes) = staged(replica, caller, component).await.ok()? {
            return Some(bytes);
        }
        if Instant::now() >= until {
            return None;
        }
        sleep(PARTS_AGAIN).await;
    }
}

/// Returns the bytes of an upload in parts, if all of them are there.
async fn staged(
    replica: &Replica,
    caller: Caller,
    component: ComponentHash,
) -> Result<Option<Bytes>, HostError> {
    let find = move |_: &dyn View, resident: &Resident, _| {
        Ok(resident.uploads.get(&(caller, component)).filter(|staged| staged.is_whole()).cloned())
    };
    match replica.reader.inspect(find).await? {
        Some(staged) => replica.reader.read(|view, _| staged.assemble(view)),
        None => Ok(None),
    }
}
