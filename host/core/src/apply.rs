//! `apply`: the one function that changes a shard's state.
//!
//! Promises that its result depends on the state and the entry alone, that an entry writes all or
//! nothing, that a request is applied once, and that one code path sets versions and revisions
//! (`apply/writer.rs`). An `Err` is a failure of this machine: the state may be half changed, so the
//! caller must throw the batch away and stop the replica.
//!
//! ```text
//! entry -> entry time -> what is due expires -> session window -> command -> digest -> outcome
//!                                               |  repeat: the kept outcome, nothing else happens
//! ```

mod call;
mod components;
mod reads;
mod schedules;
mod transact;
mod two_phase;
mod uploads;
mod writer;

use bytes::Bytes;

use crate::codec::encode;
use crate::command::{Command, Entry};
use crate::defect::{Defect, is_planted};
use crate::functions::Functions;
use crate::ids::{Caller, LeaseId, ProfileId, ShardId, Timestamp};
use crate::key::Key;
use crate::limits::EXPIRE_KEYS_MAX;
use crate::outcome::{ConflictError, Outcome, Refusal};
use crate::route::ShardRouter;
use crate::session::Known;
use crate::state::{Fault, Header, Resident, State, View};
use crate::statistics::Called;
use crate::transact::{Operation, Read, Transact, check_read_set, read_keys};
pub(crate) use call::evaluate;
pub use call::resolve;
use writer::Writer;

/// What applying one entry came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The encoded [`Outcome`], as the client gets it, now and on every repeat.
    pub outcome: Bytes,
    /// The call that was run, if one was: not on a repeat.
    pub called: Option<Called>,
}

/// Where and when an entry runs.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The shard.
    pub shard: ShardId,
    /// The map of all shards.
    pub router: ShardRouter,
    /// Entry time.
    pub time: Timestamp,
    /// Chance, from the entry.
    pub seed: u64,
    /// Who asked.
    pub caller: Caller,
    /// How functions run.
    pub profile: ProfileId,
}

impl Context {
    /// Whether all that a transaction touches is of this shard.
    pub(crate) fn check_transact(&self, transact: &Transact) -> Result<(), Refusal> {
        let keys = transact.operations().filter_map(Operation::key);
        self.check_reads(&transact.reads).and_then(|()| self.check_home(keys))
    }

    /// Whether all that was read is said to be of this shard. A range that does not say so is.
    pub(crate) fn check_reads(&self, reads: &[Read]) -> Result<(), Refusal> {
        let foreign = reads.iter().find_map(|read| match read {
            Read::Range { shard, .. } => shard.filter(|shard| *shard != self.shard),
            Read::Key { .. } => None,
        });
        foreign.map_or_else(
            || self.check_home(read_keys(reads)),
            |shard| Err(Refusal::WrongShard { shard }),
        )
    }

    /// Whether all keys live on this shard.
    pub(crate) fn check_home<'a>(
        &self,
        mut keys: impl Iterator<Item = &'a Key>,
    ) -> Result<(), Refusal> {
        if self.router.shards() == 1 {
            return Ok(());
        }
        let home = |key: &Key| self.router.shard(key.as_bytes());
        let foreign = keys.find_map(|key| Some(home(key)).filter(|shard| *shard != self.shard));
        foreign.map_or(Ok(()), |shard| Err(Refusal::WrongShard { shard }))
    }
}

/// What a command came to.
enum Effect {
    /// It wrote: the encoded outcome is in the digest already.
    Done { outcome: Bytes, called: Option<Called> },
    /// It wrote nothing.
    Answer { outcome: Outcome, called: Option<Called> },
}

impl Effect {
    /// Whether the request was not even looked at.
    fn is_transient(&self) -> bool {
        match self {
            Effect::Answer { outcome: Outcome::Refused(refusal), .. } => refusal.is_transient(),
            _ => false,
        }
    }
}

impl From<Outcome> for Effect {
    fn from(outcome: Outcome) -> Effect {
        Effect::Answer { outcome, called: None }
    }
}

impl From<Refusal> for Effect {
    fn from(refusal: Refusal) -> Effect {
        Outcome::Refused(refusal).into()
    }
}

/// Applies one committed entry of `shard`.
pub fn apply<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    shard: ShardId,
    router: ShardRouter,
    entry: &Entry,
) -> Result<Applied, Fault> {
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
        None => Known::New,
    };
    let (time, profile) = (header.clock, header.profile);
    let (seed, caller) = (entry.seed, entry.caller);
    let context = Context { shard, router, time, seed, caller, profile };
    let is_new = known == Known::New;
    let effect = match known {
        Known::Repeat(_) if is_planted(Defect::ForgetSessions) => {
            run(state, functions, &context, &entry.command)?
        }
        Known::Repeat(outcome) => {
            if let Command::Decide(decide) = &entry.command {
                // Another attempt at the same request was faster.
                two_phase::abandon(state, &context, &decide.txn);
            }
            return Ok(Applied { outcome, called: None });
        }
        Known::Forgotten => Refusal::SequenceForgotten.into(),
        Known::NoSession => Refusal::SessionUnknown.into(),
        Known::New => run(state, functions, &context, &entry.command)?,
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
    Ok(Applied { outcome, called })
}

/// Checks `reads` against a state at its present revision: what a transaction with them would say.
/// Refuses a read set that breaks a limit, whoever made it.
pub fn check_reads(
    view: &dyn View,
    resident: &Resident,
    header: &Header,
    reads: &[Read],
) -> Result<Result<Vec<ConflictError>, Refusal>, Fault> {
    if let Err(refusal) = check_read_set(reads) {
        return Ok(Err(refusal));
    }
    reads::check(view, resident, header.revision, reads, true)
}

/// Ends what is due, at a revision before the command's. Bounded: the rest waits for the next entry.
fn expire_leases<S: State>(state: &mut S, now: Timestamp) -> Result<(), Fault> {
    let Some(mut lease) = first_due(state.resident(), now) else { return Ok(()) };
    let mut writer = Writer::begin(state);
    let mut gone = 0;
    loop {
        gone += writer.end_lease(lease)?;
        match first_due(writer.state().resident(), now) {
            Some(next) if (gone as usize) < EXPIRE_KEYS_MAX => lease = next,
            _ => break,
        }
    }
    writer.finish(|_| Bytes::new());
    Ok(())
}

/// The first lease that is due and can end now: none of its keys is locked.
fn first_due(resident: &Resident, now: Timestamp) -> Option<LeaseId> {
    let Resident { leases, locks, .. } = resident;
    let is_locked = |lease: &LeaseId| leases.keys(*lease).any(|key| locks.holder(key).is_some());
    leases.due(now).find(|lease| locks.is_free() || !is_locked(lease))
}

fn run<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    context: &Context,
    command: &Command,
) -> Result<Effect, Fault> {
    match command {
        Command::OpenSession => Ok(open_session(state, context).into()),
        Command::Transact(transact) => transact::run(state, context, transact),
        Command::Call(call) => call::run(state, functions, context, call),
        Command::Upload(upload) => {
            Ok(components::upload(state, functions, context, upload)?.into())
        }
        Command::Tick => schedules::tick(state, functions, context),
        Command::Verify => Ok(Outcome::Ticked.into()),
        Command::Prepare(prepare) => two_phase::prepare(state, context, prepare),
        Command::Decide(decide) => two_phase::decide(state, context, decide),
        Command::Finish(finish) => two_phase::finish(state, finish),
        // All that it does is to be kept.
        Command::Conclude(outcome) => Ok(Outcome::clone(outcome).into()),
        Command::Forget(txns) => Ok(two_phase::forget(state, txns)),
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

/// The machine's fault if it cannot run what the others run.
fn check_runs(functions: &dyn Functions, profile: ProfileId) -> Result<(), Fault> {
    let what =
        || format!("the shard's functions run with {profile}, which this program does not know");
    match functions.runs(profile) {
        true => Ok(()),
        false => Err(Fault::new("applying", what() + ": install a newer version of Aspen")),
    }
}

fn switch_profile<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    profile: ProfileId,
) -> Result<Outcome, Fault> {
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
