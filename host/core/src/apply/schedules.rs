//! Applying commands on schedules, and running the schedule that is due.
//!
//! Promises that a run, its writes and the time of the next run are one entry. A run that meets a key locked
//! by a transaction across shards did not happen: the schedule stays due. Leaves out the check that the
//! function exists and takes the arguments: a run that cannot start is counted, with its refusal.

use crate::apply::call;
use crate::apply::context::Context;
use crate::apply::effect::Effect;
use crate::apply::evaluate::resolve;
use crate::defect::{Defect, is_planted};
use crate::function::Functions;
use crate::ids::Name;
use crate::protocol::Outcome;
use crate::refusal::Refusal;
use crate::state::{LastRun, NewSchedule, Schedule, State};
use crate::view::HostError;

/// Adds a schedule, or replaces the one with that name.
pub fn schedule<S: State>(
    state: &mut S,
    context: &Context,
    new: &NewSchedule,
) -> Result<Outcome, HostError> {
    let call = &new.call;
    if let Err(refusal) = new.check().and_then(|()| context.check_home([&call.key].into_iter())) {
        return Ok(Outcome::Refused(refusal));
    }
    if resolve(state, &call.component, &call.key)?.is_none() {
        return Ok(Outcome::Refused(Refusal::ComponentUnknown));
    }
    let schedules = &mut state.resident_mut().schedules;
    if !schedules.has_room_for(&new.name) {
        return Ok(Outcome::Refused(Refusal::TooManySchedules));
    }
    let schedule = Schedule::new(new, context.caller, context.time);
    let due = schedule.due;
    schedules.set(new.name.clone(), schedule);
    Ok(Outcome::Scheduled { due })
}

/// Removes a schedule.
pub fn unschedule<S: State>(state: &mut S, name: &Name) -> Outcome {
    Outcome::Unscheduled { existed: state.resident_mut().schedules.remove(name) }
}

/// Runs the schedule that is due first.
pub fn tick<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    context: &Context,
) -> Result<Effect, HostError> {
    let due = state.resident().schedules.first_due(context.time);
    let Some((name, schedule)) = due.map(|(name, due)| (name.clone(), due.clone())) else {
        return Ok(Outcome::Ticked.into());
    };
    let context = Context { caller: schedule.caller, ..*context };
    let mut effect = call::run(state, functions, &context, &schedule.call)?;
    if effect.is_transient() {
        return Ok(effect);
    }
    let ended = match effect.refusal() {
        Some(refusal) => Err(refusal.clone()),
        None => {
            let called = effect.called_mut();
            let called = called.expect("a call without reads has no conflict: refused, or it ran");
            called.scheduled = Some(Box::new((schedule.call.clone(), schedule.caller)));
            Ok(called.ended.clone())
        }
    };
    let schedules = &mut state.resident_mut().schedules;
    let schedule = match is_planted(Defect::RunAgain) {
        true => Schedule { every_ms: schedule.every_ms.or(Some(1_000)), ..schedule },
        false => schedule,
    };
    match schedule.after_run(LastRun { time: context.time, ended }) {
        Some(next) => schedules.set(name, next),
        None => drop(schedules.remove(&name)),
    }
    Ok(effect)
}
