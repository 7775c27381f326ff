//! Applying commands on components and aliases.
//!
//! Promises that an alias points to a stored component, and that every component has an alias that points to
//! it or did: a component that no alias mentions any more is removed at once. Leaves out the check that a
//! component can run: the leader makes it before it proposes the command.
//!
//! Upload, point and remove are entries of every shard, which the client proposes one shard after the other.
//! A call by hash asks the state for the component, because one replica may still have the component
//! compiled and another not.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::apply::context::Context;
use crate::function::Functions;
use crate::ids::{ComponentHash, Name};
use crate::limits::{ALIAS_HISTORY_MAX, COMPONENT_BYTES_MAX, COMPONENTS_MAX, NAMES_MAX};
use crate::protocol::{Outcome, Upload};
use crate::refusal::Refusal;
use crate::state::State;
use crate::view::{Alias, AliasTarget, Canary, HostError};

/// Stores a component and points an alias to it.
pub fn upload<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    context: &Context,
    upload: &Upload,
) -> Result<Outcome, HostError> {
    let Upload { name, bytes } = upload;
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Ok(Outcome::Refused(Refusal::ComponentTooLarge { bytes: bytes.len() as u64 }));
    }
    store(state, functions, context, name, bytes)
}

/// Stores a component of either class and points an alias to it.
pub fn store<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    context: &Context,
    name: &Name,
    bytes: &Bytes,
) -> Result<Outcome, HostError> {
    if !has_room(state, name)? {
        return Ok(Outcome::Refused(Refusal::TooManyNames));
    }
    let component = ComponentHash::of(bytes);
    if !state.has_component(&component)? {
        let mut header = state.header();
        if header.components as usize >= COMPONENTS_MAX {
            return Ok(Outcome::Refused(Refusal::TooManyComponents));
        }
        header.components += 1;
        header.large_components += u64::from(bytes.len() > COMPONENT_BYTES_MAX);
        state.set_header(header);
        state.set_component(&component, bytes)?;
    }
    set(state, context, name, component)?;
    functions.prepare(&component, bytes);
    Ok(Outcome::Uploaded { component })
}

/// Points an alias to a stored component.
pub fn point<S: State>(
    state: &mut S,
    context: &Context,
    name: &Name,
    component: ComponentHash,
) -> Result<Outcome, HostError> {
    if !exists(state, &component)? {
        return Ok(Outcome::Refused(Refusal::ComponentUnknown));
    }
    if !has_room(state, name)? {
        return Ok(Outcome::Refused(Refusal::TooManyNames));
    }
    set(state, context, name, component)?;
    Ok(Outcome::Pointed)
}

/// Sends a share of an alias's calls to another stored component; `None` ends the share.
pub fn canary<S: State>(
    state: &mut S,
    context: &Context,
    name: &Name,
    share: Option<&(ComponentHash, u8)>,
) -> Result<Outcome, HostError> {
    let unknown = Ok(Outcome::Refused(Refusal::ComponentUnknown));
    let Some(before) = state.alias(name)? else { return unknown };
    let canary = match share {
        None => None,
        Some((component, _)) if !exists(state, component)? => return unknown,
        Some((component, percent)) => {
            let Context { time, caller, .. } = *context;
            let pointed = AliasTarget { component: *component, time, caller };
            Some(Canary { pointed, percent: *percent })
        }
    };
    let history = before.history.clone();
    replace(state, name, Some(&before), Alias { history, canary })?;
    Ok(Outcome::Pointed)
}

/// Removes an alias.
pub fn remove<S: State>(state: &mut S, name: &Name) -> Result<Outcome, HostError> {
    let Some(alias) = state.alias(name)? else {
        return Ok(Outcome::NameRemoved { existed: false, components: 0 });
    };
    state.remove_alias(name)?;
    let components = sweep(state, alias.components().copied().collect())?;
    Ok(Outcome::NameRemoved { existed: true, components })
}

/// True if the component is stored. The parts of uploads are rows among the components, but no
/// components.
pub fn exists<S: State>(state: &S, component: &ComponentHash) -> Result<bool, HostError> {
    let is_part = state.resident().uploads.parts().any(|part| part == component);
    Ok(!is_part && state.has_component(component)?)
}

/// True if the alias exists, or one more alias fits.
fn has_room<S: State>(state: &S, name: &Name) -> Result<bool, HostError> {
    Ok(state.alias(name)?.is_some() || state.aliases()?.len() < NAMES_MAX)
}

/// Points an alias to a component and ends its canary.
fn set<S: State>(
    state: &mut S,
    context: &Context,
    name: &Name,
    component: ComponentHash,
) -> Result<(), HostError> {
    let before = state.alias(name)?;
    let mut history = before.as_ref().map_or(vec![], |alias| alias.history.clone());
    if history.last().is_none_or(|now| now.component != component) {
        history.push(AliasTarget { component, time: context.time, caller: context.caller });
        history.drain(..history.len().saturating_sub(ALIAS_HISTORY_MAX));
    }
    replace(state, name, before.as_deref(), Alias { history, canary: None })
}

/// Stores the alias, and removes the components that no alias mentions any more.
fn replace<S: State>(
    state: &mut S,
    name: &Name,
    before: Option<&Alias>,
    alias: Alias,
) -> Result<(), HostError> {
    if before == Some(&alias) {
        return Ok(());
    }
    let gone = before.into_iter().flat_map(Alias::components);
    let gone: BTreeSet<_> = gone.filter(|component| !alias.mentions(component)).copied().collect();
    state.set_alias(name, Arc::new(alias))?;
    if !gone.is_empty() {
        sweep(state, gone)?;
    }
    Ok(())
}

/// Removes those of `components` that no alias mentions, and returns how many. Reads all aliases
/// once, for they may be many.
fn sweep<S: State>(
    state: &mut S,
    mut components: BTreeSet<ComponentHash>,
) -> Result<u32, HostError> {
    for (_, alias) in state.aliases()? {
        alias.components().for_each(|component| {
            components.remove(component);
        });
    }
    let mut header = state.header();
    for component in &components {
        if header.large_components > 0 {
            let bytes = state.component(component)?.map_or(0, |bytes| bytes.len());
            header.large_components -= u64::from(bytes > COMPONENT_BYTES_MAX);
        }
        state.remove_component(component)?;
    }
    header.components -= components.len() as u64;
    state.set_header(header);
    Ok(components.len() as u32)
}
