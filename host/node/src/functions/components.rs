//! The questions of clients about components: the names, a name's history, a component's functions.
//!
//! Promises answers that are linearizable. Names and components are the same on all shards, unless
//! a client was interrupted while it changed them; shard 0 is asked.

use std::sync::Arc;

use aspen_core::ids::{ComponentHash, ComponentRef, Name, ShardId};
use aspen_core::protocol::{ComponentInfo, Consistency, ErrorReply, Response};
use aspen_core::view::{Alias, AliasTarget, HostError};

use crate::context::{NodeContext, find};
use crate::functions::check::off_async;
use crate::replica::{Replica, failed};

/// Returns the replica that is asked about components, up to date.
async fn asked(node: &NodeContext) -> Result<Arc<Replica>, ErrorReply> {
    let replica = find(node, ShardId::new(0))?;
    replica.ready(Consistency::Linearizable).await?;
    Ok(replica)
}

/// Returns the names, and the component to which each points.
pub async fn list(node: &NodeContext) -> Result<Response, ErrorReply> {
    let read = asked(node).await?.reader.read(|view, _| {
        let info = |(name, alias): (Name, Arc<Alias>)| {
            let AliasTarget { component, time, .. } = *alias.now();
            let bytes =
                view.components().component(&component)?.map_or(0, |bytes| bytes.len() as u64);
            let canary = alias.canary.map(|canary| (canary.pointed.component, canary.percent));
            Ok(ComponentInfo { name, component, bytes, uploaded: time, canary })
        };
        let all =
            view.components().aliases()?.into_iter().map(info).collect::<Result<_, HostError>>()?;
        Ok(Response::Components(all))
    });
    read.map_err(failed)
}

/// Returns the components to which a name points and pointed.
pub async fn history(node: &NodeContext, name: Name) -> Result<Response, ErrorReply> {
    let replica = asked(node).await?;
    let alias = replica.reader.read(|view, _| view.components().alias(&name)).map_err(failed)?;
    let not_found = || ErrorReply::NotFound { what: format!("component {name}") };
    Ok(Response::History((*alias.ok_or_else(not_found)?).clone()))
}

/// Returns the functions of a component.
pub async fn describe(node: &NodeContext, component: ComponentRef) -> Result<Response, ErrorReply> {
    let found = asked(node).await?.reader.read(|view, _| {
        let hash: Option<ComponentHash> = match &component {
            ComponentRef::Hash(hash) => Some(*hash),
            ComponentRef::Name(name) => {
                view.components().alias(name)?.map(|alias| alias.now().component)
            }
        };
        hash.map_or(Ok(None), |hash| view.components().component(&hash))
    });
    let Some(bytes) = found.map_err(failed)? else {
        return Err(ErrorReply::NotFound { what: format!("component {component}") });
    };
    let functions = node.functions().clone();
    let checked = off_async(move || functions.describe(&bytes)).await;
    match checked {
        Ok(Ok(manifest)) => Ok(Response::Manifest(manifest)),
        Ok(Err(error)) => Err(ErrorReply::BadComponent { reason: error.to_string() }),
        Err(_) => Err(ErrorReply::Failed { reason: "the compiler failed on it".into() }),
    }
}
