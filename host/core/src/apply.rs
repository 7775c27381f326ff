//! [`apply()`]: the one function that changes a shard's state.
//!
//! Promises that its result depends on the state and the entry alone, that an entry writes all or nothing,
//! that a request is applied once, and that one code path sets versions and revisions (`apply/writer.rs`).
//! An `Err` is a failure of this machine: the state may be half changed, so the caller must drop the batch
//! and stop the replica.
//!
//! ```text
//! entry -> entry time -> what is due expires -> session window -> command -> digest -> outcome
//!                                               |  repeat: the kept outcome, nothing else happens
//! ```

mod context;
mod effect;
mod writer;
mod reads;
mod guard;
mod evaluate;
mod call;
mod transact;
mod components;
mod uploads;
mod schedules;
mod prepare;
mod decide;
mod expiry;
mod query;

use crate::apply::effect::Effect;
use crate::apply::expiry::expire_leases;
use crate::apply::writer::Writer;
use crate::codec::encode;
use crate::defect::{Defect, is_planted};
use crate::function::Functions;
use crate::ids::{ProfileId, ShardId};
use crate::placement::ShardRouter;
use crate::protocol::{Command, Entry, Outcome};
use crate::refusal::Refusal;
use crate::state::{Header, RequestStatus, Resident, State};
use crate::transaction::{ConflictError, Read, check_read_set};
use crate::view::{HostError, View};

pub use context::Context;
pub use effect::AppliedEntry;
pub use evaluate::resolve;
pub use query::{ReadTrace, query};

/// Applies one committed entry of `shard`.
pub fn apply<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    shard: ShardId,
    router: ShardRouter,
    entry: &Entry,
) -> Result<AppliedEntry, HostError> {
    let mut header = state.header();
    check_runs(functions, header.profile)?;
    header.clock = header.clock.max(entry.stamp);
    #[cfg(madsim)]
    if is_planted(Defect::LocalClockExpiry) {
        header.clock = crate::defect::local_clock();
    }
    state.set_header(header);
    let resident = state.resident_mut();
    resident.sessions.expire(header.clock);
    resident.locks.expire(header.clock);
    expire_leases(state, header.clock)?;
    uploads::expire(state, header.clock)?;

    let known = match &entry.request {
        Some(request) => state.resident().sessions.look(request, &entry.caller),
        None => RequestStatus::New,
    };
    let (time, profile) = (header.clock, header.profile);
    let (seed, caller) = (entry.seed, entry.caller);
    let context = Context { shard, router, time, seed, caller, profile };
    let is_new = known == RequestStatus::New;
    let effect = match known {
        RequestStatus::Repeat(_) if is_planted(Defect::ForgetSessions) => {
            run(state, functions, &context, &entry.command)?
        }
        RequestStatus::Repeat(outcome) => {
            if let Command::Decide(decide) = &entry.command {
                // Another attempt at the same request was faster.
                decide::abandon(state, &context, &decide.txn);
            }
            return Ok(AppliedEntry { outcome, called: None });
        }
        RequestStatus::Forgotten => Refusal::SequenceForgotten.into(),
        RequestStatus::NoSession => Refusal::SessionUnknown.into(),
        RequestStatus::New => run(state, functions, &context, &entry.command)?,
    };
    let is_final = match entry.command {
        Command::Prepare(_) => false,
        // Also what would pass otherwise; but there is nothing to conclude for a session that is closed, or
        // a request that its client has acknowledged.
        Command::Conclude(_) => is_new,
        _ => !effect.is_transient(),
    };
    let (outcome, called) = match effect {
        Effect::Done { outcome, called } => (outcome, called),
        Effect::Answer { outcome, called } => {
            (Writer::begin(state).finish(|_| encode(&outcome)), called)
        }
    };
    if let Some(request) = entry.request.as_ref().filter(|_| is_final) {
        state.resident_mut().sessions.keep(request, header.clock, outcome.clone());
    }
    Ok(AppliedEntry { outcome, called })
}

fn run<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    context: &Context,
    command: &Command,
) -> Result<Effect, HostError> {
    match command {
        Command::OpenSession => Ok(open_session(state, context).into()),
        Command::Transact(transact) => transact::run(state, context, transact),
        Command::Call(call) => call::run(state, functions, context, call),
        Command::Upload(upload) => {
            Ok(components::upload(state, functions, context, upload)?.into())
        }
        Command::Tick => schedules::tick(state, functions, context),
        Command::Verify => Ok(Outcome::Ticked.into()),
        Command::Prepare(prepare) => prepare::prepare(state, context, prepare),
        Command::Decide(decide) => decide::decide(state, context, decide),
        Command::Finish(finish) => decide::finish(state, finish),
        // All that it does is to be kept.
        Command::Conclude(outcome) => Ok(Outcome::clone(outcome).into()),
        Command::Forget(txns) => Ok(decide::forget(state, txns)),
        Command::Point { name, component } => {
            Ok(components::point(state, context, name, *component)?.into())
        }
        Command::RemoveName { name } => Ok(components::remove(state, name)?.into()),
        Command::Canary { name, canary } => {
            Ok(components::canary(state, context, name, canary.as_ref())?.into())
        }
        Command::Schedule(new) => Ok(schedules::schedule(state, context, new)?.into()),
        Command::Unschedule { name } => Ok(schedules::unschedule(state, name).into()),
        Command::SwitchProfile(profile) => Ok(switch_profile(state, functions, *profile)?.into()),
        Command::UploadPart(part) => Ok(uploads::part(state, context, part)?.into()),
        Command::FinishUpload { name, component } => {
            Ok(uploads::finish(state, functions, context, name, *component)?.into())
        }
    }
}

/// Checks `reads` against a state at its present revision and returns the conflicts, as a
/// transaction with these reads would. Refuses a read set that breaks a limit.
pub fn check_reads(
    view: &dyn View,
    resident: &Resident,
    header: &Header,
    reads: &[Read],
) -> Result<Result<Vec<ConflictError>, Refusal>, HostError> {
    if let Err(refusal) = check_read_set(reads) {
        return Ok(Err(refusal));
    }
    reads::check(view, resident, header.revision, reads, true)
}

/// Returns a failure of this machine if its program does not know the profile.
fn check_runs(functions: &dyn Functions, profile: ProfileId) -> Result<(), HostError> {
    let what =
        || format!("the shard's functions run with {profile}, which this program does not know");
    match functions.runs(profile) {
        true => Ok(()),
        false => Err(HostError::new("applying", what() + ": install a newer version of Aspen")),
    }
}

fn switch_profile<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    profile: ProfileId,
) -> Result<Outcome, HostError> {
    check_runs(functions, profile)?;
    let header = Header { profile, ..state.header() };
    state.set_header(header);
    Ok(Outcome::ProfileSwitched { profile })
}

fn open_session<S: State>(state: &mut S, context: &Context) -> Outcome {
    let mut header = state.header();
    header.last_session = header.last_session.next();
    state.set_header(header);
    let sessions = &mut state.resident_mut().sessions;
    sessions.open(header.last_session, context.caller, context.time);
    Outcome::SessionOpened { session: header.last_session }
}
