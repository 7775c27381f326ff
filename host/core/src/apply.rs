//! `apply`: the one function that changes a shard's state.
//!
//! Promises that its result depends on the state and the entry alone, that an entry writes all or
//! nothing, that a request is applied once, and that one code path sets versions and revisions.
//! An `Err` is a failure of this machine: the state may be half changed, so the caller must throw
//! the batch away and stop the replica.
//!
//! ```text
//! entry --> entry time --> session window --> command --> checks --> writes --> digest --> outcome
//!                           |  repeat: the kept outcome, nothing else happens
//! ```

use bytes::Bytes;

use crate::codec::encode;
use crate::command::{
    Call, Command, ComponentRef, Entry, Expectation, Read, Transact, Upload, WriteOp,
};
use crate::digest::DigestBuilder;
use crate::functions::{CallEnd, CallInput, CallResult, Functions};
use crate::ids::{Caller, ComponentHash, Revision, ShardId, Timestamp, Version};
use crate::limits::{COMPONENT_BYTES_MAX, COMPONENTS_MAX};
use crate::outcome::{Actual, ConflictError, Outcome, Refusal};
use crate::route::ShardRouter;
use crate::session::Known;
use crate::state::{Alias, Fault, Record, State};

/// What applying one entry came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The encoded [`Outcome`], as the client gets it, now and on every repeat.
    pub outcome: Bytes,
    /// Lines that a function logged; not replicated. Empty on a repeat.
    pub log: Vec<String>,
}

/// Where and when an entry runs.
struct Context {
    shard: ShardId,
    router: ShardRouter,
    time: Timestamp,
    seed: u64,
    caller: Caller,
}

/// An outcome, and what the digest and the operator want to know besides.
struct Effect {
    outcome: Outcome,
    writes: Vec<WriteOp>,
    log: Vec<String>,
}

impl From<Outcome> for Effect {
    fn from(outcome: Outcome) -> Effect {
        Effect { outcome, writes: vec![], log: vec![] }
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
    header.clock = header.clock.max(entry.stamp);
    state.set_header(header);
    state.sessions().expire(header.clock);

    let known = match &entry.request {
        Some(request) => state.sessions().look(request, &entry.caller),
        None => Known::New,
    };
    let effect = match known {
        Known::Repeat(outcome) => return Ok(Applied { outcome, log: vec![] }),
        Known::Forgotten => Refusal::SequenceForgotten.into(),
        Known::NoSession => Refusal::SessionUnknown.into(),
        Known::New => {
            let (time, seed, caller) = (header.clock, entry.seed, entry.caller);
            let context = Context { shard, router, time, seed, caller };
            run(state, functions, &context, &entry.command)?
        }
    };
    let first = !matches!(
        effect.outcome,
        Outcome::Refused(Refusal::SequenceForgotten | Refusal::SessionUnknown)
    );
    let outcome = encode(&effect.outcome);
    extend_digest(state, &outcome, &effect.writes);
    if let Some(request) = entry.request.as_ref().filter(|_| first) {
        state.sessions().keep(request, header.clock, outcome.clone());
    }
    Ok(Applied { outcome, log: effect.log })
}

fn run<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    context: &Context,
    command: &Command,
) -> Result<Effect, Fault> {
    match command {
        Command::OpenSession => Ok(open_session(state, context).into()),
        Command::Transact(transact) => run_transact(state, context, transact),
        Command::Call(call) => run_call(state, functions, context, call),
        Command::Upload(upload) => run_upload(state, functions, context, upload),
    }
}

fn extend_digest<S: State>(state: &mut S, outcome: &Bytes, writes: &[WriteOp]) {
    let mut header = state.header();
    let mut digest = DigestBuilder::after(header.digest);
    digest.bytes(outcome).number(header.revision.get()).number(writes.len() as u64);
    for write in writes {
        digest.bytes(write.key().as_bytes());
        match write {
            WriteOp::Set { value, .. } => digest.number(1).bytes(value.as_bytes()),
            WriteOp::Delete { .. } => digest.number(0),
        };
    }
    header.digest = digest.finish();
    state.set_header(header);
}

fn open_session<S: State>(state: &mut S, context: &Context) -> Outcome {
    let mut header = state.header();
    header.last_session = header.last_session.next();
    state.set_header(header);
    state.sessions().open(header.last_session, context.caller, context.time);
    Outcome::SessionOpened { session: header.last_session }
}

fn run_transact<S: State>(
    state: &mut S,
    context: &Context,
    transact: &Transact,
) -> Result<Effect, Fault> {
    if let Err(refusal) = transact.check() {
        return Ok(refusal.into());
    }
    let home = |key: &[u8]| context.router.shard(key);
    if let Some(key) = transact.keys().find(|key| home(key.as_bytes()) != context.shard) {
        return Ok(Refusal::WrongShard { shard: home(key.as_bytes()) }.into());
    }
    let conflicts = check_reads(state, &transact.reads)?;
    if !conflicts.is_empty() {
        return Ok(Outcome::Conflict { conflicts }.into());
    }
    let (revision, versions) = commit(state, &transact.writes)?;
    let outcome = Outcome::Committed { revision, time: context.time, versions };
    Ok(Effect { outcome, writes: transact.writes.clone(), log: vec![] })
}

fn check_reads<S: State>(state: &S, reads: &[Read]) -> Result<Vec<ConflictError>, Fault> {
    let mut conflicts = vec![];
    for Read { key, expected } in reads {
        let actual = match state.get(key)? {
            Some(record) => Actual { version: record.version, mod_revision: record.mod_revision },
            None => Actual { version: Version::ABSENT, mod_revision: Revision::default() },
        };
        let holds = match expected {
            Expectation::Absent => actual.version == Version::ABSENT,
            Expectation::Version(version) => actual.version == *version,
            Expectation::ModRevision(revision) => {
                actual.version != Version::ABSENT && actual.mod_revision == *revision
            }
        };
        if !holds {
            conflicts.push(ConflictError { key: key.clone(), expected: *expected, actual });
        }
    }
    Ok(conflicts)
}

/// Writes everything at one new revision: the only place where versions and revisions are made.
/// Without an effective write the revision stays.
fn commit<S: State>(state: &mut S, writes: &[WriteOp]) -> Result<(Revision, Vec<Version>), Fault> {
    let mut header = state.header();
    let revision = header.revision.next();
    let mut changed = false;
    let mut versions = Vec::with_capacity(writes.len());
    for write in writes {
        let before = state.get(write.key())?;
        match write {
            WriteOp::Set { key, value } => {
                let (version, create_revision) = match &before {
                    Some(record) => (record.version.next(), record.create_revision),
                    None => (Version::ABSENT.next(), revision),
                };
                let value = value.clone();
                let record = Record { value, version, create_revision, mod_revision: revision };
                state.set(key, record)?;
                header.keys += u64::from(before.is_none());
                versions.push(version);
                changed = true;
            }
            WriteOp::Delete { key } => {
                if before.is_some() {
                    state.remove(key)?;
                    header.keys -= 1;
                    changed = true;
                }
                versions.push(before.map_or(Version::ABSENT, |record| record.version));
            }
        }
    }
    if changed {
        header.revision = revision;
        state.set_header(header);
    }
    Ok((header.revision, versions))
}

fn resolve<S: State>(state: &S, component: &ComponentRef) -> Result<Option<ComponentHash>, Fault> {
    match component {
        ComponentRef::Name(name) => Ok(state.alias(name)?.map(|alias| alias.component)),
        ComponentRef::Hash(hash) => Ok(Some(*hash)),
    }
}

fn run_call<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    context: &Context,
    call: &Call,
) -> Result<Effect, Fault> {
    if let Err(refusal) = call.check() {
        return Ok(refusal.into());
    }
    let mut keys = std::iter::once(&call.key).chain(call.reads.iter().map(|read| &read.key));
    let home = |key: &[u8]| context.router.shard(key);
    if let Some(key) = keys.find(|key| home(key.as_bytes()) != context.shard) {
        return Ok(Refusal::WrongShard { shard: home(key.as_bytes()) }.into());
    }
    let conflicts = check_reads(state, &call.reads)?;
    if !conflicts.is_empty() {
        return Ok(Outcome::Conflict { conflicts }.into());
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
        revision: state.header().revision.next(),
        time: context.time,
        seed: context.seed,
        caller: context.caller,
    };
    let CallResult { end, fuel, writes, log } = functions.call(state.view(), &input)?;
    let outcome = match end {
        CallEnd::Returned(values) => {
            let (revision, _) = commit(state, &writes)?;
            let outcome = Outcome::Returned { revision, values, fuel, writes: writes.len() as u32 };
            return Ok(Effect { outcome, writes, log });
        }
        CallEnd::Aborted(error) => Outcome::Aborted { error, fuel },
        CallEnd::Faulted(fault) => Outcome::Faulted { fault, fuel },
        CallEnd::Refused(refusal) => Outcome::Refused(refusal),
    };
    Ok(Effect { outcome, writes: vec![], log })
}

fn run_upload<S: State>(
    state: &mut S,
    functions: &dyn Functions,
    context: &Context,
    upload: &Upload,
) -> Result<Effect, Fault> {
    let Upload { name, bytes } = upload;
    if bytes.len() > COMPONENT_BYTES_MAX {
        return Ok(Refusal::ComponentTooLarge { bytes: bytes.len() as u64 }.into());
    }
    let component = ComponentHash::of(bytes);
    if state.component(&component)?.is_none() {
        let mut header = state.header();
        if header.components as usize >= COMPONENTS_MAX {
            return Ok(Refusal::TooManyComponents.into());
        }
        header.components += 1;
        state.set_header(header);
        state.set_component(&component, bytes)?;
    }
    state.set_alias(name, &Alias { component, uploaded: context.time })?;
    functions.prepare(&component, bytes);
    Ok(Outcome::Uploaded { component }.into())
}
