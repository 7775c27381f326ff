//! Applying a function call: as a transaction whose writes a guest computes.

use crate::apply::two_phase::Guarded;
use crate::apply::writer::Writer;
use crate::apply::{Context, Effect, reads};
use crate::codec::encode;
use crate::command::{Call, ComponentRef};
use crate::functions::{CallEnd, CallInput, CallResult, Functions};
use crate::ids::ComponentHash;
use crate::outcome::Outcome;
use crate::outcome::Refusal;
use crate::state::{Fault, State};
use crate::transact::read_keys;

/// Runs one call.
pub fn run<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    context: &Context,
    call: &Call,
) -> Result<Effect, Fault> {
    let keys = std::iter::once(&call.key).chain(read_keys(&call.reads));
    if let Err(refusal) = call.check().and_then(|()| context.check_home(keys)) {
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
    let Some(component) = resolve(state, &call.component)? else {
        return Ok(Refusal::ComponentUnknown.into());
    };
    let input = CallInput {
        component,
        function: &call.function,
        args: &call.args,
        shard: context.shard,
        router: context.router,
        revision: revision.next(),
        time: context.time,
        seed: context.seed,
        caller: context.caller,
    };
    let called = match state.resident().locks.is_free() {
        true => functions.call(state.view(), &input)?,
        false => {
            let view = Guarded::new(state.view(), &state.resident().locks);
            let called = functions.call(&view, &input)?;
            if let Some(by) = view.met(&called.writes) {
                return Ok(Refusal::Locked { by }.into());
            }
            called
        }
    };
    let CallResult { end, fuel, writes, log } = called;
    let outcome = match end {
        CallEnd::Returned(values) => {
            let mut writer = Writer::begin(state);
            for write in &writes {
                writer.write(write)?;
            }
            let writes = writes.len() as u32;
            let outcome = writer
                .finish(|revision| encode(&Outcome::Returned { revision, values, fuel, writes }));
            return Ok(Effect::Done { outcome, log });
        }
        CallEnd::Aborted(error) => Outcome::Aborted { error, fuel },
        CallEnd::Faulted(fault) => Outcome::Faulted { fault, fuel },
        CallEnd::Refused(refusal) => Outcome::Refused(refusal),
    };
    Ok(Effect::Answer { outcome, log })
}

fn resolve<S: State>(state: &S, component: &ComponentRef) -> Result<Option<ComponentHash>, Fault> {
    match component {
        ComponentRef::Name(name) => Ok(state.alias(name)?.map(|alias| alias.component)),
        ComponentRef::Hash(hash) => Ok(Some(*hash)),
    }
}
