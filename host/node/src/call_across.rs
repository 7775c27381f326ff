//! Functions across shards: run beside the log on what was read, committed as a transaction.
//!
//! ```text
//! run the function, read what it misses, run it again ... returned
//! commit { reads it made, writes it made } across shards --conflict--> all over again
//! ```
//!
//! Promises that the call happened at one moment, exactly once, as on one shard: its answer, also an
//! error or a fault, is given only after its reads were found true together, and its component to be
//! the one that is meant. It runs outside of apply, so it holds nobody up. Leaves out that a call never
//! conflicts: it may, and is repeated.

use std::sync::Arc;
use std::time::Duration;

use aspen_core::limits::TXN_SHARDS_MAX;
use aspen_core::{
    Answer, Call, CallEnd, CallInput, CallResult, Caller, ComponentHash, ConflictError,
    Consistency, Fault, Functions, KeyRange, Need, Operation, Outcome, Page, RanAcross, Read,
    ReadAhead, Record, Refusal, Refused, Request, RequestId, Response, ScanRequest, ShardId,
    ShardRouter, Split, Timestamp, Transact, decode, encode, resolve,
};
use aspen_net::PeerId;
use bytes::Bytes;
use futures::future::try_join_all;
use tokio::time::Instant;

use crate::beside::on_a_stack;
use crate::limits::{ACROSS_WAIT, PREPARE_WAIT, READ_AHEAD_RUNS_MAX};
use crate::node::ShardedRaftNode;
use crate::participate::{Participated, Participation, ask};
use crate::requests::refused;
use crate::shard::Shard;
use crate::two_phase::{Asked, commit, conclude, led};

/// Why a call ends without an outcome of its function.
enum Stop {
    /// It cannot be done so.
    Refusal(Refusal),
    Refused(Refused),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Stop::Refusal(refusal)
    }
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Stop::Refused(refused)
    }
}

/// Does a call that may touch keys of any shard; `shard` is that of its key.
pub async fn call(
    node: &Arc<ShardedRaftNode>,
    from: PeerId,
    shard: ShardId,
    request: RequestId,
    call: Call,
) -> Result<Response, Refused> {
    let asked = Asked { caller: Caller::new(*from.as_bytes()), request };
    let outcome = match try_call(node, shard, &asked, &call).await {
        Ok(outcome) => outcome,
        Err(Stop::Refusal(refusal)) => encode(&Outcome::Refused(refusal)),
        Err(Stop::Refused(refused)) => return Err(refused),
    };
    Ok(Response::Outcome(conclude(node, shard, &asked, outcome).await?))
}

async fn try_call(
    node: &Arc<ShardedRaftNode>,
    shard: ShardId,
    asked: &Asked,
    call: &Call,
) -> Result<Bytes, Stop> {
    call.check()?;
    let home_of = node.router().shard(call.key.as_bytes());
    if home_of != shard {
        return Err(Refusal::WrongShard { shard: home_of }.into());
    }
    let until = Instant::now() + ACROSS_WAIT;
    loop {
        let Ran { component, result, took, mut reads } =
            run(node, &*led(node, shard)?, asked, call).await?;
        reads.extend(call.reads.iter().cloned());
        let CallResult { end, fuel, writes, log } = result;
        if let CallEnd::Refused(refusal) = end {
            return Err(refusal.into());
        }
        let answer = Answer::Called(Box::new(RanAcross {
            named: call.component.clone(),
            key: call.key.clone(),
            component,
            function: call.function.clone(),
            end,
            fuel,
            writes: writes.len() as u32,
            log,
            micros: took.as_micros() as u64,
        }));
        let then = writes.into_iter().map(Operation::Write).collect();
        let transact = Transact { reads, then, ..Transact::default() };
        let split = Split::new(&node.router(), &transact)?.with(shard);
        let outcome = commit(node, shard, asked, &split, Some(answer), until).await?;
        let what = match decode(&outcome) {
            // What the call itself expects is the caller's concern; what it read is read again.
            Ok(Outcome::Conflict { conflicts, .. }) if !is_own(call, &conflicts) => {
                "what the function reads"
            }
            Ok(Outcome::Refused(Refusal::ComponentChanged)) => "the component",
            _ => return Ok(outcome),
        };
        if Instant::now() >= until {
            let reason = format!("{what} changes all the time");
            return Err(Refused::Unavailable { reason }.into());
        }
    }
}

/// Whether the caller expected what is not so.
fn is_own(call: &Call, conflicts: &[ConflictError]) -> bool {
    call.reads.iter().any(|read| match read {
        Read::Key { key, .. } => conflicts.iter().any(|found| found.key == *key),
        Read::Range { range, .. } => {
            conflicts.iter().any(|found| range.contains(found.key.as_bytes()))
        }
    })
}

/// A run that missed nothing.
struct Ran {
    component: ComponentHash,
    result: CallResult,
    took: Duration,
    /// Everything that it was told.
    reads: Vec<Read>,
}

/// Runs the function until it misses nothing. The replica knows by then what was uploaded before the call: one
/// that has just begun to lead may still have to apply it, and a call refused as unknown is not looked at again.
async fn run(
    node: &Arc<ShardedRaftNode>,
    home: &Shard,
    asked: &Asked,
    call: &Call,
) -> Result<Ran, Stop> {
    let failed = |fault: Fault| Refused::Failed { reason: fault.to_string() };
    home.ready(Consistency::Linearizable).await.map_err(refused)?;
    let found = home.reader.read(|view, header| {
        let component = resolve(view, &call.component, &call.key)?;
        let Some(component) = component else { return Ok(None) };
        let code = view.component(&component)?;
        Ok(code.map(|code| (component, code, header)))
    });
    let Some((component, code, header)) = found.map_err(failed)? else {
        return Err(Refusal::ComponentUnknown.into());
    };
    let mut known = ReadAhead::new(component, code);
    let seed = rand::random();
    let time = header.clock.max(Timestamp::new(node.clock_ms()));
    for _ in 0..READ_AHEAD_RUNS_MAX {
        let (functions, own, caller) = (node.functions().clone(), call.clone(), asked.caller);
        let work = move || {
            let input = CallInput {
                component,
                function: &own.function,
                args: &own.args,
                // Every key is at home.
                shard: ShardId::new(0),
                router: ShardRouter::new(1).expect("one shard is allowed"),
                revision: header.revision.next(),
                time,
                seed,
                caller,
                profile: header.profile,
            };
            let begun = Instant::now();
            let result = functions.call(&known, &input);
            let fuel = result.as_ref().ok().map(|result| result.fuel);
            ((result, begun.elapsed(), known), fuel)
        };
        let (result, took, back) = on_a_stack(node, caller, home.id, call, work).await?;
        known = back;
        match known.need() {
            None => {
                let (result, reads) = (result.map_err(failed)?, known.reads());
                return Ok(Ran { component, result, took, reads });
            }
            Some(need) => read(node, &mut known, need).await?,
        }
    }
    Err(Refusal::TooManyOperations { operations: READ_AHEAD_RUNS_MAX as u64 }.into())
}

/// Reads what a function misses, from the leader of its shard.
async fn read(node: &ShardedRaftNode, known: &mut ReadAhead, need: Need) -> Result<(), Stop> {
    let consistency = Consistency::Linearizable;
    match need {
        Need::Key(key) => {
            let shard = node.router().shard(key.as_bytes());
            let keys = vec![key.clone()];
            let get = Request::Get { shard, keys, reads: vec![], consistency };
            match ask_to_read(node, shard, get).await? {
                Response::Records { mut records, .. } => {
                    let record: Option<Record> = records.pop().flatten();
                    Ok(known.knows_key(key, record)?)
                }
                other => Err(unexpected(other)),
            }
        }
        Need::Page { rest, reverse } => {
            let shards: Vec<ShardId> = match node.router().range_shard(&rest) {
                Some(shard) => vec![shard],
                None => node.router().all().collect(),
            };
            if shards.len() > TXN_SHARDS_MAX {
                return Err(Refusal::TooManyShards { shards: shards.len() as u64 }.into());
            }
            let pages = shards.into_iter().map(|shard| read_page(node, shard, &rest, reverse));
            Ok(known.knows_pages(&rest, reverse, try_join_all(pages).await?)?)
        }
    }
}

async fn read_page(
    node: &ShardedRaftNode,
    shard: ShardId,
    range: &KeyRange,
    reverse: bool,
) -> Result<(ShardId, Page), Stop> {
    let (range, consistency, limit) = (range.clone(), Consistency::Linearizable, u32::MAX);
    let (keys_only, reads, bytes, view) = (false, vec![], u32::MAX, None);
    let scan =
        ScanRequest { shard, range, reverse, keys_only, limit, bytes, reads, consistency, view };
    match ask_to_read(node, shard, Request::Scan(scan)).await? {
        Response::Page(page) => Ok((shard, page)),
        other => Err(unexpected(other)),
    }
}

fn unexpected(response: Response) -> Stop {
    match response {
        Response::Refused(refused) => refused.into(),
        _ => Refused::Unavailable { reason: "a read was not answered".into() }.into(),
    }
}

async fn ask_to_read(
    node: &ShardedRaftNode,
    shard: ShardId,
    read: Request,
) -> Result<Response, Stop> {
    match ask(node, shard, Participation::Read(read), PREPARE_WAIT).await {
        Some(Participated::Read(response)) => Ok(response),
        _ => Err(Refused::Unavailable { reason: format!("{shard} does not answer") }.into()),
    }
}
