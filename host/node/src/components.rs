//! Components: what is checked before one is proposed, and what clients ask about them.
//!
//! Promises that what cannot run never enters the log, as far as the leader that proposes it can tell,
//! and answers that are linearizable. Names and components are the same on all shards, unless a client
//! was interrupted while it changed them; shard 0 is asked. Leaves out calls (`core`) and queries
//! (`query.rs`).

use std::sync::Arc;

use aspen_core::{
    Alias, Caller, ComponentHash, ComponentInfo, ComponentRef, Consistency, Fault, Name, Pointed,
    Refused, Response, ShardId,
};
use aspen_functions::CompileError;
use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::compile_ahead::{self, Source};
use crate::node::ShardedRaftNode;
use crate::requests::{failed, find, refused};
use crate::shard::Shard;

/// Checks and compiles here before anything is proposed, off the async threads. If nobody waits for the
/// answer any more, because the client or this node goes away, the compilation ends too.
pub async fn check(node: &ShardedRaftNode, bytes: Bytes) -> Result<(), Refused> {
    let functions = node.functions().clone();
    let waiting = Arc::new(());
    let is_awaited = Arc::downgrade(&waiting);
    let check = move || {
        let bad = |reason: String| Refused::BadComponent { reason };
        let manifest = aspen_functions::check(&bytes).map_err(|error| bad(error.to_string()))?;
        let is_given_up = || is_awaited.strong_count() == 0;
        let compiled = functions.compile(&manifest.component, &bytes, &is_given_up);
        compiled.map_err(|error| match error {
            CompileError::Busy | CompileError::Start { .. } => {
                Refused::Unavailable { reason: error.to_string() }
            }
            _ => bad(error.to_string()),
        })
    };
    let checked = off_async(check).await;
    drop(waiting);
    let failed = |_| Refused::BadComponent { reason: "the compiler failed on it".into() };
    checked.map_err(failed)?
}

/// Compiles, on all replicas, what was uploaded in parts; false if they are not all there, or not right.
/// Then nothing may be proposed: the rest could arrive before the entry, and nobody had checked it. If the component is
/// there already it was checked, and an earlier attempt at this request may have been done.
pub async fn check_staged(
    node: &ShardedRaftNode,
    shard: &Shard,
    caller: Caller,
    component: ComponentHash,
) -> Result<bool, Refused> {
    // What was acknowledged by a leader before this one is applied.
    shard.ready(Consistency::Linearizable).await.map_err(refused)?;
    let staged = compile_ahead::staged(shard, caller, component).await.map_err(failed)?;
    let Some(bytes) = staged else {
        return shard.reader.read(|view, _| view.has_component(&component)).map_err(failed);
    };
    if ComponentHash::of(&bytes) != component {
        return Ok(false);
    }
    let parts = Source::Parts(caller);
    compile_ahead::everywhere(node, shard, bytes, parts).await.map(|()| true)
}

/// The names, and what each points to.
pub async fn list(node: &ShardedRaftNode) -> Result<Response, Refused> {
    let shard = find(node, ShardId::new(0))?;
    shard.ready(Consistency::Linearizable).await.map_err(refused)?;
    let read = shard.reader.read(|view, _| {
        let info = |(name, alias): (Name, Arc<Alias>)| {
            let Pointed { component, time, .. } = *alias.now();
            let bytes = view.component(&component)?.map_or(0, |bytes| bytes.len() as u64);
            let canary = alias.canary.map(|canary| (canary.pointed.component, canary.percent));
            Ok(ComponentInfo { name, component, bytes, uploaded: time, canary })
        };
        let all = view.aliases()?.into_iter().map(info).collect::<Result<_, Fault>>()?;
        Ok(Response::Components(all))
    });
    read.map_err(failed)
}

/// What a name points to and pointed to.
pub async fn history(node: &ShardedRaftNode, name: Name) -> Result<Response, Refused> {
    let shard = find(node, ShardId::new(0))?;
    shard.ready(Consistency::Linearizable).await.map_err(refused)?;
    let alias = shard.reader.read(|view, _| view.alias(&name)).map_err(failed)?;
    let not_found = || Refused::NotFound { what: format!("component {name}") };
    Ok(Response::History((*alias.ok_or_else(not_found)?).clone()))
}

/// The functions of a component.
pub async fn describe(
    node: &ShardedRaftNode,
    component: ComponentRef,
) -> Result<Response, Refused> {
    let shard = find(node, ShardId::new(0))?;
    shard.ready(Consistency::Linearizable).await.map_err(refused)?;
    let found = shard.reader.read(|view, _| {
        let hash = match &component {
            ComponentRef::Hash(hash) => Some(*hash),
            ComponentRef::Name(name) => view.alias(name)?.map(|alias| alias.now().component),
        };
        hash.map_or(Ok(None), |hash| view.component(&hash))
    });
    let Some(bytes) = found.map_err(failed)? else {
        return Err(Refused::NotFound { what: format!("component {component}") });
    };
    let functions = node.functions().clone();
    let checked = off_async(move || functions.describe(&bytes)).await;
    match checked {
        Ok(Ok(manifest)) => Ok(Response::Manifest(manifest)),
        Ok(Err(error)) => Err(Refused::BadComponent { reason: error.to_string() }),
        Err(_) => Err(Refused::Failed { reason: "the compiler failed on it".into() }),
    }
}

/// Runs `work` off the async threads; in the simulation, which has no others, in place.
#[cfg_attr(madsim, expect(deprecated, reason = "madsim warns that it does not block"))]
fn off_async<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    tokio::task::spawn_blocking(work)
}
