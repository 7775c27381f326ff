//! Applying a function call: as a transaction whose writes a guest computes.

use crate::apply::context::Context;
use crate::apply::effect::Effect;
use crate::apply::evaluate::evaluate;
use crate::apply::reads;
use crate::apply::writer::Writer;
use crate::codec::encode;
use crate::function::{Call, CallEnd, CallEndKind, CallReport, CallResult, Functions};
use crate::protocol::Outcome;
use crate::refusal::Refusal;
use crate::state::State;
use crate::view::HostError;

/// Runs one call.
pub fn run<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    context: &Context,
    call: &Call,
) -> Result<Effect, HostError> {
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
    let ended = CallEndKind::of(&end);
    let called = ended.map(|ended| CallReport { component, ended, fuel, log, scheduled: None });
    if !matches!(end, CallEnd::Returned(_)) {
        return Ok(Effect::Answer { outcome: Outcome::of_call(end, revision, fuel, 0), called });
    }
    let mut writer = Writer::begin(state);
    for write in &writes {
        writer.write(write)?;
    }
    let count = writes.len() as u32;
    let outcome = writer.finish(|revision| encode(&Outcome::of_call(end, revision, fuel, count)));
    Ok(Effect::Done { outcome, called })
}
