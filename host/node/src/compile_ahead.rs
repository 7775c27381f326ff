//! Compiling on every replica of a shard before the entry is proposed that makes a component callable.
//!
//! ```text
//! leader                                        each other replica
//!   checks, compiles in a process of its own
//!   has it compiled? ------------------------->   yes: that is all
//!   its bytes, or who uploaded them in parts -->  checks, compiles in a process of its own
//!   proposes the entry  <----------------------   compiled, or why it cannot be
//! ```
//!
//! Promises that apply waits for no compiler where every replica answered, and that what one of them
//! cannot compile within its limits is not proposed. A replica that does not answer in time compiles when
//! it applies the entry, as does one that comes later. Leaves out what compiling is (`aspen-functions`).

use std::time::Duration;

use aspen_core::{Caller, ComponentHash, Fault, NodeId, Refused, Resident, View};
use bytes::Bytes;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use crate::components::check;
use crate::limits::{COMPILE_AHEAD_WAIT, PARTS_AGAIN, PARTS_WAIT};
use crate::node::ShardedRaftNode;
use crate::raft_net::Replica;
use crate::shard::Shard;

/// Where a replica finds the bytes of a component that it is to compile.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Source {
    /// It has compiled it before, or says that it lacks it.
    Compiled,
    /// Here.
    Bytes(Bytes),
    /// In its own state, in parts that this client uploaded.
    Parts(Caller),
}

/// What a replica says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    Ready,
    /// It does not have the bytes.
    Lacks,
    /// It cannot run here.
    Unfit {
        reason: String,
    },
    /// It may be possible later.
    Busy {
        reason: String,
    },
}

/// Compiles a component here, then on the other replicas of `shard`.
pub async fn everywhere(
    node: &ShardedRaftNode,
    shard: &Shard,
    bytes: Bytes,
    source: Source,
) -> Result<(), Refused> {
    let component = ComponentHash::of(&bytes);
    let begun = Instant::now();
    check(node, bytes).await?;
    // Another machine may have more to do.
    let wait = COMPILE_AHEAD_WAIT + begun.elapsed();
    let ask = async |(member, (address, _)): (NodeId, (String, bool))| {
        let replica = shard.net.replica(&address);
        (member, there(&replica, component, &source, wait).await)
    };
    let others = shard.members().into_iter().filter(|(member, _)| *member != node.id());
    for (member, answer) in join_all(others.map(ask)).await {
        match answer {
            Some(Answer::Ready) => {}
            Some(Answer::Unfit { reason }) => {
                return Err(Refused::BadComponent { reason: format!("on {member}: {reason}") });
            }
            Some(Answer::Lacks | Answer::Busy { .. }) | None => {
                tracing::info!(%member, %component, shard = %shard.id, ?answer, "not compiled ahead");
            }
        }
    }
    Ok(())
}

/// Compiles it on another replica, which gets the bytes only if it has not compiled them.
async fn there(
    replica: &Replica,
    component: ComponentHash,
    source: &Source,
    wait: Duration,
) -> Option<Answer> {
    match replica.compile(component, Source::Compiled, wait).await {
        Some(Answer::Lacks) => replica.compile(component, source.clone(), wait).await,
        answer => answer,
    }
}

/// As another replica is asked to.
pub async fn serve(
    node: &ShardedRaftNode,
    shard: &Shard,
    component: ComponentHash,
    source: Source,
) -> Answer {
    if node.functions().is_compiled(&component) == Some(true) {
        return Answer::Ready;
    }
    let bytes = match source {
        Source::Compiled => None,
        Source::Bytes(bytes) => Some(bytes),
        Source::Parts(caller) => parts(shard, caller, component).await,
    };
    let Some(bytes) = bytes.filter(|bytes| ComponentHash::of(bytes) == component) else {
        return Answer::Lacks;
    };
    match check(node, bytes).await {
        Ok(()) => Answer::Ready,
        Err(Refused::BadComponent { reason }) => Answer::Unfit { reason },
        Err(error) => Answer::Busy { reason: error.to_string() },
    }
}

/// What was uploaded in parts. This replica may be behind the leader, so it waits for the last of them.
async fn parts(shard: &Shard, caller: Caller, component: ComponentHash) -> Option<Bytes> {
    let until = Instant::now() + PARTS_WAIT;
    loop {
        // A fault stops the replica, which is told elsewhere.
        if let Some(bytes) = staged(shard, caller, component).await.ok()? {
            return Some(bytes);
        }
        if Instant::now() >= until {
            return None;
        }
        sleep(PARTS_AGAIN).await;
    }
}

/// The bytes of an upload in parts, if all of them are there.
pub async fn staged(
    shard: &Shard,
    caller: Caller,
    component: ComponentHash,
) -> Result<Option<Bytes>, Fault> {
    let find = move |_: &dyn View, resident: &Resident, _| {
        Ok(resident.uploads.get(&(caller, component)).filter(|staged| staged.is_whole()).cloned())
    };
    match shard.reader.inspect(find).await? {
        Some(staged) => shard.reader.read(|view, _| staged.assemble(view)),
        None => Ok(None),
    }
}
