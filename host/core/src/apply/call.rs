//! Applying a function call: as a transaction whose writes a guest computes; and running one.

use crate::apply::two_phase::Guarded;
use crate::apply::writer::Writer;
use crate::apply::{Context, Effect, reads};
use crate::codec::encode;
use crate::command::{Call, ComponentRef};
use crate::functions::{CallEnd, CallInput, CallResult, Functions};
use crate::ids::{ComponentHash, Revision};
use crate::key::Key;
use crate::locks::Locks;
use crate::outcome::{Outcome, Refusal};
use crate::state::{Fault, State, View};
use crate::statistics::{Called, Ended};

/// Runs one call.
pub fn run<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    context: &Context,
    call: &Call,
) -> Result<Effect, Fault> {
    let checked = call.check().and_then(|()| context.check_home([&call.key].into_iter()));
    if let Err(refusal) = checked.and_then(|()| context.check_reads(&call.reads)) {
        return Ok(refusal.into());
    }
    if let Some(by) = state.resident().locks.blocks_reads(&call.reads) {
        return Ok(Refusal::Locked { by }.into());
    }
    let revision = state.header().revision;
    match reads::check(state, state.resident(), revision, &call.reads, false)? {
        Err(refusal) => return Ok(refusal.into()),
        Ok(conflicts) if !conflicts.is_empty() => {
            return Ok(Outcome::Conflict { revision, conflicts }.into());
        }
        Ok(_) => {}
    }
    let locks = &state.resident().locks;
    let called = evaluate(state.view(), locks, functions, context, revision.next(), call)?;
    let (component, result) = match called {
        Ok(called) => called,
        Err(refusal) => return Ok(refusal.into()),
    };
    let CallResult { end, fuel, writes, log } = result;
    let ended = Ended::of(&end);
    let called = ended.map(|ended| Called { component, ended, fuel, log, scheduled: None });
    let outcome = match end {
        CallEnd::Returned(values) => {
            let mut writer = Writer::begin(state);
            for write in &writes {
                writer.write(write)?;
            }
            let writes = writes.len() as u32;
            let outcome = writer
                .finish(|revision| encode(&Outcome::Returned { revision, values, fuel, writes }));
            return Ok(Effect::Done { outcome, called });
        }
        CallEnd::Aborted(error) => Outcome::Aborted { error, fuel },
        CallEnd::Faulted(fault) => Outcome::Faulted { fault, fuel },
        CallEnd::Refused(refusal) => Outcome::Refused(refusal),
    };
    Ok(Effect::Answer { outcome, called })
}

/// Runs the function; `revision` is what its writes will have. Changes nothing. What it came to, and the
/// component that the name pointed to.
pub(crate) fn evaluate(
    view: &dyn View,
    locks: &Locks,
    functions: &dyn Functions,
    context: &Context,
    revision: Revision,
    call: &Call,
) -> Result<Result<(ComponentHash, CallResult), Refusal>, Fault> {
    let Some(component) = resolve(view, &call.component, &call.key)? else {
        return Ok(Err(Refusal::ComponentUnknown));
    };
    let Context { shard, router, time, seed, caller, profile } = *context;
    let (function, args) = (&*call.function, &call.args);
    let input = CallInput {
        component,
        function,
        args,
        shard,
        router,
        revision,
        time,
        seed,
        caller,
        profile,
    };
    if locks.is_free() {
        return Ok(Ok((component, functions.call(view, &input)?)));
    }
    let view = Guarded::new(view, locks);
    let called = functions.call(&view, &input)?;
    Ok(match view.met(&called.writes) {
        Some(by) => Err(Refusal::Locked { by }),
        None => Ok((component, called)),
    })
}

/// The component that a call with this key means.
pub fn resolve(
    view: &dyn View,
    component: &ComponentRef,
    key: &Key,
) -> Result<Option<ComponentHash>, Fault> {
    match component {
        ComponentRef::Name(name) => Ok(view.alias(name)?.map(|alias| alias.of(name, key))),
        // One that was removed may still be compiled here, and not elsewhere.
        ComponentRef::Hash(hash) => Ok(view.has_component(hash)?.then_some(*hash)),
    }
}
