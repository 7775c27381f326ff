//! Applying what is done with components and their names.
//!
//! Promises that every component has a name that points to it or did, and that a name points to
//! components that are there; so what no name mentions any more goes at once. Leaves out whether a
//! component can run: that was found before it was proposed.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::apply::Context;
use crate::command::Upload;
use crate::functions::Functions;
use crate::ids::{ComponentHash, Name};
use crate::limits::{ALIAS_HISTORY_MAX, COMPONENT_BYTES_MAX, COMPONENTS_MAX, NAMES_MAX};
use crate::outcome::{Outcome, Refusal};
use crate::state::{Alias, Fault, Pointed, State};

/// Stores a component and lets a name point to it.
pub fn upload<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    context: &Context,
    upload: &Upload,
) -> Result<Outcome, Fault> {
    let Upload { name, bytes } = upload;
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Ok(Outcome::Refused(Refusal::ComponentTooLarge { bytes: bytes.len() as u64 }));
    }
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
        state.set_header(header);
        state.set_component(&component, bytes)?;
    }
    set(state, context, name, component)?;
    functions.prepare(&component, bytes);
    Ok(Outcome::Uploaded { component })
}

/// Lets a name point to a component that is there.
pub fn point<S: State>(
    state: &mut S,
    context: &Context,
    name: &Name,
    component: ComponentHash,
) -> Result<Outcome, Fault> {
    if !state.has_component(&component)? {
        return Ok(Outcome::Refused(Refusal::ComponentUnknown));
    }
    if !has_room(state, name)? {
        return Ok(Outcome::Refused(Refusal::TooManyNames));
    }
    set(state, context, name, component)?;
    Ok(Outcome::Pointed)
}

/// Removes a name.
pub fn remove<S: State>(state: &mut S, name: &Name) -> Result<Outcome, Fault> {
    let Some(alias) = state.alias(name)? else {
        return Ok(Outcome::NameRemoved { existed: false, components: 0 });
    };
    state.remove_alias(name)?;
    let components = sweep(state, alias.history.iter().map(|pointed| pointed.component).collect())?;
    Ok(Outcome::NameRemoved { existed: true, components })
}

/// Whether the name is known, or there may be one more.
fn has_room<S: State>(state: &S, name: &Name) -> Result<bool, Fault> {
    Ok(state.alias(name)?.is_some() || state.aliases()?.len() < NAMES_MAX)
}

fn set<S: State>(
    state: &mut S,
    context: &Context,
    name: &Name,
    component: ComponentHash,
) -> Result<(), Fault> {
    let alias = state.alias(name)?;
    if alias.as_ref().is_some_and(|alias| alias.now().component == component) {
        return Ok(());
    }
    let mut history = alias.map_or(vec![], |alias| alias.history.clone());
    history.push(Pointed { component, time: context.time, caller: context.caller });
    let forgotten = (history.len() > ALIAS_HISTORY_MAX).then(|| history.remove(0));
    state.set_alias(name, Arc::new(Alias { history }))?;
    if let Some(forgotten) = forgotten {
        sweep(state, BTreeSet::from([forgotten.component]))?;
    }
    Ok(())
}

/// Removes those components that no name mentions; how many. All names are read once: they may be many.
fn sweep<S: State>(state: &mut S, mut components: BTreeSet<ComponentHash>) -> Result<u32, Fault> {
    for (_, alias) in state.aliases()? {
        for pointed in &alias.history {
            components.remove(&pointed.component);
        }
    }
    for component in &components {
        state.remove_component(component)?;
    }
    let mut header = state.header();
    header.components -= components.len() as u64;
    state.set_header(header);
    Ok(components.len() as u32)
}
