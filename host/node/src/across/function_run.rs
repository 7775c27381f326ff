//! Runs of a function across shards, each on more records, until the function misses none.
//!
//! Promises that the reads of a run are all that the function was told. Leaves out whether they
//! were true at one moment (`call.rs`).

use std::time::Duration;

use aspen_core::across::{Need, ReadAhead};
use aspen_core::apply::resolve;
use aspen_core::function::{Call, CallInput, CallResult, Functions};
use aspen_core::ids::{Caller, ComponentHash, ShardId, Timestamp};
use aspen_core::key::KeyRange;
use aspen_core::limits::TXN_SHARDS_MAX;
use aspen_core::placement::ShardRouter;
use aspen_core::protocol::{Consistency, ErrorReply, Page, Request, Response, ScanRequest};
use aspen_core::refusal::Refusal;
use aspen_core::state::Header;
use aspen_core::transaction::Read;
use aspen_core::view::{HostError, Record};
use bytes::Bytes;
use futures::future::try_join_all;
use tokio::time::Instant;

use crate::ask::ask;
use crate::context::NodeContext;
use crate::functions::run_in_background;
use crate::limits::{PREPARE_WAIT, READ_AHEAD_RUNS_MAX};
use crate::peer::{LeaderReply, LeaderRequest};
use crate::replica::{Replica, failed};

/// The reason why a call ends without an outcome of its function.
pub enum CallFailure {
    /// The state machine would refuse the call.
    Refusal(Refusal),
    /// The node cannot do the call.
    Refused(ErrorReply),
}

impl From<Refusal> for CallFailure {
    fn from(refusal: Refusal) -> Self {
        CallFailure::Refusal(refusal)
    }
}

impl From<ErrorReply> for CallFailure {
    fn from(refused: ErrorReply) -> Self {
        CallFailure::Refused(refused)
    }
}

/// A run that missed nothing.
pub struct CompleteRun {
    pub component: ComponentHash,
    pub result: CallResult,
    pub took: Duration,
    /// Everything that the function was told.
    pub reads: Vec<Read>,
}

/// Runs the function until it misses nothing.
pub async fn run(
    node: &NodeContext,
    home: &Replica,
    caller: Caller,
    call: &Call,
) -> Result<CompleteRun, CallFailure> {
    let (component, code, header) = resolved(home, call).await?;
    let mut known = ReadAhead::new(component, code);
    let seed = rand::random();
    let time = header.clock.max(Timestamp::new(node.clock_ms()));
    for _ in 0..READ_AHEAD_RUNS_MAX {
        let (functions, own) = (node.functions().clone(), call.clone());
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
        let (result, took, back) = run_in_background(node, caller, home.id, call, work).await?;
        known = back;
        match known.need() {
            None => {
                let (result, reads) = (result.map_err(failed)?, known.reads());
                return Ok(CompleteRun { component, result, took, reads });
            }
            Some(need) => read(node, &mut known, need).await?,
        }
    }
    Err(Refusal::TooManyOperations { operations: READ_AHEAD_RUNS_MAX as u64 }.into())
}

/// Returns the component that the call names, its code, and the header of the state that says so.
/// The replica waits for the uploads before the call: a replica that has just begun to lead may
/// still have to apply them, and a call refused as unknown is not looked at again.
async fn resolved(
    home: &Replica,
    call: &Call,
) -> Result<(ComponentHash, Bytes, Header), CallFailure> {
    home.ready(Consistency::Linearizable).await.map_err(ErrorReply::from)?;
    let found = home.reader.read(|view, header| {
        let component = resolve(view, &call.component, &call.key)?;
        let Some(component) = component else { return Ok(None) };
        let code = view.components().component(&component)?;
        Ok::<_, HostError>(code.map(|code| (component, code, header)))
    });
    Ok(found.map_err(failed)?.ok_or(Refusal::ComponentUnknown)?)
}

/// Reads the records that a function misses, from the leader of their shard.
async fn read(node: &NodeContext, known: &mut ReadAhead, need: Need) -> Result<(), CallFailure> {
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
    node: &NodeContext,
    shard: ShardId,
    range: &KeyRange,
    reverse: bool,
) -> Result<(ShardId, Page), CallFailure> {
    let (range, consistency, limit) = (range.clone(), Consistency::Linearizable, u32::MAX);
    let (keys_only, reads, bytes, view) = (false, vec![], u32::MAX, None);
    let scan =
        ScanRequest { shard, range, reverse, keys_only, limit, bytes, reads, consistency, view };
    match ask_to_read(node, shard, Request::Scan(scan)).await? {
        Response::Page(page) => Ok((shard, page)),
        other => Err(unexpected(other)),
    }
}

fn unexpected(response: Response) -> CallFailure {
    match response {
        Response::Error(refused) => refused.into(),
        _ => ErrorReply::Unavailable { reason: "a read was not answered".into() }.into(),
    }
}

async fn ask_to_read(
    node: &NodeContext,
    shard: ShardId,
    read: Request,
) -> Result<Response, CallFailure> {
    match ask(node, shard, LeaderRequest::Read(read), PREPARE_WAIT).await {
        Some(LeaderReply::Read(response)) => Ok(response),
        _ => Err(ErrorReply::Unavailable { reason: format!("{shard} does not answer") }.into()),
    }
}
