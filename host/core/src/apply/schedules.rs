//! Applying what is done with schedules, and running the one that is due.
//!
//! Promises that a run, its writes and the time of the next one are one entry. A run that meets keys
//! locked by a transaction across shards did not happen: the schedule stays due. Leaves out whether the
//! function exists and takes the arguments: a run that cannot start is counted, and says so.

use crate::apply::{Context, Effect, call};
use crate::defect::{Defect, is_planted};
use crate::functions::Functions;
use crate::ids::Name;
use crate::outcome::{Outcome, Refusal};
use crate::schedule::{LastRun, NewSchedule, Schedule};
use crate::state::{Fault, State};

/// Adds a schedule, or replaces the one of that name.
pub fn schedule<S: State>(
    state: &mut S,
    context: &Context,
    new: &NewSchedule,
) -> Result<Outcome, Fault> {
    let call = &new.call;
    if let Err(refusal) = new.check().and_then(|()| context.check_home([&call.key].into_iter())) {
        return Ok(Outcome::Refused(refusal));
    }
    if call::resolve(state, &call.component, &call.key)?.is_none() {
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

/// Runs the schedule that is due first, if one is.
pub fn tick<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    context: &Context,
) -> Result<Effect, Fault> {
    let due = state.resident().schedules.first_due(context.time);
    let Some((name, schedule)) = due.map(|(name, due)| (name.clone(), due.clone())) else {
        return Ok(Outcome::Ticked.into());
    };
    let context = Context { caller: schedule.caller, ..*context };
    let mut effect = call::run(state, functions, &context, &schedule.call)?;
    if effect.is_transient() {
        return Ok(effect);
    }
    let ended = match &mut effect {
        Effect::Done { called: Some(called), .. } | Effect::Answer { called: Some(called), .. } => {
            called.scheduled = Some(Box::new((schedule.call.clone(), schedule.caller)));
            Ok(called.ended.clone())
        }
        Effect::Answer { outcome: Outcome::Refused(refusal), .. } => Err(refusal.clone()),
        _ => unreachable!("a call that was started tells how it ended"),
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
